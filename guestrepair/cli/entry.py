"""The entry point. Nothing is imported ahead of it, so that Ctrl-C is one line from the first moment on."""

from __future__ import annotations

import sys

INTERRUPTED = 130
INTERRUPTED_MESSAGE = "guestrepair: interrupted; the image is as it was"


def run(arguments: list[str] | None = None) -> None:
    """Run a command and exit with its status."""
    try:
        from guestrepair.cli.main import invoke

        status = invoke(arguments)
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED_MESSAGE}\n")
        status = INTERRUPTED
    sys.exit(status)

"""Where undo data and the records of repairs are kept."""

from __future__ import annotations

import os
from pathlib import Path

from guestrepair.errors import ImageAccessError


def state_directory(override: Path | None = None) -> Path:
    """The state directory, made (0700) when it is not there: ``override``, else $XDG_STATE_HOME/guestrepair.

    The default of $XDG_STATE_HOME is ~/.local/state (XDG Base Directory Specification).

    Raises:
        ImageAccessError: it cannot be made or written to.
    """
    directory = override or _default()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImageAccessError(
            f"{directory}: the state directory cannot be made: {error.strerror}",
            hint="name another one with --state-dir DIR",
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ImageAccessError(
            f"{directory}: no permission to write to the state directory",
            hint="name another one with --state-dir DIR",
        )
    return directory.resolve()


def _default() -> Path:
    home = os.environ.get("XDG_STATE_HOME", "")
    # The specification: a path that is not absolute is to be ignored.
    base = Path(home) if home.startswith("/") else Path.home() / ".local" / "state"
    return base / "guestrepair"

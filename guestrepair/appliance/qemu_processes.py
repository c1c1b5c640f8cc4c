"""Ending the virtual machines that this process started, when a call into libguestfs cannot be waited for."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_MACHINE = "qemu-system"


def end_machines() -> None:
    """Kill every qemu machine that is a child of ours; the call that waits for it then fails at once."""
    for process in _children():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{process}/comm").read_text().startswith(_MACHINE):
                os.kill(process, signal.SIGKILL)


def _children() -> list[int]:
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(word) for word in (task / "children").read_text().split()]
    return found

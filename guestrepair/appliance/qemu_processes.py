"""Ending the virtual machines that this process started, when a call into libguestfs cannot be waited for."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

_MACHINES = ("qemu-system", "qemu-kvm")
_BUILDERS = ("supermin",)
_TASKS = Path("/proc/self/task")


def end_machines() -> None:
    """Kill every qemu machine that is a child of ours; the call that waits for it then fails at once."""
    for task in _TASKS.iterdir():
        end_machines_of(int(task.name))


def end_machines_of(thread: int) -> None:
    """Kill the machines that one thread of ours has started, by its number in the kernel, and no other's.

    The kernel keeps the children of each thread apart as long as that thread is there (proc(5), "children").
    """
    _end_children(thread, _MACHINES)


def end_launch_of(thread: int) -> None:
    """The same, of a launch that nobody wants any more: what builds an appliance for it is killed, too."""
    _end_children(thread, (*_MACHINES, *_BUILDERS))


def _end_children(thread: int, names: tuple[str, ...]) -> None:
    with contextlib.suppress(OSError):
        for word in (_TASKS / str(thread) / "children").read_text().split():
            _end(int(word), names)


def _end(process: int, names: tuple[str, ...]) -> None:
    with contextlib.suppress(OSError):
        if Path(f"/proc/{process}/comm").read_text().startswith(names):
            os.kill(process, signal.SIGKILL)

"""Ending the virtual machines that this process started, when a call into libguestfs cannot be waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

_MACHINES = ("qemu-system", "qemu-kvm")
_BUILDERS = ("supermin",)
_TASKS = Path("/proc/self/task")


def end_machines() -> None:
    """Kill every qemu machine that is a child of ours; the call that waits for it then fails at once."""
    for task in _TASKS.iterdir():
        end_machines_of(int(task.name))


def end_machines_of(thread: int) -> bool:
    """Kill the machines that one thread of ours has started, by its number in the kernel, and no other's.

    True when there was one. The kernel keeps the children of each thread apart as long as that thread is
    there (proc(5), "children").
    """
    return _end_children(thread, _MACHINES)


def end_launch_of(thread: int) -> None:
    """The same, of a launch that nobody wants any more: what builds an appliance for it is killed, too."""
    _end_children(thread, (*_MACHINES, *_BUILDERS))


class Limit:
    """While the block runs: ends a machine that this thread has started and that takes longer; None: never.

    Whoever waits for the machine then fails. To be made in the thread that starts it. The time begins anew
    where there is no machine yet when it is over: its appliance is still being built.
    """

    def __init__(self, seconds: float | None) -> None:
        self.reached = False
        self._seconds = seconds
        self._starts = threading.get_native_id()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="limit", daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(self._seconds):
            self.reached = end_machines_of(self._starts) or self.reached

    def __enter__(self) -> None:
        if self._seconds is not None:
            self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        if self._seconds is not None:
            self._thread.join()  # so that it is certain whether it was reached


def _end_children(thread: int, names: tuple[str, ...]) -> bool:
    """True when there was one."""
    try:
        children = (_TASKS / str(thread) / "children").read_text().split()
    except OSError:
        return False
    ended = [_end(int(word), names) for word in children]
    return any(ended)


def _end(process: int, names: tuple[str, ...]) -> bool:
    with contextlib.suppress(OSError):
        if Path(f"/proc/{process}/comm").read_text().startswith(names):
            os.kill(process, signal.SIGKILL)
            return True
    return False

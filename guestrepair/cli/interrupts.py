"""Ctrl-C that works at once: libguestfs's calls do not return for a signal, so its qemu is ended under them.

A launch takes ten seconds, a digest of /usr longer; Python looks at signals
only between calls. A thread that waits for them ends the appliance's qemu, the
call fails, and the interruption takes its usual way through every cleanup.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator

from guestrepair.appliance.qemu_processes import end_machines

_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@contextlib.contextmanager
def ends_machines() -> Iterator[None]:
    """While the block runs, a signal that ends the program ends its virtual machines first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    watcher = threading.Thread(target=_watch, args=(read_end,), daemon=True)
    watcher.start()
    previous = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        os.close(write_end)  # the watcher reads its end and stops
        watcher.join(timeout=1)


def _watch(read_end: int) -> None:
    with os.fdopen(read_end, "rb", buffering=0) as signals:
        while numbers := signals.read(16):
            if _ENDING & {int(number) for number in numbers}:
                end_machines()

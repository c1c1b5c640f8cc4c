"""What SIGTERM, SIGHUP and Ctrl-C do while files of ours exist that must not stay behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def cleaned_up_on_termination() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP end it as Ctrl-C does.

    That is by KeyboardInterrupt, so every ``finally`` runs.

    A handler that somebody else has set stays; outside the main thread nothing changes.
    """
    replaced = []
    if threading.current_thread() is threading.main_thread():
        replaced = [s for s in _ENDING if signal.getsignal(s) is signal.SIG_DFL]
    for number in replaced:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


class Deferred:
    """Whether an ending signal came while they were held back."""

    def __init__(self) -> None:
        self.came = False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        self.came = True


@contextmanager
def deferred() -> Iterator[Deferred]:
    """While the block runs, Ctrl-C, SIGTERM and SIGHUP are only noted; the caller decides what follows."""
    state = Deferred()
    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, state.note) for number in _DEFERRED}
    try:
        yield state
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

"""Budgets of time and memory: whatever a guest holds, work on it ends, and says that it was ended.

:func:`within` runs a piece of work. When the budget is used up, :class:`Overrun` is raised in the middle
of the work, wherever that is (in a regular expression, too), and comes out as ``BudgetError``.

================  ===============  ========  ==================================================
work              processor time   waiting   when it is used up
================  ===============  ========  ==================================================
``EXAMINE``       30 s             -         the image file is refused
``FIND``          30 s             100 s     the image cannot be analyzed
``MENDING``       10 s             -         the guest is mounted by its fstab as it is, not as repaired
``DATABASE``      45 s             75 s      what needs the package database is inconclusive
``ANALYZER``      45 s             75 s      that analyzer is inconclusive, the others go on
``LOOK``          100 s            130 s     all of the above together: the rest is inconclusive
``PLAN``          300 s            -         the repair is not made, the image is as it was
``COMPARE``       600 s            1200 s    what differs in the files of two guests is not known
``DIFF``          5 s              -         the report has no diff of that change
``REPORT``        40 s             60 s      the report is written without its details
each of them      448 MiB of our process     (a healthy guest of 300,000 files: 140 MiB; COMPARE: twice that)
================  ===============  ========  ==================================================

The memory is that of the whole process where that is the program (:func:`own_process`). In another one, which
may hold gigabytes of its own, it is what the process has grown by since the outermost budget began; what its
other threads take meanwhile cannot be told from that.

A healthy guest of 300,000 files takes a tenth of this on the machine that the benchmarks ran on.
``--digests all`` and ``--deep``, whose work grows with the disk, get several times as much. Processor time
is that of our own thread: a machine under load is not slower by it. Waiting is for other processes and
the appliance; the wait for its launch and for an answer of the user does not count, and the time of a call
counts for less where the launch has shown the machine to be slow (see ``appliance/call_watch.py``, which
also ends an appliance that does not answer at all). An inner budget ends a little before the outer one.

How: a timer of the kernel (setitimer(2)) interrupts the main thread ten times a second, since a thread
of ours would not be let run while a regular expression does. The handler looks at the clocks and
at the size of the process. Memory is watched, not limited: under a limit (setrlimit(2)) libguestfs
calls abort(3) when it gets none, and its qemu, which another thread starts at any moment, would inherit it.
What remains is a single operation of Python that takes very much at once; the limits on what is read of a
file bound that. In other threads than the main one there are no signals: there the budget is looked
at before each question to the guest (:func:`check`), so that only work that asks nothing goes on.

Whoever goes on after an overrun must not trust what the work has left half done. What must not be
left so is done :class:`sheltered`: the overrun then waits for its end.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, TypeVar

from guestrepair.errors import BudgetError

A = TypeVar("A")
T = TypeVar("T")
MIB = 1 << 20
MEMORY_BYTES = 448 * MIB
LEFT_BYTES = 96 * MIB
"""What a piece of work may take in any case, when the memory of those before it was not given back."""

FOREVER = float("inf")
_TICK_SECONDS = 0.1
_AGAIN_SECONDS = 5.0
"""After an overrun was raised and is still on its way (or was swallowed), it is raised again."""

_KEPT_BACK = 0.1
"""The part of an outer budget that an inner one leaves to it, so that it can still say what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a piece of work may use: processor time of its thread, time in all, memory (see above)."""

    what: str
    cpu_seconds: float
    wall_seconds: float = FOREVER
    memory_bytes: int = MEMORY_BYTES

    def times(self, cpu: float, wall: float) -> Budget:
        """The same for so many times as much work."""
        return replace(self, cpu_seconds=self.cpu_seconds * cpu, wall_seconds=self.wall_seconds * wall)


EXAMINE = Budget(what="opening the image", cpu_seconds=30)
FIND = Budget(what="finding the system", cpu_seconds=30, wall_seconds=100)
MENDING = Budget(what="repairing fstab in mind", cpu_seconds=10)
DATABASE = Budget(what="reading the package database", cpu_seconds=45, wall_seconds=75)
ANALYZER = Budget(what="the analyzer", cpu_seconds=45, wall_seconds=75)
LOOK = Budget(what="the whole analysis", cpu_seconds=100, wall_seconds=130)
CAUSE = Budget(what="looking for causes", cpu_seconds=20, wall_seconds=40)
PLAN = Budget(what="planning the repair", cpu_seconds=300)
DIFF = Budget(what="the diff", cpu_seconds=5)
COMPARE = Budget(what="comparing files", cpu_seconds=600, wall_seconds=1200, memory_bytes=2 * MEMORY_BYTES)
REPORT = Budget(what="writing the report", cpu_seconds=40, wall_seconds=60)


class Overrun(BaseException):
    """A budget is used up. No ``except Exception`` on the way takes it; only :func:`within` does."""

    def __init__(self, running: _Running, reason: str) -> None:
        super().__init__(reason)
        self.running = running
        self.reason = reason


@dataclass(slots=True, eq=False)
class _Running:
    """A budget that is being used: when it ends, and the words for each of the ends."""

    budget: Budget
    cpu_end: float
    cpu_reason: str
    wall_end: float
    wall_reason: str
    memory_end: int
    memory_reason: str
    sheltered: int
    over: bool = False

    def excess(self) -> str:
        """Why the work has to end now; empty as long as it may go on."""
        if self.over:
            return ""
        if time.thread_time() >= self.cpu_end:
            return self.cpu_reason
        if time.monotonic() >= self.wall_end:
            return self.wall_reason
        if used_bytes() >= self.memory_end:
            return self.memory_reason
        return ""


@dataclass(slots=True)
class _Timer:
    """The kernel's timer, and what it was set to by others."""

    handler: Any = None
    left: float = 0.0
    interval: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        self.since = time.monotonic()
        self.left, self.interval = signal.setitimer(signal.ITIMER_REAL, 0)
        self.handler = signal.signal(signal.SIGALRM, _tick)
        signal.setitimer(signal.ITIMER_REAL, _TICK_SECONDS, _TICK_SECONDS)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.handler if self.handler is not None else signal.SIG_DFL)
        if self.left:
            left = self.left - (time.monotonic() - self.since)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), self.interval)


class _Here(threading.local):
    """The budgets of one thread, the outermost first."""

    def __init__(self) -> None:
        self.running: list[_Running] = []
        self.sheltered = 0
        self.quiet_until = 0.0
        self.next_check = 0.0
        self.timer = _Timer() if threading.current_thread() is threading.main_thread() else None


_here = _Here()


def within(budget: Budget, work: Callable[[], T]) -> T:
    """What the work returns.

    Raises:
        BudgetError: the budget was used up, or nothing is left of one around it.
    """
    running = _prepared(budget)
    try:
        _enter(running)
        result = work()
        running.over = True  # from here on nothing is raised for it
        return result
    except Overrun as overrun:
        running.over = True
        if overrun.running is not running:
            raise
        reason = overrun.reason
    finally:
        running.over = True
        _leave(running)
    # Out of the handler: the exception no longer holds what the work had taken.
    if 2 * used_bytes() > running.memory_end:
        _give_back()
    raise BudgetError(budget.what, reason)


class sheltered:  # noqa: N801 (used like contextlib's)
    """While the block runs, no overrun is raised in it; one that is due comes after it."""

    def __enter__(self) -> None:
        _here.sheltered += 1

    def __exit__(self, *_error: object) -> None:
        _here.sheltered -= 1


class uncounted:  # noqa: N801 (used like contextlib's)
    """While the block runs, time does not count as waiting: for the user, or for a launch."""

    def __enter__(self) -> None:
        _here.sheltered += 1
        self._since = time.monotonic()

    def __exit__(self, *_error: object) -> None:
        credit(time.monotonic() - self._since)
        _here.sheltered -= 1


def unhurried(ask: Callable[[A], T] | None) -> Callable[[A], T] | None:
    """The same question to the user; the time that the answer takes does not count."""
    if ask is None:
        return None

    def asked(about: A) -> T:
        with uncounted():
            return ask(about)

    return asked


def credit(seconds: float) -> None:
    """So many seconds of this thread's waiting do not count."""
    for running in _here.running:
        running.wall_end += seconds


def seconds_left() -> float:
    """How long this thread may still go on before a budget ends; infinite without one."""
    now = time.monotonic()
    return min((running.wall_end - now for running in _here.running), default=FOREVER)


def check() -> None:
    """In another thread than the main one, raise the overrun that is due; to be called often."""
    here = _here
    if here.running and here.timer is None and time.monotonic() >= here.next_check:
        here.next_check = time.monotonic() + _TICK_SECONDS
        _raise_excess(here)


def used_bytes() -> int:
    """Memory of this process that is in use (proc_pid_statm(5), the second number)."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:  # noqa: PTH123 (ten times a second)
            return int(statm.read(128).split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class _Process:
    """Whether this process is the program, or somebody else's that uses it as a library."""

    is_ours: bool = False


_process = _Process()


def own_process() -> None:
    """From now on all memory of this process counts: it is the program, and holds nothing of others."""
    _process.is_ours = True


def _memory_end(memory_bytes: int) -> tuple[int, str]:
    """How large the process may become with such a budget, in bytes, and what is said there."""
    used = used_bytes()
    if _process.is_ours:
        end = max(memory_bytes, used + LEFT_BYTES)
        return end, f"stopped at {end // MIB} MiB of memory"
    growth = max(memory_bytes, LEFT_BYTES)
    return used + growth, f"stopped at {growth // MIB} MiB of memory more than there were at the beginning"


def _tick(_number: int, _frame: FrameType | None) -> None:
    _raise_excess(_here)


def _raise_excess(here: _Here) -> None:
    if here.sheltered or time.monotonic() < here.quiet_until:
        return
    for running in here.running:
        reason = running.excess()
        if reason:
            here.quiet_until = time.monotonic() + _AGAIN_SECONDS
            raise Overrun(running, reason)


def _prepared(budget: Budget) -> _Running:
    """The budget, from now on, as far as those around it let it go.

    Raises:
        BudgetError: they let it go nowhere.
    """
    cpu, wall = time.thread_time(), time.monotonic()
    memory_end, memory_reason = _memory_end(budget.memory_bytes)
    running = _Running(
        budget=budget,
        cpu_end=cpu + budget.cpu_seconds,
        cpu_reason=f"stopped after {budget.cpu_seconds:g} s of processor time",
        wall_end=wall + budget.wall_seconds,
        wall_reason=f"stopped after {budget.wall_seconds:g} s",
        memory_end=memory_end,
        memory_reason=memory_reason,
        sheltered=_here.sheltered,
    )
    for outer in _here.running:
        whole = outer.budget
        cpu_end = outer.cpu_end - _KEPT_BACK * whole.cpu_seconds
        if cpu_end < running.cpu_end:
            running.cpu_end = cpu_end
            running.cpu_reason = f"stopped: {whole.what} may take {whole.cpu_seconds:g} s of processor time"
        wall_end = outer.wall_end - _KEPT_BACK * whole.wall_seconds
        if wall_end < running.wall_end:  # not where either is infinite: inf - inf is not a number
            running.wall_end = wall_end
            running.wall_reason = f"stopped: {whole.what} may take {whole.wall_seconds:g} s"
    for end, now, reason in (
        (running.cpu_end, cpu, running.cpu_reason),
        (running.wall_end, wall, running.wall_reason),
    ):
        if end <= now:
            raise BudgetError(budget.what, reason)
    return running


def _enter(running: _Running) -> None:
    here = _here
    here.running.append(running)
    if here.timer is not None and len(here.running) == 1:
        here.timer.start()


def _leave(running: _Running) -> None:
    here = _here
    if running not in here.running:
        return
    del here.running[here.running.index(running) :]
    here.sheltered, here.quiet_until = running.sheltered, 0.0
    if here.timer is not None and not here.running:
        here.timer.stop()


def _give_back() -> None:
    """Give the memory of ended work back to the kernel, so that it does not count for the next one."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library than glibc
        return

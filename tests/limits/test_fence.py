"""Budgets: work that takes for ever is ended wherever it is, and whoever goes on finds things in order."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from guestrepair import fence
from guestrepair.disk.signals import cleaned_up_on_termination
from guestrepair.errors import BudgetError
from guestrepair.fence import MIB, Budget, sheltered, uncounted, used_bytes, within

# A budget may end within a garbage collection, whose callbacks (Hypothesis has one) may not raise.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SHORT = Budget(what="this", cpu_seconds=0.3, wall_seconds=20)
BRIEF = Budget(what="this", cpu_seconds=20, wall_seconds=0.3)
PATIENT = Budget(what="this", cpu_seconds=60, wall_seconds=1)
AMPLE = Budget(what="all of it", cpu_seconds=60, wall_seconds=120)


def spin() -> None:
    while True:
        pass


def spin_in_a_pattern() -> None:
    re.match(r"(?:a|a?)+$", "a" * 40 + "b")


def spin_and_catch_all() -> None:
    while True:
        with contextlib.suppress(Exception):
            sum(range(1000))


def spin_in_cleaning_up() -> None:
    try:
        spin()
    finally:
        os.environ.get("HOME")


def one_after_another() -> Iterator[int]:
    while True:
        yield 1


def grow() -> None:
    kept = []
    while True:
        kept.append(bytearray(os.urandom(64) * 16384))


@pytest.mark.parametrize(
    ("budget", "work", "reason"),
    [
        (SHORT, spin, "stopped after 0.3 s of processor time"),
        (SHORT, spin_in_a_pattern, "stopped after 0.3 s of processor time"),
        (SHORT, spin_and_catch_all, "stopped after 0.3 s of processor time"),
        (SHORT, spin_in_cleaning_up, "stopped after 0.3 s of processor time"),
        (SHORT, lambda: sum(one_after_another()), "stopped after 0.3 s of processor time"),
        (BRIEF, lambda: time.sleep(600), "stopped after 0.3 s"),
        (BRIEF, lambda: threading.Event().wait(600), "stopped after 0.3 s"),
    ],
)
def test_work_without_an_end_is_ended(budget: Budget, work: Callable[[], object], reason: str) -> None:
    with pytest.raises(BudgetError) as ended:
        within(budget, work)
    assert ended.value.reason == reason
    assert ended.value.message == f"this: {reason}"
    assert ended.value.exit_status == 3


def test_work_that_takes_all_memory_is_ended_and_what_it_took_is_free_again() -> None:
    before = used_bytes()
    with pytest.raises(BudgetError, match=r"stopped at \d+ MiB of memory"):
        within(Budget(what="this", cpu_seconds=60, memory_bytes=before + 128 * MIB), grow)
    assert used_bytes() < before + 64 * MIB


def test_memory_that_others_have_taken_does_not_end_small_work() -> None:
    assert within(Budget(what="this", cpu_seconds=5, memory_bytes=1), lambda: sum(range(10**6))) > 0


def test_an_overrun_that_was_swallowed_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence, "_AGAIN_SECONDS", 0.5)
    swallowed = []

    def work() -> None:
        try:
            spin()
        except BaseException as error:  # as a callback of a C library does
            swallowed.append(error)
        spin()

    with pytest.raises(BudgetError):
        within(Budget(what="this", cpu_seconds=0.2), work)
    assert len(swallowed) == 1


def test_what_work_returns_and_raises_comes_through() -> None:
    assert within(AMPLE, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(AMPLE, lambda: 1 // 0)


def test_an_inner_budget_ends_and_the_outer_work_goes_on() -> None:
    said = []

    def outer() -> str:
        for _ in range(2):
            try:
                within(SHORT, spin)
            except BudgetError as error:
                said.append(error.reason)
        return "done"

    assert within(AMPLE, outer) == "done"
    assert said == ["stopped after 0.3 s of processor time"] * 2


def test_an_inner_budget_ends_before_the_outer_one_and_leaves_it_time_to_say_so() -> None:
    said = []

    def outer() -> str:
        for _ in range(3):
            try:
                within(AMPLE, spin)
            except BudgetError as error:
                said.append(error.message)
        return "done"

    assert within(Budget(what="the whole", cpu_seconds=2), outer) == "done"
    assert said == ["all of it: stopped: the whole may take 2 s of processor time"] * 3


def test_the_end_of_the_outer_budget_is_not_taken_for_that_of_the_inner_one() -> None:
    def outer() -> None:
        with sheltered():  # so that the inner one is past both ends at once
            end = time.thread_time() + 0.6
            while time.thread_time() < end:
                pass
        with pytest.raises(BudgetError, match="the whole may take"):
            within(AMPLE, spin)
        spin()

    with pytest.raises(BudgetError, match=r"the whole: stopped after 0\.5 s of processor time"):
        within(Budget(what="the whole", cpu_seconds=0.5), outer)


def test_nothing_is_raised_in_a_shelter_and_what_is_due_comes_after_it() -> None:
    steps = []

    def work() -> None:
        with sheltered():
            end = time.thread_time() + 1
            while time.thread_time() < end:
                pass
            steps.append("whole")
        spin()

    with pytest.raises(BudgetError):
        within(SHORT, work)
    assert steps == ["whole"]


def test_waiting_for_the_user_does_not_count() -> None:
    def work() -> str:
        with uncounted():
            time.sleep(1.3)
        return "answered"

    assert within(PATIENT, work) == "answered"
    ask = fence.unhurried(lambda name: f"{name}: {work()}")
    assert ask is not None
    assert within(PATIENT, lambda: ask("passphrase")) == "passphrase: answered"
    assert fence.unhurried(None) is None


def test_a_slow_call_counts_for_less_where_the_machine_is_slow() -> None:
    def work() -> str:
        with sheltered():
            time.sleep(1.3)
            fence.credit(1.2)
        time.sleep(0.2)
        return "done"

    assert within(PATIENT, work) == "done"


def test_ctrl_c_goes_through_a_budget() -> None:
    ended = threading.Event()

    def press() -> None:
        # Again and again, as people do: one that comes within a callback of the garbage collection is lost.
        while not ended.wait(0.2):
            os.kill(os.getpid(), signal.SIGINT)

    def work() -> None:
        threading.Thread(target=press, daemon=True).start()
        try:
            spin()
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        within(AMPLE, lambda: within(AMPLE, work))
    assert_no_timer_of_ours()


def test_sigterm_goes_through_a_budget_with_every_cleanup() -> None:
    cleaned = []

    def work() -> None:
        threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        try:
            spin()
        finally:
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt), cleaned_up_on_termination():
        within(AMPLE, work)
    assert cleaned == [True]
    assert_no_timer_of_ours()


def assert_no_timer_of_ours() -> None:
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    assert interval == 0
    assert not left or left > 1  # that of the test runner


def test_the_timer_of_somebody_else_goes_on_afterwards() -> None:
    rung = threading.Event()
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.set())
    timer = signal.setitimer(signal.ITIMER_REAL, 500)
    try:
        with pytest.raises(BudgetError):
            within(BRIEF, lambda: time.sleep(60))
        assert 100 < signal.getitimer(signal.ITIMER_REAL)[0] < 499.8
        signal.setitimer(signal.ITIMER_REAL, 0.1)  # it would have rung within the work: it does after it
        with pytest.raises(BudgetError):
            within(BRIEF, lambda: time.sleep(60))
        assert rung.wait(60)
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_no_timer_runs_where_no_budget_is() -> None:
    """As in a commit: nothing may interrupt it."""
    within(AMPLE, lambda: None)
    with pytest.raises(BudgetError):
        within(SHORT, spin)
    assert_no_timer_of_ours()


def test_in_another_thread_the_budget_ends_at_the_next_question_to_the_guest() -> None:
    ended: list[str] = []

    def ask_again_and_again() -> None:
        while True:
            fence.check()

    def run() -> None:
        for budget in (SHORT, BRIEF):
            try:
                within(budget, ask_again_and_again)
            except BudgetError as error:
                ended.append(error.reason)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert ended == ["stopped after 0.3 s of processor time", "stopped after 0.3 s"]


def test_the_budgets_of_a_scan_leave_room_to_report_within_two_and_a_half_minutes() -> None:
    """With a launch of ten seconds; and no part may take more than the whole."""
    assert fence.LOOK.wall_seconds + 10 <= 150
    for part in (fence.EXAMINE, fence.FIND, fence.MENDING, fence.DATABASE, fence.ANALYZER):
        assert part.cpu_seconds < fence.LOOK.cpu_seconds
    assert fence.MEMORY_BYTES + fence.LEFT_BYTES < 600_000_000

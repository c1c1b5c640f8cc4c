"""What a budget counts as memory: all of the program's process, and of another one's what it grows by."""

from __future__ import annotations

import mmap
import time

import pytest

from guestrepair import fence
from guestrepair.errors import BudgetError
from guestrepair.fence import LEFT_BYTES, MIB, Budget, used_bytes, within

_TICKS_SECONDS = 0.25
"""Longer than two looks at the size of the process are apart."""


def held(size_bytes: int) -> mmap.mmap:
    """So much memory that is in use, and is given back when it is closed."""
    taken = mmap.mmap(-1, size_bytes)
    for page in range(0, size_bytes, mmap.PAGESIZE):
        taken[page] = 1
    return taken


def grow(size_bytes: int) -> str:
    with held(size_bytes):
        time.sleep(_TICKS_SECONDS)
    return "done"


def test_a_process_that_holds_much_of_its_own_gives_work_all_of_its_budget() -> None:
    with held(LEFT_BYTES + 64 * MIB):
        budget = Budget(what="this", cpu_seconds=20, memory_bytes=LEFT_BYTES + 48 * MIB)
        assert used_bytes() > budget.memory_bytes
        assert within(budget, lambda: grow(LEFT_BYTES + 16 * MIB)) == "done"


def test_it_does_so_each_time_and_no_more_than_that() -> None:
    budget = Budget(what="this", cpu_seconds=20, memory_bytes=LEFT_BYTES + 16 * MIB)
    with held(64 * MIB):
        for _ in range(2):
            with pytest.raises(BudgetError, match="stopped at 112 MiB of memory more than"):
                within(budget, lambda: grow(LEFT_BYTES + 48 * MIB))


def test_the_program_counts_all_that_its_process_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence._process, "is_ours", True)
    with held(64 * MIB):
        budget = Budget(what="this", cpu_seconds=20, memory_bytes=used_bytes() + LEFT_BYTES + 8 * MIB)
        words = f"stopped at {budget.memory_bytes // MIB} MiB of memory$"
        with pytest.raises(BudgetError, match=words):
            within(budget, lambda: grow(LEFT_BYTES + 32 * MIB))


def test_an_inner_budget_cannot_grow_past_the_outer_one() -> None:
    outer = Budget(what="all", cpu_seconds=20, memory_bytes=LEFT_BYTES + 16 * MIB)
    inner = Budget(what="this", cpu_seconds=20, memory_bytes=LEFT_BYTES * 4)

    def work() -> None:
        with held(64 * MIB):
            within(inner, lambda: grow(64 * MIB))

    with pytest.raises(BudgetError, match="all: stopped at 112 MiB"):
        within(outer, work)

"""A guest that prints without end."""

from __future__ import annotations

from guestrepair.boot.console import MAX_LINE, MAX_TAIL, MAX_UNITS, Console


def test_a_guest_that_prints_without_end_costs_nothing() -> None:
    console = Console()
    for number in range(200):
        console.feed(b"x" * 65536, float(number))
        console.feed(b"[FAILED] Failed to start u%d.service.\r\n" % number * 10, float(number))
    verdict = console.verdict()
    assert verdict.outcome is None
    assert len(verdict.failed_units) <= MAX_UNITS
    assert len(console.tail()) <= MAX_TAIL
    assert all(len(line) <= MAX_LINE for line in console.tail())

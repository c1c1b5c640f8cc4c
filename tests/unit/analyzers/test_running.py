"""Running an analyzer: what it cannot read, and a fault of its own, is said and never taken for healthy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from guestrepair.analyzers.base import Analyzer, Context, Rule, UndeclaredWarning, run_analyzer
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, Inconclusive, Repair, Safety, Severity

WRITABLE = Rule(
    name="motd/writable",
    summary="",
    severities=(Severity.WARNING,),
    safeties=(Safety.SAFE,),
    what="",
    why="",
    repair="",
)
FOUND = Finding("motd/writable", Severity.WARNING, "/etc/motd", "can be changed by anybody")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GuestReadError("/etc/motd", "input/output error"), "/etc/motd: input/output error"),
        (FormatError("/etc/motd:3: no text"), "/etc/motd:3: no text"),
        (IndexError("list index out of range"), "a fault of the analyzer: IndexError"),
        (RecursionError(), "a fault of the analyzer: RecursionError"),
    ],
)
def test_what_stops_an_analyzer_is_inconclusive(error: Exception, reason: str) -> None:
    def analyze(_context: Context) -> Iterator[Finding | Inconclusive]:
        yield FOUND
        raise error

    analyzer = Analyzer(name="motd", summary="", rules=(WRITABLE,), analyze=analyze)
    findings, inconclusive = run_analyzer(analyzer, Context(MemoryGuest()))
    assert findings == [FOUND]
    assert [item.analyzer for item in inconclusive] == ["motd"]
    assert inconclusive[0].reason.startswith(reason)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (FOUND, ""),
        (replace(FOUND, severity=Severity.NOTE), "is no note"),
        (replace(FOUND, repair=Repair("", Safety.SAFE)), ""),
        (replace(FOUND, repair=Repair("", Safety.MANUAL)), "a repair that is manual"),
        (replace(FOUND, rule="motd/unknown"), "is no rule of motd"),
    ],
)
def test_a_finding_that_its_rule_does_not_declare_fails_the_test_that_meets_it(
    found: Finding, words: str
) -> None:
    analyzer = Analyzer(name="motd", summary="", rules=(WRITABLE,), analyze=lambda _context: iter((found,)))
    if not words:
        assert run_analyzer(analyzer, Context(MemoryGuest())) == ([found], [])
        return
    with pytest.raises(UndeclaredWarning, match=words):
        run_analyzer(analyzer, Context(MemoryGuest()))

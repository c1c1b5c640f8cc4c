"""Running an analyzer: what it cannot read, and a fault of its own, is said and never taken for healthy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guestrepair.analyzers.base import Analyzer, Context, run_analyzer
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, Inconclusive, Severity

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

    analyzer = Analyzer(name="motd", summary="", rules=(), analyze=analyze)
    findings, inconclusive = run_analyzer(analyzer, Context(MemoryGuest()))
    assert findings == [FOUND]
    assert [item.analyzer for item in inconclusive] == ["motd"]
    assert inconclusive[0].reason.startswith(reason)

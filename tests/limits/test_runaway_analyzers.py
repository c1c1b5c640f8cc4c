"""An analyzer that takes more time or memory than it may."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from guestrepair import fence
from guestrepair.analyzers.base import (
    Context,
    run_analyzer,
)
from guestrepair.fence import Budget
from guestrepair.model import Finding, Inconclusive
from guestrepair.operations.analysis import analyze
from guestrepair.operations.options import ScanOptions, UserInterface
from tests.unit.analyzers.test_running import FOUND, Remembering, devour, hang, hang_in_a_pattern, named


@pytest.mark.parametrize("runaway", [hang, hang_in_a_pattern, devour])
def test_a_runaway_analyzer_is_inconclusive_and_the_others_go_on(
    runaway: Callable[[Context], Iterator[Finding | Inconclusive]],
) -> None:
    guest = Remembering()
    small = Budget(what="the analyzer", cpu_seconds=0.2, memory_bytes=fence.used_bytes() + 100 * fence.MIB)
    context = Context(guest)
    findings, inconclusive = run_analyzer(named(runaway), context, small)
    assert findings == [FOUND]
    assert [i.analyzer for i in inconclusive] == ["motd"]
    assert re.match(
        r"stopped after 0\.2 s of processor time|stopped at \d+ MiB of memory", inconclusive[0].reason
    )
    assert guest.started_over == 1
    other = named(lambda _context: iter((FOUND,)), "other")
    assert analyze([other], context, ScanOptions(), UserInterface()) == ([FOUND], [])
    assert guest.started_over == 1

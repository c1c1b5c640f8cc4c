"""A planted cause among a thousand packages of hundreds of images."""

from __future__ import annotations

import pytest

from guestrepair.fleet.commonality import in_common
from tests.unit.fleet.test_commonality import BAD, RULE, fleet_of


@pytest.mark.parametrize(("count", "broken"), [(40, range(10)), (100, range(0, 100, 9)), (400, range(20))])
def test_a_planted_cause_is_named_first_among_a_thousand_packages(count: int, broken: range) -> None:
    first, *_ = in_common(fleet_of(count, broken))
    assert first.rule == RULE
    assert first.facts[0] == BAD
    assert (first.examined, first.having, first.affected, first.both) == (
        count,
        len(broken),
        *[len(broken)] * 2,
    )
    assert first.lift == pytest.approx(count / len(broken))

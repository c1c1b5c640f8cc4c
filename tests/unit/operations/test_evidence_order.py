"""Events of one moment and place are in one order, whoever read them first."""

from __future__ import annotations

import itertools

from guestrepair.events.model import Event, Kind
from guestrepair.operations.evidence import in_full_order


def event(time_ns: int, message: str, source: str = "s", path: str | None = None) -> Event:
    return Event(
        time_ns=time_ns,
        kind=Kind.FILE,
        description="Creation Time",
        message=message,
        source=source,
        path=path,
    )


def test_chance_does_not_show() -> None:
    alike = [event(5, "a"), event(5, "b"), event(5, "b", path="/x"), event(5, "c")]
    orders = {
        tuple(in_full_order([event(4, "z"), *order, event(6, "a")]))
        for order in itertools.permutations(alike)
    }
    assert orders == {(event(4, "z"), *alike, event(6, "a"))}


def test_the_order_of_times_and_places_stays() -> None:
    events = [event(1, "z", "a"), event(1, "a", "b"), event(2, "a", "a")]
    assert list(in_full_order(events)) == events

"""Events come out by their times, all of them and each once, whatever order they went in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guestrepair.events import order
from guestrepair.events.model import Certainty, Event, Kind, Unread
from guestrepair.events.order import Ordered


@dataclass
class Listed:
    """A reader of what it is given."""

    given: Sequence[Event | Unread]
    name: str = "listed"

    def events(self) -> Iterator[Event | Unread]:
        yield from self.given


def event(time: int, source: str = "/x:1", text: str = "m") -> Event:
    return Event(
        time_ns=time, kind=Kind.LOG, description="Recorded Time", message=text, source=source,
        certainty=Certainty.INFERRED, actor="alice", path=None, detail=(("from", "10.0.0.1\udcff"),),
    )  # fmt: skip


def ordered(directory: Path, *readers: Listed, since: int = -(10**9)) -> tuple[list[Event], list[Unread]]:
    unread: list[Unread] = []
    with Ordered(directory, unread.append) as merged:
        for reader in readers:
            merged.add(reader, lambda e: e.time_ns >= since)
        found = list(merged.events())
    assert not list(directory.glob("run-*"))  # nothing is left behind
    return found, unread


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(-50, 50), max_size=30), max_size=6))
def test_all_come_out_in_order(tmp_path: Path, times: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "CHUNK", 3)
        patch.setattr(order, "MAX_RUNS", 2)
        readers = [
            Listed([event(t, f"/log{n}:{line}") for line, t in enumerate(given)])
            for n, given in enumerate(times)
        ]
        found, unread = ordered(tmp_path, *readers)
    expected = [e for reader in readers for e in reader.given if isinstance(e, Event)]
    assert found == sorted(expected, key=lambda e: e.time_ns)  # and of one time, as they were read
    assert not unread


def test_a_log_in_order_is_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "CHUNK", 4)
    with Ordered(tmp_path, lambda _unread: None) as merged:
        merged.add(Listed([event(t) for t in range(40)]), lambda _event: True)
        assert len(list(tmp_path.glob("run-*"))) == 1
        assert [e.time_ns for e in merged.events()] == list(range(40))


def test_what_is_not_wanted_is_left_out_and_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    lost = Unread("/var/log/wtmp", "cut off")
    found, unread = ordered(tmp_path, Listed([event(1), lost, event(9)]), since=5)
    assert ([e.time_ns for e in found], unread) == ([9], [lost])

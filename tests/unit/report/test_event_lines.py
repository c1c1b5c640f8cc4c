"""Events as lines: JSON as the standard library writes it, times as calendars have them."""

from __future__ import annotations

import json
from datetime import UTC, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.events.model import Certainty, Event, Kind
from guestrepair.report.events import COLUMNS, jsonl, table
from guestrepair.report.times import local, utc

TEXT = st.text(st.characters(), max_size=20)  # surrogates, too
OR_NONE = st.none() | TEXT
EVENTS = st.builds(
    Event,
    time_ns=st.integers(-(10**19), 10**20),
    source=TEXT,
    kind=st.sampled_from(Kind),
    description=TEXT,
    message=TEXT,
    certainty=st.sampled_from(Certainty),
    actor=OR_NONE,
    path=OR_NONE,
    detail=st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple),
)


@given(EVENTS)
def test_a_line_of_json_is_what_the_encoder_writes(event: Event) -> None:
    (line,) = jsonl([event])
    found = json.loads(line)
    assert line == json.dumps(found, ensure_ascii=True) + "\n"
    assert tuple(found)[: len(COLUMNS)] == COLUMNS
    assert (found["datetime"], found["timestamp"]) == (utc(event.time_ns), event.time_ns // 1000)
    assert (found["kind"], found["certainty"]) == (event.kind.value, event.certainty.value)
    assert (found["actor"] is None, found["path"] is None) == (event.actor is None, event.path is None)
    assert {name for name in found if name not in COLUMNS} == {f"detail_{name}" for name, _ in event.detail}
    for text, value in ((found["message"], event.message), (found["source"], event.source)):
        if value.isprintable():
            assert text == value


@given(EVENTS)
def test_a_line_of_the_table_is_one_line(event: Event) -> None:
    (line,) = table([event], UTC)
    assert line.endswith("\n")
    assert line[:-1].isprintable()


@pytest.mark.parametrize(
    ("time_ns", "zone", "shown"),
    [
        (0, UTC, "1970-01-01 00:00:00.000 UTC"),
        (1_790_000_000_123_999_999, UTC, "2026-09-21 14:13:20.123 UTC"),
        (-1, UTC, "1969-12-31 23:59:59.999 UTC"),
        (1_790_000_000_000_000_000, ZoneInfo("Europe/Berlin"), "2026-09-21 16:13:20.000 CEST"),
        (0, timezone(timedelta(minutes=-90)), "1969-12-31 22:30:00.000 UTC-01:30"),
        (10**21, UTC, "9999-12-31 23:59:59.999 UTC"),
        (10**21, ZoneInfo("Asia/Tokyo"), "9999-12-31 23:59:59.999 UTC"),
        (-(10**21), ZoneInfo("America/New_York"), "0001-01-01 00:00:00.000 UTC"),
    ],
)
def test_local_times(time_ns: int, zone: ZoneInfo, shown: str) -> None:
    assert local(time_ns, zone) == shown

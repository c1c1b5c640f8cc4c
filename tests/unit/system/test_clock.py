# ruff: noqa: DTZ001 - local times without a zone are what this is about
"""The guest's time zone comes from its own file, whatever the host's is."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.clock import Clock

BERLIN = Path("/usr/share/zoneinfo/Europe/Berlin")


def guest(rules: bytes | None = None) -> MemoryGuest:
    made = MemoryGuest()
    if rules is not None:
        made.file("/usr/share/zoneinfo/Europe/Berlin", rules)
        made.link("/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin")
    return made


@pytest.mark.skipif(not BERLIN.exists(), reason="this host has no time zones")
@pytest.mark.parametrize(
    ("local", "utc"),
    [
        (datetime(2026, 1, 15, 12, 0), datetime(2026, 1, 15, 11, 0)),
        (datetime(2026, 7, 15, 12, 0), datetime(2026, 7, 15, 10, 0)),
        (datetime(2026, 10, 25, 2, 30), datetime(2026, 10, 25, 0, 30)),  # twice: the first
    ],
)
def test_local_times_follow_the_zone_and_its_summer_time(local: datetime, utc: datetime) -> None:
    clock = Clock(guest(BERLIN.read_bytes()))
    assert clock.name == "Europe/Berlin"
    assert clock.utc_ns(local) == int(utc.replace(tzinfo=UTC).timestamp()) * 10**9


def test_without_a_zone_it_is_utc() -> None:
    clock = Clock(guest())
    assert (clock.name, clock.utc_ns(datetime(1970, 1, 1, 0, 0, 1))) == ("UTC", 10**9)


@pytest.mark.parametrize("rules", [b"", b"TZif", b"no zone at all" * 9])
def test_a_damaged_zone_is_said(rules: bytes) -> None:
    with pytest.raises(GuestReadError, match="time zone"):
        _ = Clock(guest(rules)).zone


@given(st.binary(max_size=300))
def test_any_bytes_are_a_zone_or_are_said(rules: bytes) -> None:
    with contextlib.suppress(GuestReadError):
        Clock(guest(b"TZif2" + rules)).utc_ns(datetime(2026, 1, 1))

"""Moments as text; years that no calendar has are the nearest that it has."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


def utc(time_ns: int, *, seconds: bool = False) -> str:
    """ISO 8601 in UTC, with microseconds or in whole seconds."""
    microseconds = time_ns // 1000
    second, rest = divmod(microseconds, 1_000_000)
    if not _FIRST <= second <= _LAST:
        second, rest = (_LAST, 999_999) if second > 0 else (_FIRST, 0)
    return _second(second) + ("Z" if seconds else f".{rest:06}Z")


@lru_cache(maxsize=65_536)
def _second(second: int) -> str:
    """Nearly all that is printed one after the other is of few seconds."""
    return (_EPOCH + timedelta(seconds=second)).isoformat(timespec="seconds")[:-6]


def local(time_ns: int, zone: tzinfo) -> str:
    """As people read it, with the zone's name."""
    second, rest = divmod(time_ns, 1_000_000_000)
    if not _FIRST <= second <= _LAST:
        second, rest = (_LAST, 999_999_999) if second > 0 else (_FIRST, 0)
    clock, name = _local_second(second, zone)
    return f"{clock}.{rest // 1_000_000:03d} {name}"


@lru_cache(maxsize=4096)
def _local_second(second: int, zone: tzinfo) -> tuple[str, str]:
    """A second as the clock of a zone shows it, and the zone's name."""
    there = _EPOCH + timedelta(seconds=second)
    with contextlib.suppress(OverflowError, ValueError):
        there = there.astimezone(zone)
    return there.replace(tzinfo=None).isoformat(" ", "seconds"), there.tzname() or ""

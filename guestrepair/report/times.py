"""Moments as text; years that no calendar has are the nearest that it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc(time_ns: int, *, seconds: bool = False) -> str:
    """ISO 8601 in UTC, with microseconds or in whole seconds."""
    moment = _moment(time_ns).replace(tzinfo=None)
    return moment.isoformat(timespec="seconds" if seconds else "microseconds") + "Z"


def local(time_ns: int, zone: tzinfo) -> str:
    """As people read it, with the zone's name."""
    try:
        there = _moment(time_ns).astimezone(zone)
    except (OverflowError, ValueError):
        there = _moment(time_ns)
    return there.strftime("%Y-%m-%d %H:%M:%S") + f".{there.microsecond // 1000:03d} {there.tzname() or ''}"


def _moment(time_ns: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=time_ns // 1000)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if time_ns > 0 else datetime.min.replace(tzinfo=UTC)

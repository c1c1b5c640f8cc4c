"""For tests of readers: a guest's zone, and events apart from what could not be read."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from pathlib import Path

from guestrepair.events.model import Event, Reader, Unread
from guestrepair.guest.memory import MemoryGuest


def read(reader: Reader) -> tuple[list[Event], list[Unread]]:
    events: list[Event] = []
    unread: list[Unread] = []
    for each in reader.events():
        if isinstance(each, Event):
            events.append(each)
        else:
            unread.append(each)
    return events, unread


def utc(text: str) -> int:
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * 10**9


def in_zone(guest: MemoryGuest, name: str) -> None:
    """Give the guest that zone, by this host's rules of it."""
    found = next(Path(p) / name for p in zoneinfo.TZPATH if (Path(p) / name).is_file())
    guest.file(f"/usr/share/zoneinfo/{name}", found.read_bytes())
    guest.link("/etc/localtime", f"/usr/share/zoneinfo/{name}")

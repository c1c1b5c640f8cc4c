"""timeline: what happened in a guest, in order. Nothing is written to the image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from guestrepair.disk.temporary import temporary_directory
from guestrepair.errors import GuestReadError, UsageError
from guestrepair.events.model import Event, Kind, Unread
from guestrepair.events.order import Ordered
from guestrepair.events.secrets import without_secrets
from guestrepair.events.sources import readers
from guestrepair.guest.file_records import FileRecord
from guestrepair.operations.by_hand import opened
from guestrepair.operations.options import ImageOptions, Voice
from guestrepair.system.guest_system import System

_SECOND = 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineOptions:
    """Which events: from ``since_ns`` until ``until_ns`` (since the epoch), of these kinds, with that text.

    ``secrets`` shows passwords and tokens, which are masked else.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    kinds: frozenset[Kind] = frozenset(Kind)
    grep: re.Pattern[str] | None = None
    secrets: bool = False

    def wants(self, event: Event) -> bool:
        """Whether an event is one of them."""
        if event.kind not in self.kinds:
            return False
        if self.since_ns is not None and event.time_ns < self.since_ns:
            return False
        if self.until_ns is not None and event.time_ns > self.until_ns:
            return False
        return self.grep is None or any(self.grep.search(text) for text in _texts(event))


def _texts(event: Event) -> Iterator[str]:
    yield event.message
    yield from filter(None, (event.actor, event.path, event.source))


@dataclass(slots=True)
class Timeline:
    """The events in order, the guest's time zone, and what could not be read (known once all are read)."""

    events: Iterator[Event]
    zone: tzinfo
    unread: list[Unread] = field(default_factory=list)


@contextmanager
def timeline(
    path: Path, image_options: ImageOptions, options: TimelineOptions, voice: Voice
) -> Iterator[Timeline]:
    """The events of one image's guest, in order.

    Raises:
        GuestRepairError: it cannot be opened.
    """
    unread: list[Unread] = []
    with opened(path, image_options, voice) as guest, temporary_directory() as directory:
        system = System(guest)
        with Ordered(directory, unread.append) as ordered:
            for reader in readers(guest, system, options.kinds):
                voice.progress(f"reading {reader.name}")
                try:
                    ordered.add(reader, options.wants)
                except GuestReadError as error:
                    unread.append(Unread(error.path, error.reason))
            events = ordered.events()
            shown = events if options.secrets else map(without_secrets, events)
            yield Timeline(shown, _zone(system, unread), unread)


@contextmanager
def file_records(path: Path, image_options: ImageOptions, voice: Voice) -> Iterator[Iterator[FileRecord]]:
    """Every name of one image's guest, with its times.

    Raises:
        GuestRepairError: it cannot be opened.
    """
    with opened(path, image_options, voice) as guest:
        voice.progress("reading files")
        yield guest.file_records()


def _zone(system: System, unread: list[Unread]) -> tzinfo:
    try:
        return system.clock.zone
    except GuestReadError as error:
        unread.append(Unread(error.path, error.reason))
        return UTC


def time_ns(text: str) -> int:
    """A moment as a user writes it: ``2026-11-19``, ``2026-11-19 14:30Z``, ``…+01:00``; UTC unless said.

    Raises:
        UsageError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"{text}: no time", hint="write it as 2026-11-19 or 2026-11-19T14:30Z") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000

"""timeline: what happened in a guest, in order. Nothing is written to the image."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo

from guestrepair.analyzers.base import all_rules
from guestrepair.disk.attach.location import ImageName
from guestrepair.disk.temporary import temporary_directory
from guestrepair.errors import GuestReadError, UsageError
from guestrepair.events.model import Event, Kind, Unread
from guestrepair.events.order import Ordered
from guestrepair.events.secrets import all_without_secrets, masked
from guestrepair.events.sources import readers
from guestrepair.guest.file_records import FileRecord
from guestrepair.operations.analysis import analyze, chosen_analyzers
from guestrepair.operations.by_hand import opened
from guestrepair.operations.causes import with_causes
from guestrepair.operations.opening import make_context
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.repair.choose import check_selection, matches
from guestrepair.session.live import LiveGuest
from guestrepair.system.guest_system import System

AROUND_NS = 3600 * 10**9
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineOptions:
    """Which events: from ``since_ns`` until ``until_ns`` (since the epoch), of these kinds, with that text.

    ``around`` is a rule (``RULE@SUBJECT``) around whose finding's change, of an hour before and after, events
    are wanted. ``secrets`` shows passwords and tokens, which are masked else.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    kinds: frozenset[Kind] = frozenset(Kind)
    grep: re.Pattern[str] | None = None
    around: str = ""
    secrets: bool = False

    @property
    def is_everything(self) -> bool:
        """Whether none is left out."""
        limits = (self.since_ns, self.until_ns, self.grep)
        return self.kinds >= frozenset(Kind) and all(limit is None for limit in limits)

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
    path: ImageName, image_options: ImageOptions, options: TimelineOptions, ui: UserInterface
) -> Iterator[Timeline]:
    """The events of one image's guest, in order.

    Raises:
        GuestRepairError: it cannot be opened.
    """
    unread: list[Unread] = []

    def lost(what: Unread) -> None:
        unread.append(what if options.secrets else Unread(masked(what.source), masked(what.reason)))

    with opened(path, image_options, ui) as guest, temporary_directory() as directory:
        system = System(guest)
        if options.around:
            options = _around(guest, options, ui)
        with Ordered(directory, lost) as ordered:
            for reader in readers(guest, system, options.kinds):
                ui.progress(f"reading {reader.name}")
                try:
                    ordered.add(reader, None if options.is_everything else options.wants)
                except GuestReadError as error:
                    lost(Unread(error.path, error.reason))
            events = ordered.events()
            shown = events if options.secrets else all_without_secrets(events)
            yield Timeline(shown, _zone(system, lost), unread)


@contextmanager
def file_records(
    path: ImageName, image_options: ImageOptions, ui: UserInterface
) -> Iterator[Iterator[FileRecord]]:
    """Every name of one image's guest, with its times.

    Raises:
        GuestRepairError: it cannot be opened.
    """
    with opened(path, image_options, ui) as guest:
        ui.progress("reading files")
        yield guest.file_records()


def _around(guest: LiveGuest, options: TimelineOptions, ui: UserInterface) -> TimelineOptions:
    """The same options, for the hours around the change that a finding is about.

    Raises:
        UsageError: no such rule, nothing found by it, or nobody knows when that changed.
    """
    area = options.around.partition("@")[0]
    wanted = ScanOptions(only=(area,))
    check_selection((options.around,), list(all_rules()))
    context = make_context(guest, wanted.analysis, ui)
    examined = analyze(chosen_analyzers(wanted), context, wanted, ui)
    found = [finding for finding in examined.findings if matches(options.around, finding)]
    explained, _ = with_causes(found, guest, context.system, ui)
    causes = [f.cause for f in explained if f.cause is not None]
    moments = [c.when_ns for cause in causes for c in cause.changed if c.when_ns is not None]
    if not moments:
        what = "nobody knows when that changed" if found else "nothing is found by that rule"
        raise UsageError(f"--around {options.around}: {what}", hint="give a time")
    return replace(options, since_ns=min(moments) - AROUND_NS, until_ns=max(moments) + AROUND_NS)


def _zone(system: System, lost: Callable[[Unread], None]) -> tzinfo:
    try:
        return system.clock.zone
    except GuestReadError as error:
        lost(Unread(error.path, error.reason))
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

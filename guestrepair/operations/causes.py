"""Under each finding, how it came about. Nothing is read where nothing is found."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from guestrepair.errors import (
    BudgetError,
    FormatError,
    GuestReadError,
    GuestRepairError,
    why_stopped,
    words_of,
)
from guestrepair.events.boots import boots
from guestrepair.events.cause import AFTER_NS, BEFORE_NS, Scene, bracket, suspects
from guestrepair.events.model import NANOSECOND, Event, Kind, Unread
from guestrepair.events.secrets import masked
from guestrepair.events.sessions import sessions_of
from guestrepair.events.sources import readers
from guestrepair.fence import CAUSE, within
from guestrepair.guest.view import Guest
from guestrepair.model import Cause, Changed, Finding, GuestPath, Severity, Subject, Suspect
from guestrepair.operations.options import UserInterface
from guestrepair.report.data import ImageReport
from guestrepair.system.guest_system import System

_KINDS = frozenset({Kind.LOGIN, Kind.COMMAND, Kind.PACKAGE, Kind.BOOT, Kind.CONFIGURATION, Kind.SERVICE})
_MAX_PATHS = 200
"""Of all findings together: more of them have few causes."""
_MAX_EVENTS = 100_000
_OF_BOOTS_NS = 400 * 86_400 * NANOSECOND
"""Logins and boots so long before a change still bracket it."""
_NOBODYS = frozenset({"platform"})
"""What these find is no damage: a guest that does not fit a platform was never made for it."""
_WITHOUT_TIME = frozenset({"history", "schedule"})
"""Records that tell of things at other times than their own."""
_OWN = re.compile(r"\.guestrepair-([0-9]{8}T[0-9]{6})Z$")


def with_causes(
    findings: Sequence[Finding], guest: Guest, system: System, ui: UserInterface
) -> tuple[list[Finding], str]:
    """The findings with their causes; and why these could not be looked for, or "".

    Of the guest's records, those around the changes are read, within a budget of their own.
    """
    wanted = [
        f for f in findings if f.severity is not Severity.NOTE and f.analyzer not in _NOBODYS and _paths(f)
    ]
    if not wanted:
        return list(findings), ""
    ui.progress("looking for causes")
    try:
        causes = within(CAUSE, lambda: _Causes(guest, system).of(wanted))
    except (GuestReadError, FormatError) as error:
        return list(findings), error.message
    except (BudgetError, MemoryError) as error:
        guest.start_over()
        return list(findings), why_stopped(error)
    except GuestRepairError:
        raise
    except Exception as error:  # of ours: it costs the causes, not the findings
        return list(findings), f"a fault of guestrepair itself: {words_of(error)}"
    return [dataclasses.replace(f, cause=causes.get(f.identity)) for f in findings], ""


def explain(report: ImageReport, guest: Guest, system: System, ui: UserInterface) -> None:
    """Put the causes of a report's findings into it; a warning says why they could not be looked for."""
    report.findings, why = with_causes(report.findings, guest, system, ui)
    if why:
        report.warnings.append(f"how these findings came about is not said: {why}")


def _paths(finding: Finding) -> list[str]:
    """The guest paths that a finding is about, its own first."""
    subject = finding.subject
    path = subject.path if isinstance(subject, Subject) else None
    own = [str(path)] if path is not None else []
    return own + [f for f in finding.folded[:3] if f.startswith("/")]


@dataclass(slots=True)
class _Causes:
    guest: Guest
    system: System
    events: list[Event] = field(default_factory=list)

    def of(self, findings: Sequence[Finding]) -> dict[tuple[str, str], Cause]:
        """The cause of each finding, by its identity."""
        paths = list(dict.fromkeys(p for f in findings for p in _paths(f)))[:_MAX_PATHS]
        changes = self._changes(paths)
        moments = [_moment(c) for c in changes.values()]
        if not moments:
            return {}
        owners = self._owners(changes)
        self._read(moments, frozenset(map(_plain, owners.values())))
        began = boots(self.events)
        sessions = sessions_of(self.events)
        found = {}
        for finding in findings:
            own = [changes[p] for p in _paths(finding) if p in changes]
            if not own:
                continue
            change = own[0]
            scene = Scene(
                path=change.path,
                when_ns=_moment(change),
                package=owners.get(change.path, ""),
                events=self.events,
                sessions=sessions,
            )
            good, bad = bracket(began, scene.when_ns)
            found[finding.identity] = Cause(
                changed=tuple(own),
                last_good_boot_ns=good,
                first_bad_boot_ns=bad,
                suspects=tuple(map(_masked, suspects(scene))),
            )
        return found

    def _changes(self, paths: Sequence[str]) -> dict[str, Changed]:
        """When each path changed; of one that is missing, when it was deleted, or its directory changed."""
        places = {path: GuestPath(path) for path in paths}
        stats = self.guest.lstat_many([*places.values(), *(p.parent for p in places.values())])
        missing = [place for place in places.values() if stats[place] is None]
        deleted = self.guest.deletion_times(missing) if missing else {}
        found: dict[str, Changed] = {}
        for path, place in places.items():
            stat = stats[place]
            if stat is not None:
                own = self._repaired(place)
                was = own if own is not None and abs(own - stat.ctime) < 120 else None
                changed = None if was is not None else stat.ctime * NANOSECOND or None
                found[path] = Changed(
                    path=path, modified_ns=self._before(place, stat.mtime, was), changed_ns=changed
                )
            elif place in deleted:
                found[path] = Changed(path=path, changed_ns=deleted[place] * NANOSECOND)
            elif (above := stats[place.parent]) is not None:
                found[path] = Changed(path=path, changed_ns=above.mtime * NANOSECOND)
        return {path: change for path, change in found.items() if _moment(change) > 0}

    def _repaired(self, place: GuestPath) -> int | None:
        """When we have last changed a file ourselves: our copies beside it are named after that."""
        try:
            names = (f"{place.name}.guestrepair-*", f".{place.name}.guestrepair-*")
            copies = [copy for name in names for copy in self.guest.glob(place.parent, name)]
        except GuestReadError:
            return None
        times = [_named_after(copy.name) for copy in copies]
        return max((time for time in times if time is not None), default=None)

    def _before(self, place: GuestPath, mtime: int, repaired: int | None) -> int:
        """The modification time; where that is our repair's, that of the copy with the content before."""
        if repaired is None:
            return mtime * NANOSECOND
        stamp = datetime.fromtimestamp(repaired, UTC).strftime("%Y%m%dT%H%M%SZ")
        copy = self.guest.lstat(place.with_name(f"{place.name}.guestrepair-{stamp}"))
        return (copy.mtime if copy is not None else mtime) * NANOSECOND

    def _owners(self, changes: Mapping[str, Changed]) -> dict[str, str]:
        if self.system.packages is None:
            return {}
        files = self.system.packages.lookup_many(changes)
        return {path: owned[0].package.name for path, owned in files.items() if owned}

    def _read(self, moments: Sequence[int], packages: frozenset[str]) -> None:
        first, last = min(moments) - _OF_BOOTS_NS, max(moments) + _OF_BOOTS_NS
        ordered = sorted(moments)
        for reader in readers(self.guest, self.system, _KINDS):
            try:
                for event in reader.events():
                    if isinstance(event, Unread) or not first <= event.time_ns <= last:
                        continue
                    if _matters(event, ordered, packages) and len(self.events) < _MAX_EVENTS:
                        self.events.append(event)
            except GuestReadError:
                continue  # a log that cannot be read tells nothing, and costs nothing else


def _named_after(copy: str) -> int | None:
    """The time in the name of one of our copies, in seconds since the epoch; None: it is none of ours."""
    stamp = _OWN.search(copy)
    try:
        return stamp and int(datetime.strptime(f"{stamp[1]}+0000", "%Y%m%dT%H%M%S%z").timestamp())
    except ValueError:
        return None  # whoever named it so: there is no such day


def _moment(change: Changed) -> int:
    return change.when_ns or 0


def _matters(event: Event, moments: Sequence[int], packages: frozenset[str]) -> bool:
    if event.kind in {Kind.LOGIN, Kind.BOOT, Kind.SERVICE} or event.get("record") in _WITHOUT_TIME:
        return True
    if event.kind is Kind.PACKAGE and (
        event.get("action") in {"start", "end"} or _plain(event.get("package")) in packages
    ):
        return True  # a transaction may be at work for hours, and what it did is on record at its start
    return any(m - BEFORE_NS <= event.time_ns <= m + BEFORE_NS + AFTER_NS for m in moments)


def _plain(package: str) -> str:
    """A package's name without its architecture."""
    return package.partition(":")[0]


def _masked(suspect: Suspect) -> Suspect:
    return dataclasses.replace(suspect, what=masked(suspect.what), source=masked(suspect.source))

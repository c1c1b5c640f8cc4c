"""What package managers did: dpkg and apt, dnf and yum, zypper, pacman, by their own logs."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from guestrepair.events.local_time import EPOCH, LocalTime
from guestrepair.events.model import Certainty, Event, Kind, Unread
from guestrepair.events.streams import Lines, LogFile, rotations
from guestrepair.formats.package_logs import (
    AptRun,
    PackageChange,
    local_time,
    parse_apt_history,
    parse_dpkg_line,
    parse_pacman_line,
    parse_rpm_action,
    parse_zypp_line,
    zoned_time,
)
from guestrepair.formats.syslog_stamps import MONTHS, YearCounter, span
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.clock import Clock

DPKG, HISTORY = GuestPath("/var/log/dpkg.log"), GuestPath("/var/log/apt/history.log")
TERM, YUM = GuestPath("/var/log/apt/term.log"), GuestPath("/var/log/yum.log")
DNF_RPM, ZYPP = GuestPath("/var/log/dnf.rpm.log"), GuestPath("/var/log/zypp/history")
PACMAN = GuestPath("/var/log/pacman.log")
_START = (("action", "start"),)
_MAX_RUNS = 50_000
_UPDATES = frozenset(
    {"upgrade", "downgrade", "reinstall", "upgraded", "downgraded", "reinstalled", "configure"}
)
_TROUBLE = (
    "dpkg: error",
    "E: ",
    "dpkg (subprocess)",
    "Errors were encountered",
    "update-initramfs: failed",
    "grub-probe: error",
    "No space left",
)


def package_event(
    change: PackageChange,
    time_ns: int,
    source: str,
    *,
    certainty: Certainty = Certainty.INFERRED,
    actor: str | None = None,
    message: str = "",
    more: tuple[tuple[str, str], ...] = (),
) -> Event:
    """The event of one change of a package."""
    versions = " -> ".join(filter(None, (change.old_version, change.version)))
    detail = (
        ("action", change.action), ("package", change.name), ("version", change.version),
        ("old_version", change.old_version), ("architecture", change.architecture), *more,
    )  # fmt: skip
    return Event(
        time_ns=time_ns,
        kind=Kind.PACKAGE,
        description="Update Time"
        if change.action in _UPDATES
        else "Installation Time"
        if change.action == "install"
        else "Recorded Time",
        message=message or f"{change.action} {change.name}{f' {versions}' if versions else ''}",
        source=source,
        certainty=certainty,
        actor=actor,
        detail=tuple((name, value) for name, value in detail if value),
    )


@dataclass(frozen=True, slots=True)
class _Window:
    """From when to when a run of apt was at work, who asked for it, and where that is on record."""

    begin_ns: int
    end_ns: int
    actor: str | None
    command: str
    source: str


class DebianPackages:
    """dpkg.log, and apt's logs, by which it is known who asked for what dpkg did."""

    name = "dpkg and apt"

    def __init__(self, guest: Guest, clock: Clock) -> None:
        self._guest = guest
        self._clock = clock
        self._windows: list[_Window] = []

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        local = LocalTime(self._clock)
        if local.unread:
            yield local.unread
        yield from self._apt(local)
        self._windows.sort(key=lambda window: window.begin_ns)
        yield from self._dpkg(local)
        yield from self._terminal(local)

    def _apt(self, local: LocalTime) -> Iterator[Event | Unread]:
        for file in rotations(self._guest, HISTORY):
            if isinstance(file, Unread):
                yield file
                continue
            lines, last_ns = Lines(self._guest, file), None
            for run in parse_apt_history(lines.numbered()):
                source = f"{file.path}:{run.line}"
                if run.begin is None:
                    yield Unread(source, "a run without the time of its start")
                    continue
                last_ns = local.utc_ns(run.begin, after_ns=last_ns)
                end_ns = None if run.end is None else local.utc_ns(run.end, after_ns=last_ns)
                yield from self._run(run, last_ns, end_ns, source)
            yield from lines.unread

    def _run(self, run: AptRun, begin_ns: int, end_ns: int | None, source: str) -> Iterator[Event]:
        actor = run.requested_by or None
        if len(self._windows) < _MAX_RUNS:
            until = begin_ns + 3600 * 10**9 if end_ns is None else end_ns
            self._windows.append(_Window(begin_ns, max(begin_ns, until), actor, run.command, source))
        state = () if run.end else (("unfinished", "yes"),)
        more = tuple(pair for pair in (("command", run.command), ("error", run.error), *state) if pair[1])
        what = run.command or "a run of apt"
        unfinished = "" if run.end else " (its end is not on record)"
        yield _run_event(
            begin_ns, "Start Time", f"{what}{unfinished}", source, actor, (("action", "start"), *more)
        )
        for change in run.changes:
            yield package_event(change, begin_ns, source, actor=actor, more=more)
        if end_ns is not None:
            text = f"end of {what}{f': {run.error}' if run.error else ''}"
            yield _run_event(end_ns, "End Time", text, source, actor, (("action", "end"), *more))

    def _dpkg(self, local: LocalTime) -> Iterator[Event | Unread]:
        for file in rotations(self._guest, DPKG):
            if isinstance(file, Unread):
                yield file
                continue
            lines, odd, last_ns = Lines(self._guest, file), _Odd(file), None
            key, base_ns = "", 0
            for number, line in lines.numbered():
                if line[20:27] in {"status ", "startup"}:
                    continue  # each step of what the lines of actions tell
                if line[:19] != key:
                    moment = local_time(line) if line[19:20] == " " else None
                    if moment is None:
                        odd.at(number)
                        continue
                    key, base_ns = line[:19], local.utc_ns(moment, after_ns=last_ns)
                    last_ns = base_ns
                change, source = parse_dpkg_line(line[20:]), f"{file.path}:{number}"
                if change is not None:
                    yield self._asked_for(change, base_ns, source)
                elif line[20:29] == "conffile ":
                    yield self._conffile(line[29:], base_ns, source)
            yield from odd.said()
            yield from lines.unread

    def _asked_for(self, change: PackageChange, time_ns: int, source: str) -> Event:
        """The change, with who asked for it where apt was at work at that time."""
        window = self._window(time_ns)
        if window is None:
            return package_event(change, time_ns, source)
        more = tuple(p for p in (("command", window.command), ("transaction", window.source)) if p[1])
        return package_event(change, time_ns, source, actor=window.actor, more=more)

    def _window(self, time_ns: int) -> _Window | None:
        at = bisect.bisect_right(self._windows, time_ns, key=lambda window: window.begin_ns) - 1
        found = self._windows[at] if at >= 0 else None
        return found if found is not None and time_ns <= found.end_ns + 10**9 else None

    def _conffile(self, text: str, time_ns: int, source: str) -> Event:
        path, _, decision = text.rpartition(" ")
        window = self._window(time_ns)
        return Event(
            time_ns=time_ns,
            kind=Kind.CONFIGURATION,
            description="Recorded Time",
            message=f"dpkg: configuration file {path}: {decision}",
            source=source,
            certainty=Certainty.INFERRED,
            actor=window.actor if window else None,
            path=path if decision == "install" and path.startswith("/") else None,
            detail=(("action", decision),),
        )

    def _terminal(self, local: LocalTime) -> Iterator[Event | Unread]:
        """What maintainer scripts said went wrong: no line of it has a time, only the run."""
        for file in rotations(self._guest, TERM):
            if isinstance(file, Unread):
                yield file
                continue
            lines = Lines(self._guest, file)
            begin_ns: int | None = None
            for number, line in lines.numbered():
                if line.startswith("Log started: "):
                    moment = local_time(line[13:].strip())
                    begin_ns = None if moment is None else local.utc_ns(moment, after_ns=begin_ns)
                elif begin_ns is not None and line.startswith(_TROUBLE):
                    yield Event(
                        time_ns=begin_ns, kind=Kind.LOG, description="Recorded Time",
                        message=f"apt: {line.strip()}", source=f"{file.path}:{number}",
                        certainty=Certainty.INFERRED,
                    )  # fmt: skip
            yield from lines.unread


def _run_event(
    time_ns: int,
    description: str,
    text: str,
    source: str,
    actor: str | None,
    detail: tuple[tuple[str, str], ...],
    certainty: Certainty = Certainty.INFERRED,
) -> Event:
    return Event(
        time_ns=time_ns, kind=Kind.PACKAGE, description=description, message=text, source=source,
        certainty=certainty, actor=actor, detail=detail,
    )  # fmt: skip


class _Odd:
    """Lines of one file that are not understood: counted, and said once."""

    def __init__(self, file: LogFile) -> None:
        self._path = file.path
        self._first = 0
        self._count = 0

    def at(self, number: int) -> None:
        self._count += 1
        self._first = self._first or number

    def said(self) -> Iterator[Unread]:
        if self._count:
            yield Unread(
                f"{self._path}:{self._first}", f"{self._count} lines have no time, or one that there is not"
            )


class OtherPackageLogs:
    """yum.log, dnf.rpm.log, zypper's history, pacman.log."""

    name = "package logs"

    def __init__(self, guest: Guest, clock: Clock) -> None:
        self._guest = guest
        self._clock = clock

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        local = LocalTime(self._clock)
        if local.unread:
            yield local.unread
        for path, read in (
            (YUM, self._yum),
            (DNF_RPM, self._dnf),
            (ZYPP, self._zypp),
            (PACMAN, self._pacman),
        ):
            for file in rotations(self._guest, path):
                if isinstance(file, Unread):
                    yield file
                    continue
                lines, odd = Lines(self._guest, file), _Odd(file)
                yield from read(file, lines, odd, local)
                yield from odd.said()
                yield from lines.unread

    def _yum(self, file: LogFile, lines: Lines, odd: _Odd, local: LocalTime) -> Iterator[Event]:
        """``Nov 29 10:00:00 Installed: bash-…``: no year, as in syslog."""
        first = span(Lines(self._guest, file).blocks(), 0).begins(local.local(file.mtime))
        counter, last_ns = YearCounter(0), None
        for number, line in lines.numbered():
            moment = _yearless(line, first, counter)
            if moment is None:
                odd.at(number)
                continue
            last_ns = local.utc_ns(moment, after_ns=last_ns)
            change = parse_rpm_action(line[16:])
            if change is not None:
                yield package_event(change, last_ns, f"{file.path}:{number}")

    def _dnf(self, file: LogFile, lines: Lines, odd: _Odd, _local: LocalTime) -> Iterator[Event]:
        for number, line in lines.numbered():
            moment = zoned_time(line)
            if moment is None:
                if line[:1].isdigit():
                    odd.at(number)
                continue
            change = parse_rpm_action(line.partition(" ")[2].partition(" ")[2])
            if change is not None:
                yield package_event(change, _ns(moment), f"{file.path}:{number}", certainty=Certainty.EXACT)

    def _zypp(self, file: LogFile, lines: Lines, _odd: _Odd, local: LocalTime) -> Iterator[Event]:
        last_ns, command, actor = None, "", ""
        for number, line in lines.numbered():
            entry = parse_zypp_line(line)
            if entry is None:
                continue
            last_ns = local.utc_ns(entry.time, after_ns=last_ns)
            source = f"{file.path}:{number}"
            if entry.change is None:
                command, actor = entry.command, entry.user
                yield _run_event(
                    last_ns, "Start Time", command, source, actor or None, (("action", "start"),)
                )
                continue
            more = (("command", command),) if command else ()
            yield package_event(entry.change, last_ns, source, actor=entry.user or None, more=more)

    def _pacman(self, file: LogFile, lines: Lines, odd: _Odd, local: LocalTime) -> Iterator[Event]:
        for number, line in lines.numbered():
            found = parse_pacman_line(line)
            if found is None:
                continue
            text, message, change = found
            zoned, plain = zoned_time(text), local_time(text)
            if plain is None:
                odd.at(number)
                continue
            time_ns = local.utc_ns(plain) if zoned is None else _ns(zoned)
            certainty = Certainty.INFERRED if zoned is None else Certainty.EXACT
            source = f"{file.path}:{number}"
            if change is not None:
                yield package_event(change, time_ns, source, certainty=certainty)
            elif message.startswith("Running "):
                command = message[8:].strip("'")
                yield _run_event(time_ns, "Start Time", command, source, None, _START, certainty)


def _yearless(line: str, first_year: int, counter: YearCounter) -> datetime | None:
    month = MONTHS.get(line[:3])
    try:
        if month is None or line[15:16] != " ":
            return None
        day, hour, minute, second = (int(line[a:b]) for a, b in ((4, 6), (7, 9), (10, 12), (13, 15)))
        year = first_year + counter.step(month, day)
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the caller has the zone
    except ValueError:
        return None


def _ns(moment: datetime) -> int:
    return int((moment - EPOCH).total_seconds()) * 10**9

"""Text logs of syslog daemons as events: logins, commands, accounts, boots, services, and the other lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from guestrepair.errors import GuestReadError
from guestrepair.events.context import Messages
from guestrepair.events.local_time import LocalTime
from guestrepair.events.model import EXACT, INFERRED, LOG, NANOSECOND, Certainty, Event, Unread
from guestrepair.events.schedules import Crontabs
from guestrepair.events.streams import Lines, LogFile, rotations
from guestrepair.formats.syslog_stamps import (
    MONTHS,
    LineParts,
    YearCounter,
    iso_end,
    iso_minute,
    parts,
    span,
)
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.clock import Clock

DIRECTORY = GuestPath("/var/log")
NAMES = ("auth.log", "secure", "syslog", "messages", "cron", "cron.log")
WITHOUT_SYSLOG = ("kern.log", "daemon.log", "user.log")
"""Debian's syslog holds what these do."""
_REPEATED = re.compile(r"last message repeated (\d{1,9}) times?")
_REPEATED_HERE = re.compile(r"message repeated (\d{1,9}) times: \[ (.*)\]", re.DOTALL)
_SECONDS = {f":{second:02} ": second * NANOSECOND for second in range(100)}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - compared with what has no zone either
"""Processes of sshd whose logins are remembered."""


class SyslogFiles:
    """All text logs of syslog daemons in /var/log."""

    name = "syslog"

    def __init__(self, guest: Guest, clock: Clock) -> None:
        self._guest = guest
        self._clock = clock

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        local, crontabs = LocalTime(self._clock), Crontabs(self._guest)
        if local.unread:
            yield local.unread
        for name in self._names():
            for file in rotations(self._guest, DIRECTORY / name):
                if isinstance(file, Unread):
                    yield file
                else:
                    yield from _SyslogFile(self._guest, file, local, crontabs).events()

    def _names(self) -> tuple[str, ...]:
        try:
            has_syslog = self._guest.exists(DIRECTORY / "syslog")
        except GuestReadError:  # it is said when the log is read
            has_syslog = False
        return NAMES if has_syslog else NAMES + WITHOUT_SYSLOG


class _SyslogFile:
    """One file: the years of its lines, and what is remembered from line to line."""

    def __init__(self, guest: Guest, file: LogFile, local: LocalTime, crontabs: Crontabs) -> None:
        self._guest = guest
        self._file = file
        self._local = local
        self._first_year = 0
        self._counter = YearCounter()
        self._key = ""
        self._base_ns: int | None = None
        self._last_ns: int | None = None
        self._messages = Messages(crontabs)
        self._previous: LineParts | None = None
        self._moment: datetime | None = None

    def events(self) -> Iterator[Event | Unread]:
        first_look = span(Lines(self._guest, self._file).blocks())
        self._first_year = first_look.begins(self._local.local(self._file.mtime))
        lines, odd, first_odd = Lines(self._guest, self._file), 0, 0
        path = str(self._file.path)
        for number, line in lines.numbered():
            found = self._event(line, f"{path}:{number}")
            if found is not None:
                yield found
            elif line.strip("\0 \t\r"):
                odd, first_odd = odd + 1, first_odd or number
        yield from lines.unread
        if odd:
            yield Unread(f"{path}:{first_odd}", f"{odd} lines have no time, or one that there is not")

    def _event(self, line: str, source: str) -> Event | None:
        if line[0] == "\0":
            line = line.lstrip("\0") or "\0"
        timed = self._traditional(line) if line[:1].isalpha() else self._iso(line)
        if timed is None:
            return None
        time_ns, certainty, at = timed
        self._last_ns = time_ns
        found = parts(line, at)
        return None if found is None else self._made(time_ns, certainty, found, source)

    # --- times ------------------------------------------------------------------------

    def _traditional(self, line: str) -> tuple[int, Certainty, int] | None:
        """The time of a line, and where what follows it begins."""
        key = line[:12]
        if key != self._key:
            self._base_ns = self._minute(key)
            self._key = key
        seconds = _SECONDS.get(line[12:16])
        if self._base_ns is None or seconds is None:
            return None
        return self._base_ns + seconds, INFERRED, 16

    def _minute(self, key: str) -> int | None:
        """The time of ``Nov 29 10:00``."""
        month = MONTHS.get(key[:3])
        try:
            if month is None or key[3] != " " or key[9] != ":":
                return None
            day, hour, minute = int(key[4:6]), int(key[7:9]), int(key[10:12])
            year = self._first_year + self._counter.step(month, day)
            moment = datetime(year, month, day, hour, minute)  # noqa: DTZ001 - the guest's zone is put in below
        except (ValueError, IndexError):
            return None
        return self._local.utc_ns(moment, after_ns=self._last_ns)

    def _iso(self, line: str) -> tuple[int, Certainty, int] | None:
        token = line[:64].partition(" ")[0]
        end = iso_end(token[16:])
        if end is None:
            return None
        if token[:16] != self._key:
            self._key = token[:16]
            self._moment = self._iso_moment(self._key)
            self._base_ns = None if self._moment is None else _as_utc(self._moment)
        if self._base_ns is None or self._moment is None:
            return None
        if end.zone_minutes is None:
            base = self._local.utc_ns(self._moment, after_ns=self._last_ns)
            return base + end.nanoseconds, INFERRED, len(token) + 1
        return (
            self._base_ns - end.zone_minutes * 60 * NANOSECOND + end.nanoseconds,
            EXACT,
            len(token) + 1,
        )

    def _iso_moment(self, key: str) -> datetime | None:
        found = iso_minute(key)
        try:
            if found is None:
                return None
            year, month, day, hour, minute = found
            self._counter.step(month, day)
            return datetime(year, month, day, hour, minute)  # noqa: DTZ001 - the line's zone is put in by its reader
        except ValueError:
            return None

    # --- meanings ---------------------------------------------------------------------

    def _made(self, time_ns: int, certainty: Certainty, found: LineParts, source: str) -> Event:
        program, pid, message = found
        repeated: tuple[tuple[str, str], ...] = ()
        if "message repeated " in message:
            found, times = self._repeated(found)
            program, pid, message = found
            repeated = (("repeated", times),) if times else ()
        self._previous = found
        what = self._messages.meaning(program, pid, message)
        kind, details, actor, text = (LOG, (), None, "") if what is None else what
        if what is not None or program:
            own = (("program", program), ("pid", pid)) if pid else (("program", program),)
            details = (*details, *own, *repeated)
        elif repeated:
            details = repeated
        if not text:
            text = f"{program}: {message}" if program or what is not None else message
        return Event(time_ns, source, kind, "Recorded Time", text, certainty, actor, None, details)

    def _repeated(self, found: LineParts) -> tuple[LineParts, str]:
        """What is said to be repeated, and how often."""
        here = _REPEATED_HERE.fullmatch(found.message)
        if here is not None:
            return LineParts(found.program, found.pid, here[2]), here[1]
        last = _REPEATED.match(found.message)
        if last is not None and self._previous is not None:
            return self._previous, last[1]
        return found, ""


def _as_utc(moment: datetime) -> int:
    return int((moment - _EPOCH).total_seconds()) * NANOSECOND

"""sudo's own log (``Defaults logfile=``): commands, in lines that are broken where they are long.

Source: sudoers(5), "logfile", "log_year", "loglinelen"; sudo's ``lib/eventlog/eventlog.c``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime

from guestrepair.events.local_time import LocalTime
from guestrepair.events.messages import meaning
from guestrepair.events.model import Certainty, Event, Unread
from guestrepair.events.streams import Lines, LogFile, rotations
from guestrepair.formats.syslog_stamps import MONTHS, YearCounter, span
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.clock import Clock

LOGS = (GuestPath("/var/log/sudo.log"), GuestPath("/var/log/sudolog"))
_LINE = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) [ \d]?\d (?P<time>\d\d:\d\d:\d\d)(?: (?P<year>\d{4}))? : (?P<text>\S+ : .*)",
    re.DOTALL,
)
_INDENT = "    "
_MAX_TEXT = 64 * 1024


class SudoLog:
    """The log files that sudo is usually told to write."""

    name = "sudo"

    def __init__(self, guest: Guest, clock: Clock) -> None:
        self._guest = guest
        self._clock = clock

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        local = LocalTime(self._clock)
        for path in LOGS:
            for file in rotations(self._guest, path):
                if isinstance(file, Unread):
                    yield file
                    continue
                lines = Lines(self._guest, file)
                yield from self._file(file, lines, local)
                yield from lines.unread

    def _file(self, file: LogFile, lines: Lines, local: LocalTime) -> Iterator[Event | Unread]:
        first = span(Lines(self._guest, file).blocks(), 0).begins(local.local(file.mtime))
        counter, last_ns = YearCounter(0), None
        for number, text in _joined(lines.numbered()):
            source = f"{file.path}:{number}"
            found = _LINE.match(text)
            moment = None if found is None else _moment(found, text, first, counter)
            what = None if found is None else meaning("sudo", "", found["text"])
            if moment is None or what is None:
                yield Unread(source, "no entry of sudo's log")
                continue
            last_ns = local.utc_ns(moment, after_ns=last_ns)
            yield Event(
                time_ns=last_ns,
                kind=what.kind,
                description="Recorded Time",
                message=what.message or f"sudo: {found['text']}" if found else text,
                source=source,
                certainty=Certainty.INFERRED,
                actor=what.actor,
                detail=(*what.details, ("program", "sudo")),
            )


def _joined(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Entries in one piece each: what is indented goes on with the line before it."""
    number, text = 0, ""
    for at, line in lines:
        if line.startswith(_INDENT) and number:
            if len(text) < _MAX_TEXT:
                text = f"{text} {line.strip()}"
            continue
        if number:
            yield number, text
        number, text = at, line
    if number:
        yield number, text


def _moment(found: re.Match[str], text: str, first_year: int, counter: YearCounter) -> datetime | None:
    try:
        month, day = MONTHS[found["month"]], int(text[4:6])
        year = int(found["year"]) if found["year"] else first_year + counter.step(month, day)
        hour, minute, second = map(int, found["time"].split(":"))
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the caller has the zone
    except (KeyError, ValueError):
        return None

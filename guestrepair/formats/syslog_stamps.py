"""The times of syslog files, whose traditional form has no year, and the parts of their lines.

The year comes from the file's last change for its last line; before that, a year ends wherever the month
goes back. Sources: RFC 3164 4.1.2, RFC 3339, rsyslog's templates RSYSLOG_TraditionalFileFormat and
RSYSLOG_FileFormat, busybox's ``sysklogd/syslogd.c`` (which writes facility.severity before the tag).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
_DAYS = 31
"""Days of each month, in a count that only compares."""
BACK_DAYS = 2 * _DAYS
"""A clock goes back that far without a new year; in a log of few lines, a year without any is likelier."""
_MAX_CHANGES = 5_000
_STAMP = re.compile(rb"([A-Z][a-z][a-z]) ([ \d]\d|\d) ?|(\d{4})-(\d\d)-(\d\d)T")
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)")
_ISO_END = re.compile(r":(\d\d)(?:[.,](\d{1,9}))?(?:(Z)|([+-])(\d\d):?(\d\d))?")
_TAG = re.compile(r"(?:[a-z0-9]{2,10}\.[a-z]{2,8} )?([^\s:\[\]]{1,80})(?:\[(\d{1,10})\])?:?$")


_USUAL = re.compile(r"\S{1,255} ([^\s:\[\]/]{1,80})(?:\[(\d{1,10})\])?: ")
"""Host and tag as nearly all lines have them."""


class YearCounter:
    """How many years after that of its first line a line is, by the days of all before it."""

    def __init__(self, back_days: int = BACK_DAYS) -> None:
        self.years = 0
        self._back = back_days
        self._last = 0
        self._before: int | None = None

    def step(self, month: int, day: int) -> int:
        """The years after a line of that day."""
        now, last = month * _DAYS + day, self._last
        self._last = now
        if not last or now == last:
            return self.years
        if now < last - self._back:
            self.years += 1
            self._before = last
        elif self._was_reset(now, last):
            self.years -= 1
            self._before = None
        return self.years

    def _was_reset(self, now: int, last: int) -> bool:
        """Whether a clock that had begun again (in January) is right again, and no year had ended."""
        if self._before is not None and now - last > _DAYS:
            return 0 <= now - self._before <= _DAYS
        return now - last > 12 * _DAYS - self._back


@dataclass(frozen=True, slots=True)
class Span:
    """What a first look at a file tells: years that end in it, its last day, and the year of its first line.

    ``last`` is (month, day) of the last line with a time, None where there is none; ``first_year`` is known
    where some line has its year.
    """

    years: int = 0
    last: tuple[int, int] | None = None
    first_year: int | None = None

    def begins(self, written: dt.datetime) -> int:
        """The year of the first line; ``written`` is when the file last changed."""
        if self.first_year is not None or self.last is None:
            return self.first_year if self.first_year is not None else written.year
        tomorrow = written + dt.timedelta(days=1)
        year = written.year + (written.month == 12 and tomorrow.month == 1)
        if self.last > (tomorrow.month, tomorrow.day) or year > tomorrow.year:
            year -= 1
        while self.last == (2, 29) and not _leaps(year) and year > 1:
            year -= 1
        return max(1, year - self.years)


def _leaps(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def span(blocks: Iterable[bytes], back_days: int = BACK_DAYS) -> Span:
    """Look through a file for the days of its lines: what is of the same day as the line before is skipped.

    The blocks hold whole lines; ``back_days`` are how far a clock goes back.
    """
    counter, last, first_year, head = YearCounter(back_days), None, None, b""
    changes = 0
    for block in blocks:
        at = 0
        while at < len(block):
            found = _STAMP.match(block, at)
            if found is not None:
                day = _day(found)
                if day is not None:
                    counter.step(*day)
                    changes += 1
                    # A pattern for each day is made once; a file that jumps about is gone through by line.
                    last, head = day, found[0].rstrip(b" ") if changes < _MAX_CHANGES else b""
                    if found[3] and first_year is None:
                        first_year = int(found[3]) - counter.years
            at = _next_other(block, at, head)
    return Span(counter.years, last, first_year)


def _next_other(block: bytes, at: int, head: bytes) -> int:
    """Where the next line begins that does not begin as the last one with a time did."""
    found = _other(head).search(block, at)
    return len(block) if found is None else found.end()


_OTHERS: dict[bytes, re.Pattern[bytes]] = {}


def _other(head: bytes) -> re.Pattern[bytes]:
    """A newline before a line that begins otherwise; days of two years, and then some, are kept."""
    if head not in _OTHERS:
        if len(_OTHERS) > 1000:
            _OTHERS.clear()
        _OTHERS[head] = re.compile(rb"\n(?!" + (re.escape(head) or rb"(?!)") + rb")(?=[A-Z\d])")
    return _OTHERS[head]


def _day(found: re.Match[bytes]) -> tuple[int, int] | None:
    if found[1]:
        month, day = MONTHS.get(found[1].decode(), 0), int(found[2])
    else:
        month, day = int(found[4]), int(found[5])
    return (month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None


class LineParts(NamedTuple):
    """The program, its process ("" where there is none) and the message of a line."""

    program: str
    pid: str
    message: str


def parts(line: str, at: int = 0) -> LineParts | None:
    """What follows the time, from a place on: host, tag and message; None where it is no such thing."""
    found = _USUAL.match(line, at)
    if found is not None:
        return LineParts(found[1], found[2] or "", line[found.end() :])
    host, _, text = line[at:].partition(" ")
    tag, colon, message = text.partition(": ")
    if not colon and text.endswith(":"):
        tag, message = text[:-1], ""
    elif not colon:
        return _odd(host, text)
    program, bracket, pid = tag.partition("[")
    if bracket and pid.endswith("]") and " " not in program:
        return LineParts(program.rpartition("/")[2] or program, pid[:-1], message)
    if " " not in tag:
        return LineParts(tag.rpartition("/")[2] or tag, "", message)
    found = _TAG.match(tag)
    if found is None:
        return _odd(host, text)
    return LineParts(found[1].rpartition("/")[2] or found[1], found[2] or "", message)


def _odd(host: str, text: str) -> LineParts | None:
    """A line without a tag: what syslogd says of repeated ones, and programs that give none."""
    if not text:
        return None
    if text.startswith(("last message repeated ", "-- MARK --")):
        return LineParts("syslogd", "", text)
    return LineParts("", "", text) if host else None


def iso_minute(token: str) -> tuple[int, ...] | None:
    """Year, month, day, hour and minute of an RFC 3339 time."""
    found = _ISO.match(token)
    return None if found is None else tuple(map(int, found.groups()))


class IsoEnd(NamedTuple):
    """The rest of an RFC 3339 time: nanoseconds in its minute, and its zone in minutes (None: not said)."""

    nanoseconds: int
    zone_minutes: int | None


def iso_end(text: str) -> IsoEnd | None:
    """What follows the minute, from the colon on."""
    found = _ISO_END.fullmatch(text)
    if found is None:
        return None
    seconds, fraction, utc, sign, hours, minutes = found.groups()
    nanoseconds = int(seconds) * 1_000_000_000 + (int(fraction.ljust(9, "0")) if fraction else 0)
    if utc:
        return IsoEnd(nanoseconds, 0)
    if not sign:
        return IsoEnd(nanoseconds, None)
    return IsoEnd(nanoseconds, (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1))

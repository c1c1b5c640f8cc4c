"""Lines of syslog files: time, program and message, in the traditional and the RFC 3339 form.

The traditional form (RFC 3164) has no year: it is taken from the file's own
last change, going back a year where a month lies after it. Everything is
limited: a log is whatever somebody could make a program write.
"""

from __future__ import annotations

import datetime as dt
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines
from guestrepair.formats.packed_stream import is_packed, unpacked

MAX_LINE_BYTES = 2_000
SHORTEST_LINE_BYTES = len(b"Jan 1 00:00:00 h p: ")
"""A shorter line is no entry of either form."""

MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TRADITIONAL = re.compile(r"(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d) \S+ ")
RFC3339 = re.compile(r"(?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?P<zone>Z|[+-]\d\d:?\d\d)? \S+ ")
PROGRAM = re.compile(r"(?P<program>[\w./-]{1,64})(?:\[(?P<pid>\d{1,10})\])?: (?P<message>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry: its time (local to the guest where the log has no zone), the program, and its message."""

    time: dt.datetime | None
    program: str
    message: str


def decompress(data: bytes, *, limit_bytes: int) -> bytes:
    """The content of a log that may be compressed, cut at about the limit.

    Raises:
        FormatError: damaged from the start on; one that is cut short gives what is there.
    """
    if not is_packed(data[:16]):
        return data[:limit_bytes]
    found = io.BytesIO()  # hands its content over without a copy
    try:
        for piece in unpacked([data], limit_bytes=limit_bytes):
            found.write(piece)
    except FormatError:
        if not found.tell():
            raise
    return found.getvalue()


def parse_syslog(data: bytes, *, written: dt.datetime) -> Iterator[LogLine]:
    """The entries of a syslog file in order; lines of another form are passed over; never raises.

    ``written`` is when the file was last changed, which tells the year.
    """
    for raw in byte_lines(data):
        if len(raw) < SHORTEST_LINE_BYTES:
            continue
        text = raw[:MAX_LINE_BYTES].decode("utf-8", "replace")
        found = TRADITIONAL.match(text) or RFC3339.match(text)
        if found is None:
            continue
        entry = PROGRAM.match(text, found.end())
        if entry is None:
            continue
        yield LogLine(_time(found, written), entry["program"].rpartition("/")[2], entry["message"].strip())


def _time(found: re.Match[str], written: dt.datetime) -> dt.datetime | None:
    groups = found.groupdict()
    try:
        if "stamp" in groups:
            zone = (groups["zone"] or "").replace("Z", "+00:00")
            return dt.datetime.fromisoformat(groups["stamp"] + zone)
        clock = dt.time.fromisoformat(groups["time"])
        month, day = MONTH_NAMES.index(groups["month"]) + 1, int(groups["day"])
        year = written.year - ((month, day) > (written.month, written.day + 1))
        return dt.datetime.combine(dt.date(year, month, day), clock)
    except ValueError:
        return None

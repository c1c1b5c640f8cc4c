"""The guest's systemd journal as log lines: what programs of given names wrote into it.

A journal file is a database that the guest wrote, so it is hostile: our own reader walks it piece by piece,
within limits. Whatever is damaged costs what it hit, and a file that is no journal is said.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.journal_file import Entry, entries
from guestrepair.formats.logs import MAX_LINE_BYTES, LogLine
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable

DIRECTORY = GuestPath("/var/log/journal")
MAX_FILES = 6
MAX_FILE_BYTES = 128 * 1024 * 1024
"""journald's own largest file is 128 MiB (SystemMaxFileSize=)."""

MAX_TOTAL_BYTES = 192 * 1024 * 1024
MAX_ENTRIES = 5_000
"""Of one file, the last ones."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def journal_files(guest: Guest) -> tuple[tuple[GuestPath, Stat], ...]:
    """The guest's journal files, the last written first, as many as are read."""
    found: list[tuple[GuestPath, Stat]] = []
    for machine in guest.glob(DIRECTORY, "*"):
        for path in (*guest.glob(machine, "*.journal"), *guest.glob(machine, "*.journal~")):
            stat = guest.lstat(path)
            if stat is not None and stat.is_file and 0 < stat.size_bytes <= MAX_FILE_BYTES:
                found.append((path, stat))
    found.sort(key=lambda pair: (-pair[1].mtime, str(pair[0])))
    return tuple(found[:MAX_FILES])


def read_journal(
    guest: Guest, identifiers: Sequence[str]
) -> Iterator[tuple[GuestPath, LogLine] | Unreadable]:
    """Entries of the given syslog identifiers, with the file each was in; a file that cannot be had is said.

    Raises:
        GuestReadError: the journal's directory cannot be read.
    """
    budget = MAX_TOTAL_BYTES
    for path, stat in journal_files(guest):
        budget -= stat.size_bytes
        if budget < 0:
            yield Unreadable(str(path), f"an older journal: {MAX_TOTAL_BYTES} bytes are read")
            return
        yield from _of_file(guest, path, stat.size_bytes, {name.encode() for name in identifiers})


def _of_file(
    guest: Guest, path: GuestPath, size_bytes: int, wanted: set[bytes]
) -> Iterator[tuple[GuestPath, LogLine] | Unreadable]:
    kept: deque[LogLine] = deque(maxlen=MAX_ENTRIES)
    lost: Unreadable | None = None
    try:
        for found in entries(partial(guest.read_range, path), size_bytes, value_bytes=MAX_LINE_BYTES):
            if isinstance(found, Entry) and (line := _line(found, wanted)) is not None:
                kept.append(line)
    except GuestReadError as error:
        lost = Unreadable.of(error)
    except FormatError as error:
        lost = Unreadable(str(path), error.message)
    yield from ((path, line) for line in kept)
    if lost is not None:
        yield lost


def _line(entry: Entry, wanted: set[bytes]) -> LogLine | None:
    program = next((v for n, v in entry.fields if n == "SYSLOG_IDENTIFIER" and v in wanted), None)
    message = next((v for n, v in entry.fields if n == "MESSAGE"), None)
    if program is None or message is None:
        return None
    time = _EPOCH + dt.timedelta(microseconds=entry.realtime_us)
    return LogLine(time, program.decode(), message.decode("utf-8", "replace")[:MAX_LINE_BYTES])

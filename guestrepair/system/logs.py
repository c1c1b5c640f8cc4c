"""What programs of the guest logged: text logs with their rotations, and the journal, by one reader.

Nothing is read before it is asked for. The last written log comes first, within limits; what cannot be
read, or is left out because of a limit, is said in its place.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from functools import partial

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.logs import LogLine, decompress, parse_syslog
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.journal import read_journal

DIRECTORY = GuestPath("/var/log")
LOGINS = ("secure*", "auth.log*")
"""Logs of logins, and their rotations: Red Hat's and SUSE's name, Debian's and Alpine's."""

MAX_FILES = 12
MAX_READ_BYTES = 16 * 1024 * 1024
"""Of a longer plain log the end is read; a longer compressed one is passed over."""

MAX_EXPANDED_BYTES = 64 * 1024 * 1024
_COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".lz4", ".lzma")
_LAST_TIME = 4_000_000_000


class Logs:
    """The logs of one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def entries(
        self, programs: Sequence[str], names: Sequence[str] = LOGINS
    ) -> Iterator[tuple[GuestPath, LogLine] | Unreadable]:
        """What these programs logged, with the file: text logs of these names, then the journal."""
        yield from self.text_entries(programs, names)
        yield from self.journal_entries(programs)

    def text_entries(
        self, programs: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[GuestPath, LogLine] | Unreadable]:
        """The same of text logs alone; ``names`` are shell patterns of /var/log."""
        files = attempt(partial(self._files, names), DIRECTORY)
        if isinstance(files, Unreadable):
            yield files
            return
        yield from (each for each in files if isinstance(each, Unreadable))
        there = sorted(
            (each for each in files if not isinstance(each, Unreadable)),
            key=lambda pair: (-pair[1].mtime, str(pair[0])),
        )
        for path, stat in there[:MAX_FILES]:
            data = attempt(partial(self._read, path, stat), path)
            if isinstance(data, Unreadable):
                yield data
                continue
            written = dt.datetime.fromtimestamp(min(max(stat.mtime, 0), _LAST_TIME), tz=dt.UTC)
            yield from (
                (path, each) for each in parse_syslog(data, written=written) if each.program in programs
            )
        for path, _ in there[MAX_FILES:]:
            yield Unreadable(str(path), f"an older log: the last {MAX_FILES} are read")

    def journal_entries(self, programs: Sequence[str]) -> Iterator[tuple[GuestPath, LogLine] | Unreadable]:
        """The same of the journal alone."""
        try:
            yield from read_journal(self._guest, programs)
        except GuestReadError as error:
            yield Unreadable.of(error)

    def _files(self, names: Sequence[str]) -> list[tuple[GuestPath, Stat] | Unreadable]:
        found: list[tuple[GuestPath, Stat] | Unreadable] = []
        for path in (path for pattern in names for path in self._guest.glob(DIRECTORY, pattern)):
            stat = attempt(partial(self._guest.lstat, path))
            if isinstance(stat, Unreadable):
                found.append(stat)
            elif stat is not None and stat.is_file and stat.size_bytes:
                found.append((path, stat))
        return found

    def _read(self, path: GuestPath, stat: Stat) -> bytes:
        packed = path.suffix in _COMPRESSED
        if packed and stat.size_bytes > MAX_READ_BYTES:
            raise FormatError(f"{stat.size_bytes} bytes, more than are read of a compressed log")
        start = max(0, stat.size_bytes - MAX_READ_BYTES)
        data = self._guest.read_range(path, start, min(stat.size_bytes, MAX_READ_BYTES))
        return decompress(data, limit_bytes=MAX_EXPANDED_BYTES) if packed else data

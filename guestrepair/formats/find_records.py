"""What find(1) prints of every name, in a format of our own: numbers, then where a link leads, then the path.

find knows no times of creation on Linux: those come from stat(1), a line a name in the same order.

Source: find(1), "-printf format", and stat(1), "--printf".
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

FORMAT = r"%i/%m/%y/%U/%G/%s/%A@/%T@/%C@\0%l\0%P\0"
"""For ``find -printf``: three pieces, each with a NUL at its end."""
CREATED = r"%i/%.9W\0"
"""For ``stat --printf``: zero where no time of creation is kept."""

_KINDS = {
    b"f": stat.S_IFREG, b"d": stat.S_IFDIR, b"l": stat.S_IFLNK, b"c": stat.S_IFCHR, b"b": stat.S_IFBLK,
    b"p": stat.S_IFIFO, b"s": stat.S_IFSOCK,
}  # fmt: skip
MAX_PIECE_BYTES = 16_384
"""Numbers, a target and a path, each no longer than a kernel makes them."""


class Line(NamedTuple):
    """One name; times in nanoseconds since the epoch, None where none is kept."""

    path: bytes
    target: bytes
    inode: int
    mode: int
    uid: int
    gid: int
    size_bytes: int
    accessed: int | None
    modified: int | None
    changed: int | None


def parse_find(pieces: Iterable[bytes]) -> Iterator[Line | None]:
    """The names in an answer that comes in pieces; None for one that cannot be read."""
    rest, held = b"", list[bytes]()
    for piece in pieces:
        parts = (rest + piece).split(b"\0")
        rest = parts.pop()
        if len(rest) > MAX_PIECE_BYTES:
            yield None
            return
        held += parts
        whole = len(held) - len(held) % 3
        for at in range(0, whole, 3):
            yield _line(held[at], held[at + 1], held[at + 2])
        del held[:whole]
    if rest or held:
        yield None  # cut off


def _line(numbers: bytes, target: bytes, path: bytes) -> Line | None:
    fields = numbers.split(b"/")
    if len(fields) != 9 or len(numbers) > 400:
        return None
    try:
        mode = int(fields[1], 8) | _KINDS.get(fields[2], 0)
        inode, uid, gid, size = int(fields[0]), int(fields[3]), int(fields[4]), int(fields[5])
        times = [_nanoseconds(field) for field in fields[6:]]
    except ValueError:
        return None
    return Line(path, target, inode, mode, uid, gid, size, *times)


def _nanoseconds(field: bytes) -> int | None:
    """``-6.7500000000``: whole seconds, and a part of one that counts forward from there."""
    seconds, _, part = field.partition(b".")
    return int(seconds) * 1_000_000_000 + int(part[:9].ljust(9, b"0") or b"0")


class Created:
    """The times of creation, taken in the order in which they come."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._lines = _created(pieces)
        self._next = next(self._lines, None)

    def of(self, inode: int) -> int | None:
        """That of the next name, if it is of this inode: a name that stat could not read has none."""
        if self._next is None or self._next[0] != inode:
            return None
        found, self._next = self._next[1], next(self._lines, None)
        return found


def _created(pieces: Iterable[bytes]) -> Iterator[tuple[int, int | None]]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\0")
        for line in lines:
            inode, _, time = line.partition(b"/")
            if len(line) < 100 and inode.isdigit():
                try:
                    yield int(inode), _nanoseconds(time) or None
                except ValueError:
                    yield int(inode), None
        if len(rest) > MAX_PIECE_BYTES:
            return

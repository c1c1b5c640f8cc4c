"""Symbol versions of an ELF file: which it needs of other libraries, and which it has for others.

Sources: "ELF Symbol Versioning" (U. Drepper), Linux Standard Base, Symbol Versioning; glibc
``elf/dl-version.c`` (what is missing is fatal unless weak), ``elf/dl-lookup.c``; elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from guestrepair.errors import FormatError

_MAX_NAME_BYTES = 4096
_MAX_TABLE_BYTES = 512 * 1024
"""Of a table of names that is read at once: a larger one costs a read a name."""
_WINDOW_BYTES = 4096
_MAX_ENTRIES = 8192
"""Versions of one file; a libc has some forty."""
_WEAK = 2
INDEX_MASK = 0x7FFF
"""Of a symbol's number of a version: the top bit says that it is hidden."""

_Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class NeededVersions:
    """Versions that a file needs of the library ``library`` (a name as in NEEDED); ``weak`` may lack.

    ``indexes`` are the numbers by which the file's symbols name these versions.
    """

    library: str
    versions: tuple[str, ...]
    weak: tuple[str, ...] = ()
    indexes: frozenset[int] = frozenset()


class Names:
    """The string table of a dynamic section."""

    def __init__(self, read: _Read, start: int, size: int) -> None:
        self._read = read
        self._start = start
        self._size = size
        self._whole: bytes | None = None
        self._asked = 0

    def at(self, offset: int) -> str:
        """The name at an offset.

        Raises:
            FormatError: outside of the table, or without an end.
        """
        if offset >= self._size:
            raise FormatError("ELF: a name outside of the string table")
        raw = self._piece(offset)
        if b"\0" not in raw:
            raise FormatError("ELF: a name that does not end")
        return raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")

    def _piece(self, offset: int) -> bytes:
        self._asked += 1
        if self._whole is None and self._asked > 2 and self._size <= _MAX_TABLE_BYTES:
            self._whole = self._read(self._start, self._size)
        if self._whole is not None:
            return self._whole[offset : offset + _MAX_NAME_BYTES]
        raw = self._read(self._start + offset, min(self._size - offset, 256))
        if b"\0" not in raw:
            raw = self._read(self._start + offset, min(self._size - offset, _MAX_NAME_BYTES))
        return raw


class _Table:
    """A table of linked entries, read through a window; each entry lies behind the one before."""

    def __init__(self, read: _Read, order: str) -> None:
        self._read = read
        self._order = order
        self._at = 0
        self._window = b""

    def entry(self, layout: str, at: int) -> tuple[int, ...]:
        shape = struct.Struct(self._order + layout)
        start = at - self._at
        if start < 0 or start + shape.size > len(self._window):
            self._at, self._window, start = at, self._read(at, _WINDOW_BYTES), 0
        if start + shape.size > len(self._window):
            raise FormatError("ELF: the table of symbol versions is cut off")
        return shape.unpack_from(self._window, start)


def needed_versions(read: _Read, order: str, at: int, count: int, names: Names) -> tuple[NeededVersions, ...]:
    """The table DT_VERNEED of ``count`` entries at the offset ``at``.

    Raises:
        FormatError: it is cut off, leads outside of the file, or has more than any file has.
    """
    table, found, budget = _Table(read, order), [], _MAX_ENTRIES
    for _ in range(min(count, _MAX_ENTRIES)):
        _version, number, library, first, following = table.entry("HHIII", at)
        place = at + first
        versions: list[str] = []
        weak: list[str] = []
        indexes: set[int] = set()
        for _ in range(number):
            budget -= 1
            if budget < 0:
                raise FormatError(f"ELF: more than {_MAX_ENTRIES} symbol versions")
            _hash, flags, other, name, step = table.entry("IHHII", place)
            (weak if flags & _WEAK else versions).append(names.at(name))
            indexes.add(other & INDEX_MASK)
            if not step:
                break
            place += step
        found.append(NeededVersions(names.at(library), tuple(versions), tuple(weak), frozenset(indexes)))
        if not following:
            break
        at += following
    return tuple(found)


def defined_versions(read: _Read, order: str, at: int, count: int, names: Names) -> frozenset[str]:
    """The names in the table DT_VERDEF of ``count`` entries at the offset ``at``.

    Raises:
        FormatError: as :func:`needed_versions`.
    """
    if count > _MAX_ENTRIES:
        raise FormatError(f"ELF: more than {_MAX_ENTRIES} symbol versions")
    table, found = _Table(read, order), set()
    for _ in range(count):
        _version, _flags, _index, number, _hash, first, following = table.entry("HHHHIII", at)
        if number:
            name, _next = table.entry("II", at + first)
            found.add(names.at(name))
        if not following:
            break
        at += following
    return frozenset(found)

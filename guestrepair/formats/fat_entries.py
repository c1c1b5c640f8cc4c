"""The entries of one FAT directory: short names, the long ones before them, and what they say of a file.

Only plain names are understood: ASCII that every character set of a mount shows alike. What else a
directory holds (other characters, long names that belong to no entry, entries behind the
directory's end, which Linux still reads) makes it doubtful.

Source: Microsoft's FAT specification 1.03, sections 6 and 7; Linux fs/fat/dir.c (fat_parse_long,
fat_parse_short), misc.c (fat_time_fat2unix).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from datetime import date
from typing import NamedTuple

from guestrepair.errors import FormatError
from guestrepair.formats.fat_geometry import ENTRY_BYTES

READ_ONLY, VOLUME, DIRECTORY, LONG_NAME = 0x01, 0x08, 0x10, 0x0F
_UNKNOWN_ATTRIBUTES = 0xC0
_LOWER_BASE, _LOWER_EXTENSION = 0x08, 0x10
_DELETED, _LAST, _MAX_SLOTS = 0xE5, 0x40, 20
MAX_NAME = 255

_ENTRY = struct.Struct("<11sBBBHHHHHHHI")
_SLOT = struct.Struct("<B10sBBB12sH4s")
_DOTS = frozenset({b".          ", b"..         "})
_SHORT = re.compile(rb"[A-Z0-9$%'\-_@~`!(){}^#&](?:[A-Z0-9$%'\-_@~`!(){}^#& ]{0,7})")
_EXTENSION = re.compile(rb"[A-Z0-9$%'\-_@~`!(){}^#& ]{0,3}")
_LONG = re.compile(rb'[^\x00-\x1f\x7f-\xff"*/:<>?\\|]{1,255}')
_DAY_SECONDS = 86400
_EPOCH = date(1970, 1, 1).toordinal()


class Entry(NamedTuple):
    """One file or directory. Times are seconds since the epoch, as if local time were UTC.

    ``name`` is what a listing shows, ``alias`` the short name that leads there as well; ``at`` is where in
    the directory the short entry stands. ``created`` (in nanoseconds) and ``accessed`` are None for none.
    """

    name: bytes
    alias: bytes
    at: int
    attributes: int
    cluster_low: int
    cluster_high: int
    size_bytes: int
    modified: int
    created: int | None
    accessed: int | None

    @property
    def is_directory(self) -> bool:
        """A directory."""
        return bool(self.attributes & DIRECTORY)


class _LongName(NamedTuple):
    """Slots of a long name so far: what they hold, which one comes next (0: none), the short one's sum."""

    units: bytes
    awaited: int
    checksum: int


def parse_entries(data: bytes) -> Iterator[Entry]:
    """The entries of a directory, ``.`` and ``..`` with them; labels and deleted ones are left out.

    Raises:
        FormatError: it is not certain what the kernel shows.
    """
    pending: _LongName | None = None
    for at in range(0, len(data) - len(data) % ENTRY_BYTES, ENTRY_BYTES):
        first, attributes = data[at], data[at + 11]
        if first not in (0, _DELETED) and attributes == LONG_NAME:
            pending = _with_slot(pending, data[at : at + ENTRY_BYTES])
            continue
        if first in (0, _DELETED) or attributes & VOLUME:
            if pending is not None:
                raise FormatError("a long name without an entry")
            if first == 0 and any(
                data[place] not in (0, _DELETED) for place in range(at, len(data), ENTRY_BYTES)
            ):
                raise FormatError("entries behind the end of a directory")
            if first == 0:
                return
            continue
        yield _entry(data, at, pending)
        pending = None
    if pending is not None:
        raise FormatError("a long name without an entry")


def _with_slot(pending: _LongName | None, slot: bytes) -> _LongName:
    order, head, _, kind, checksum, middle, cluster, tail = _SLOT.unpack(slot)
    if kind or cluster:
        raise FormatError("a long name of an unknown kind")
    if pending is None:
        number = order & ~_LAST
        if not order & _LAST or not 0 < number <= _MAX_SLOTS:
            raise FormatError("a long name without its last part")
        return _LongName(head + middle + tail, number - 1, checksum)
    if order != pending.awaited or checksum != pending.checksum:
        raise FormatError("parts of a long name that do not belong together")
    return _LongName(head + middle + tail + pending.units, order - 1, checksum)


def _entry(data: bytes, at: int, pending: _LongName | None) -> Entry:
    raw, attributes, case, tenths, ctime, cdate, adate, high, mtime, mdate, low, size = _ENTRY.unpack_from(
        data, at
    )
    if attributes & _UNKNOWN_ATTRIBUTES:
        raise FormatError("an entry with attributes that are not known")
    alias = raw.rstrip() if raw in _DOTS else _short_name(raw, case)
    if pending is not None and (pending.awaited or pending.checksum != short_checksum(raw)):
        raise FormatError("a long name that belongs to another entry")
    return Entry(
        name=alias if pending is None else _long_name(pending.units),
        alias=alias,
        at=at,
        attributes=attributes,
        cluster_low=low,
        cluster_high=high,
        size_bytes=size,
        modified=unix_time(mdate, mtime),
        created=unix_time(cdate, ctime) * 10**9 + tenths * 10**7 if cdate else None,
        accessed=unix_time(adate, 0) if adate else None,
    )


def _short_name(raw: bytes, case: int) -> bytes:
    """A name of 8 and 3 characters; two bits say that a part is in lower case (Linux: shortname=mixed).

    Raises:
        FormatError: other characters than the specification allows, or others than ASCII.
    """
    base, extension = raw[:8].rstrip(b" "), raw[8:].rstrip(b" ")
    if not _SHORT.fullmatch(base) or not _EXTENSION.fullmatch(extension):
        raise FormatError("a short name of other characters")
    base = base.lower() if case & _LOWER_BASE else base
    extension = extension.lower() if case & _LOWER_EXTENSION else extension
    return base + b"." + extension if extension else base


def _long_name(units: bytes) -> bytes:
    """A long name, which ends with a zero where it does not fill its slots.

    Raises:
        FormatError: it is empty, too long, or of characters that not every mount shows alike.
    """
    text = units.decode("utf-16-le", "surrogatepass").partition("\0")[0]
    name = text.encode("utf-8", "surrogatepass")
    if not _LONG.fullmatch(name) or name[-1:] in (b".", b" "):
        raise FormatError("a long name of other characters than plain ones")
    return name


def short_checksum(raw: bytes) -> int:
    """The sum of a short name's 11 bytes that its long name's slots carry."""
    total = 0
    for byte in raw:
        total = ((total & 1) << 7 | total >> 1) + byte & 0xFF
    return total


def unix_time(day: int, time: int) -> int:
    """Seconds since the epoch of a date and a time (steps of two seconds); local time is taken for UTC.

    As the kernel has it, a month or day of 0 is the first.

    Raises:
        FormatError: no such month.
    """
    year, month, of_month = 1980 + (day >> 9), max(1, day >> 5 & 0xF), max(1, day & 0x1F)
    if month > 12:
        raise FormatError("a date in no month")
    days = date(year, month, 1).toordinal() - _EPOCH + of_month - 1
    return days * _DAY_SECONDS + (time >> 11) * 3600 + (time >> 5 & 0x3F) * 60 + (time & 0x1F) * 2

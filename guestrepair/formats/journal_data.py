"""The objects of a systemd journal file: its header, what an object's head says, and the payloads of data.

Source: systemd's docs/JOURNAL_FILE_FORMAT.md and src/libsystemd/sd-journal/journal-def.h.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.unpackers import LZMA_MEMORY, lz4_library, zstd

Read = Callable[[int, int], bytes]
"""``read(offset_bytes, size_bytes)``, short at the end of the file."""

SIGNATURE = b"LPKSHHRH"
DATA, FIELD, ENTRY, DATA_HASH_TABLE, FIELD_HASH_TABLE, ENTRY_ARRAY, TAG = range(1, 8)
COMPACT = 16
KNOWN_FLAGS = 31
"""Incompatible flags: XZ 1, LZ4 2, keyed hash 4, zstd 8, compact 16."""

_XZ, _LZ4, _ZSTD = 1, 2, 4
"""How a data object is packed."""

OBJECT = struct.Struct("<BB6sQ")
_HEADER = struct.Struct("<8sII8x16s16s16s16sQQ32xQQQQQQQQ")
_HEADER_BYTES, _MAX_HEADER_BYTES = 208, 4096
_SIGNATURE_MATCHES = 5
MAX_LZ4_BYTES = 16 * 1024 * 1024
"""LZ4 blocks are unpacked whole."""

_READ_BYTES = 256 * 1024 * 1024
"""With eight times its size, what is read of a file in all: parts of it are read again."""
_PAGE_BYTES, _KEPT_PAGES = 128 * 1024, 256
_KEPT_FIELDS, _KEPT_FIELD_BYTES = 65_536, 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says; offsets are in bytes from the file's start, and only as true as the file."""

    flags: int
    machine_id: bytes
    start: int
    tail_object: int
    entries: int
    entry_array: int
    head_realtime_us: int

    @property
    def is_compact(self) -> bool:
        """Offsets of 32 bits in entries and arrays."""
        return bool(self.flags & COMPACT)


def parse_header(data: bytes) -> Header:
    """The header of a journal file; a damaged signature is borne with, if most of it is there.

    Raises:
        FormatError: it is no journal.
    """
    if len(data) < _HEADER_BYTES:
        raise FormatError("no journal: shorter than a header")
    found = _HEADER.unpack_from(data)
    if sum(a == b for a, b in zip(found[0], SIGNATURE, strict=True)) < _SIGNATURE_MATCHES:
        raise FormatError("no journal: its signature is missing")
    flags, machine, size = found[2], found[4], found[7]
    tail, _objects, count, _tail_number, _head_number, array, head_time, _tail_time = found[9:17]
    sound = _HEADER_BYTES <= size <= _MAX_HEADER_BYTES and size % 8 == 0
    return Header(flags, machine, size if sound else _HEADER_BYTES, tail, count, array, head_time)


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """The first sixteen bytes of an object: its type, how its payload is packed, its size with them."""

    kind: int
    flags: int
    reserved: bytes
    size: int

    def is_sound(self, *, compact: bool | None) -> bool:
        """Whether there can be such an object; None: in either layout."""
        item = 16 if compact is False else 4
        if self.reserved != bytes(6) or (self.flags and (self.kind != DATA or self.flags not in {1, 2, 4})):
            return False
        if self.kind == ENTRY:
            return self.size >= 64 + item and (self.size - 64) % item == 0
        if self.kind == ENTRY_ARRAY:
            return self.size >= 28 and (self.size - 24) % (8 if compact is False else 4) == 0
        if self.kind in {DATA_HASH_TABLE, FIELD_HASH_TABLE}:
            return self.size >= 32 and self.size % 16 == 0
        if self.kind == TAG:
            return self.size == 64
        least = {DATA: 73 if compact else 65, FIELD: 41}.get(self.kind)
        return least is not None and self.size >= least


class Pages:
    """Small reads served from larger ones, the last kept; ends when far more is read than there is."""

    def __init__(self, read: Read, size_bytes: int) -> None:
        self.size = size_bytes
        self._read = read
        self._kept: dict[int, bytes] = {}
        self._budget = 8 * size_bytes + _READ_BYTES

    def get(self, offset: int, size: int) -> bytes:
        """Bytes of the file; short at its end.

        Raises:
            FormatError: the file makes its reader go back and forth for ever.
        """
        number, start = divmod(offset, _PAGE_BYTES)
        if start + size <= _PAGE_BYTES:
            return self._page(number)[start : start + size]
        last = (offset + size - 1) // _PAGE_BYTES
        return b"".join(self._page(n) for n in range(number, last + 1))[start : start + size]

    def rest_of_page(self, offset: int) -> bytes:
        """From an offset to the end of its page, and a little more."""
        return self.get(offset, _PAGE_BYTES - offset % _PAGE_BYTES + 16)

    def _page(self, number: int) -> bytes:
        page = self._kept.pop(number, None)
        if page is None:
            offset = number * _PAGE_BYTES
            wanted = max(0, min(_PAGE_BYTES, self.size - offset))
            page = self._read(offset, wanted) if wanted else b""
            self._budget -= _PAGE_BYTES
            if self._budget < 0:
                raise FormatError("its objects refer to each other over and over: not all were read")
            if len(self._kept) >= _KEPT_PAGES:
                del self._kept[next(iter(self._kept))]
        self._kept[number] = page  # at the end: the last one used
        return page


@dataclass(frozen=True, slots=True)
class Field:
    """``NAME=value``, and the hash that an entry's item repeats; a value may be cut at the limit."""

    name: str
    value: bytes
    hash: int


class Fields:
    """The data objects by where they lie; the last ones are kept, within limits."""

    def __init__(self, pages: Pages, *, value_bytes: int) -> None:
        self._pages = pages
        self._limit = value_bytes + 256  # with the name
        self._young: dict[int, Field | None] = {}
        self._old: dict[int, Field | None] = {}
        self._young_bytes = 0

    def get(self, offset: int, *, compact: bool) -> Field | None:
        """The field at an offset, from what is kept; None where there is none to be read.

        Raises:
            FormatError: see :meth:`Pages.get`.
        """
        if offset in self._young:
            return self._young[offset]
        field = self._old[offset] if offset in self._old else self._read(offset, compact=compact)
        if len(self._young) >= _KEPT_FIELDS or self._young_bytes > _KEPT_FIELD_BYTES:
            self._old, self._young, self._young_bytes = self._young, {}, 0
        self._young[offset] = field
        self._young_bytes += 0 if field is None else len(field.value)
        return field

    def forget(self) -> None:
        """Read all again: the file's layout is another."""
        self._young, self._old, self._young_bytes = {}, {}, 0

    def _read(self, offset: int, *, compact: bool) -> Field | None:
        if not 0 < offset <= self._pages.size - 64 or offset % 8:
            return None
        raw = self._pages.get(offset, 24)
        if len(raw) < 24:
            return None
        head = ObjectHead(*OBJECT.unpack_from(raw))
        if head.kind != DATA or not head.is_sound(compact=compact):
            return None
        begin = 72 if compact else 64
        size = head.size - begin
        if offset + head.size > self._pages.size:
            return None
        payload = self._payload(offset + begin, size, head.flags)
        name, equals, value = (payload or b"").partition(b"=")
        if not equals or not name:
            return None
        return Field(name[:256].decode("latin-1"), value, int.from_bytes(raw[16:24], "little"))

    def _payload(self, offset: int, size: int, flags: int) -> bytes | None:
        if not flags:
            return self._pages.get(offset, min(size, self._limit))
        packed = self._pages.get(offset, min(size, MAX_LZ4_BYTES))
        try:
            return unpacked(packed, flags, self._limit)
        except FormatError:
            return None


def unpacked(packed: bytes, flags: int, limit: int) -> bytes:
    """The first bytes of a packed payload, no more than the limit.

    Raises:
        FormatError: it cannot be unpacked.
    """
    try:
        if flags == _XZ:
            limited = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=LZMA_MEMORY)
            return limited.decompress(packed, max_length=limit)
        if flags == _ZSTD:
            return zstd().decompress(packed, limit)
        if flags == _LZ4:
            return _lz4(packed)[:limit]
    except FormatError:
        raise
    except Exception as error:  # each library has errors of its own for bytes that are none of its format
        raise FormatError(f"a packed value that cannot be unpacked ({error})") from error
    raise FormatError("a value packed in a way that is not known")


def _lz4(packed: bytes) -> bytes:
    """A length of 64 bits, and a block without a frame."""
    size = int.from_bytes(packed[:8], "little")
    if not 0 < size <= min(MAX_LZ4_BYTES, 255 * len(packed)):
        raise FormatError(f"a packed value of {size} bytes")
    found: bytes = lz4_library("block").decompress(packed[8:], uncompressed_size=size)
    return found

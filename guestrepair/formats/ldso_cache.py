"""ld.so.cache as it lies on the disk: which file the loader takes for a library's name.

Three layouts are about: the old one (``ld.so-1.7.0``), the new one (``glibc-ld.so.cache1.1``), and an old one
with a new one behind it. Sources: glibc ``sysdeps/generic/dl-cache.h``, ``elf/dl-cache.c``, ``elf/cache.c``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_ENTRIES = 200_000
"""Libraries of one cache; a desktop has some three thousand."""

_OLD, _NEW = b"ld.so-1.7.0", b"glibc-ld.so.cache1.1"
_OLD_HEAD_BYTES, _NEW_HEAD_BYTES = 16, 48
_MAX_NAME_BYTES = 4096
_TYPE_MASK, _ABI_MASK = 0x00FF, 0xFF00
_ELF_TYPES = frozenset({1, 3})
_BIG = 3


@dataclass(frozen=True, slots=True)
class CachedLibrary:
    """One entry: a library's name, its path, the ABI it is for, and whether only some processors take it."""

    name: str
    path: str
    abi: int
    """The bits of FLAG_REQUIRED_MASK: 0x0300 for x86-64, 0 for i386 and wherever there is one ABI only."""

    for_some_processors: bool = False


def parse_ld_so_cache(data: bytes) -> tuple[CachedLibrary, ...]:
    """All entries in the cache's own order.

    Raises:
        FormatError: no such cache, cut off, of another byte order than its magic can have, or with more
            entries than anybody has. ld.so passes over a cache that it does not understand.
    """
    if data.startswith(_NEW):
        return _new(data, 0)
    if not data.startswith(_OLD) or len(data) < _OLD_HEAD_BYTES:
        raise FormatError("ld.so.cache: neither of the layouts that ld.so knows")
    (count,) = struct.unpack_from("<I", data, 12)
    _check(count)
    strings = _OLD_HEAD_BYTES + 12 * count
    behind = (strings + 7) & ~7
    if data[behind : behind + len(_NEW)] == _NEW:
        return _new(data, behind)
    if strings > len(data):
        raise FormatError("ld.so.cache: cut off")
    entries = struct.iter_unpack("<iII", data[_OLD_HEAD_BYTES:strings])
    return tuple(
        CachedLibrary(_text(data, strings + name), _text(data, strings + path), flags & _ABI_MASK)
        for flags, name, path in entries
        if flags & _TYPE_MASK in _ELF_TYPES
    )


def _new(data: bytes, start: int) -> tuple[CachedLibrary, ...]:
    if len(data) < start + _NEW_HEAD_BYTES:
        raise FormatError("ld.so.cache: cut off")
    order = ">" if data[start + 28] & 3 == _BIG else "<"
    (count,) = struct.unpack_from(order + "I", data, start + 20)
    if count > MAX_ENTRIES and not data[start + 28] & 3:  # older caches do not say their byte order
        order = ">"
        (count,) = struct.unpack_from(order + "I", data, start + 20)
    _check(count)
    end = start + _NEW_HEAD_BYTES + 24 * count
    if end > len(data):
        raise FormatError("ld.so.cache: cut off")
    entries = struct.iter_unpack(order + "iIIIQ", data[start + _NEW_HEAD_BYTES : end])
    return tuple(
        CachedLibrary(_text(data, start + name), _text(data, start + path), flags & _ABI_MASK, bool(hwcap))
        for flags, name, path, _version, hwcap in entries
        if flags & _TYPE_MASK in _ELF_TYPES
    )


def _check(count: int) -> None:
    if count > MAX_ENTRIES:
        raise FormatError(f"ld.so.cache: {count} entries, more than anybody has")


def _text(data: bytes, at: int) -> str:
    end = data.find(b"\0", at, at + _MAX_NAME_BYTES) if at < len(data) else -1
    if end < 0:
        raise FormatError("ld.so.cache: a name outside of it")
    return data[at:end].decode("utf-8", "surrogateescape")

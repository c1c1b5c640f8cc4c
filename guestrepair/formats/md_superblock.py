"""Superblocks of members of Linux RAID (md): versions 0.90, 1.0, 1.1 and 1.2, with their checksums.

Source: Linux's ``include/uapi/linux/raid/md_p.h`` and ``drivers/md/md.c``.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.superblock.model import Read

MAGIC = 0xA92B4EFC
IN_SYNC = (1 << 64) - 1
_RESERVED = 64 * 1024
_OLD_BYTES = 4096
_MAX_ROLES = 1920
_SPARE = 0xFF00
"""Roles from here on are no place in the array: spare, faulty, journal."""


class Feature(enum.IntFlag):
    """What a superblock of version 1 has beyond the first ones."""

    BITMAP = 1
    BAD_BLOCKS = 8
    RAID0_LAYOUT = 4096


class Level(enum.IntEnum):
    """The levels that are known here."""

    LINEAR = -1
    STRIPED = 0
    MIRROR = 1


@dataclass(frozen=True, slots=True)
class Bitmap:
    """There is a write-intent bitmap, at that byte of the device."""

    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Member:
    """One member's view of its array. ``roles`` are the places that are taken in it, in order.

    ``data_bytes`` is what the member has room for, ``used_bytes`` what a mirror uses of that. ``clean``: no
    write, recovery or resynchronization was under way.
    """

    array: bytes
    version: str
    level: Level
    layout: int
    chunk_bytes: int
    disks: int
    role: int
    roles: tuple[int, ...]
    events: int
    data_offset_bytes: int
    data_bytes: int
    used_bytes: int
    clean: bool
    bitmap: Bitmap | None = None


def read_member(read: Read, size_bytes: int) -> Member:
    """The superblock of a member of an array. What ``read`` raises passes through.

    Raises:
        FormatError: none, several, damaged, spare or faulty, or with something in it that is not known.
    """
    found = []
    for offset in _places(size_bytes):
        head = read(offset, 4)
        if len(head) == 4 and MAGIC in (int.from_bytes(head, "little"), int.from_bytes(head, "big")):
            found.append(offset)
    old = _old_place(size_bytes)
    own = [at for at in found if at == old or _names_itself(read(at, 256), at)]
    if len(own) != 1:
        raise FormatError("not one superblock of a member of an array")
    (offset,) = own
    return _old(read(offset, _OLD_BYTES), offset) if offset == old else _new(read, offset, size_bytes)


def _places(size_bytes: int) -> list[int]:
    ends = [(size_bytes & ~0xFFF) - 0x2000, _old_place(size_bytes)] if size_bytes > 2 * _RESERVED else []
    return [*ends, 0, 0x1000]


def _old_place(size_bytes: int) -> int:
    return (size_bytes & ~(_RESERVED - 1)) - _RESERVED


def _names_itself(block: bytes, offset: int) -> bool:
    return len(block) == 256 and struct.unpack_from("<Q", block, 144)[0] * 512 == offset


def _level(number: int) -> Level:
    try:
        return Level(number)
    except ValueError as error:
        raise FormatError(f"an array of level {number}") from error


# --- version 1 ------------------------------------------------------------------


def _new(read: Read, offset: int, size_bytes: int) -> Member:
    block = read(offset, 256)
    magic, major, features, pad = struct.unpack_from("<4I", block)
    level, layout, size, chunk, disks, bitmap = struct.unpack_from("<iIQIIi", block, 72)
    data_offset, data_size, _own, _recovery, number = struct.unpack_from("<QQQQI", block, 128)
    flags, shift, bad_size, bad_offset = struct.unpack_from("<BBHi", block, 184)
    events, resync, crc, count = struct.unpack_from("<QQII", block, 200)
    if (magic, major, pad) != (MAGIC, 1, 0) or count > _MAX_ROLES:
        raise FormatError("a superblock of a version that is not known")
    whole = read(offset, 256 + 2 * count)
    if len(whole) != 256 + 2 * count or _checksum(whole) != crc:
        raise FormatError("the checksum of a superblock is wrong")
    known = Feature.BITMAP | Feature.BAD_BLOCKS | Feature.RAID0_LAYOUT
    if features & ~known or flags:
        raise FormatError("an array with features that are not known, or a change of its shape under way")
    roles = struct.unpack_from(f"<{count}H", whole, 256)
    if number >= count or roles[number] >= _SPARE:
        raise FormatError("a member without a place in its array")
    if features & Feature.BAD_BLOCKS and not _is_empty(read, offset, bad_offset, bad_size, shift):
        raise FormatError("a member with bad blocks")
    kind = _level(level)
    if kind is Level.STRIPED and not features & Feature.RAID0_LAYOUT:
        layout = 0
    first, length = data_offset * 512, data_size * 512
    if first + length > size_bytes or (offset >= first and offset < first + length):
        raise FormatError("a member whose data lies where it cannot")
    minor = {0: "1.1", 0x1000: "1.2"}.get(offset, "1.0")
    return Member(
        array=block[16:32],
        version=minor,
        level=kind,
        layout=layout,
        chunk_bytes=chunk * 512,
        disks=disks,
        role=roles[number],
        roles=tuple(sorted(role for role in roles if role < _SPARE)),
        events=events,
        data_offset_bytes=first,
        data_bytes=length,
        used_bytes=size * 512,
        clean=resync == IN_SYNC,
        bitmap=Bitmap(offset + bitmap * 512) if features & Feature.BITMAP else None,
    )


def _checksum(block: bytes) -> int:
    padded = block[:216] + bytes(4) + block[220:] + bytes(-len(block) % 4)
    total: int = sum(struct.unpack(f"<{len(padded) // 4}I", padded))
    return (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF


def _is_empty(read: Read, superblock: int, offset: int, sectors: int, shift: int) -> bool:
    """Whether a log of bad blocks has no entry: the first is all ones then."""
    if not 0 < sectors <= 64 or shift > 20:
        return False
    entries = read(superblock + offset * 512, sectors * 512)
    return len(entries) == sectors * 512 and entries.strip(b"\xff") == b""


# --- version 0.90 ----------------------------------------------------------------


def _old(block: bytes, offset: int) -> Member:
    if len(block) != _OLD_BYTES:
        raise FormatError("a superblock that is cut off")
    words = struct.unpack("<1024I", block)
    total = sum(words) - words[38]
    if words[:3] != (MAGIC, 0, 90) or (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF != words[38]:
        raise FormatError("a superblock of 0.90 that is damaged, of another byte order, or being reshaped")
    level, size_kib, count, disks = words[7], words[8], words[9], words[10]
    state, layout, chunk = words[33], words[64], words[65]
    if state & ~1 or words[36] or words[37] or count > 27 or disks > count:
        raise FormatError("an array with failed or spare members, or with a bitmap")
    described = [words[128 + 32 * number : 160 + 32 * number] for number in range(27)]
    places = [each[3] for each in described if each[4] & 6 == 6 and not each[4] & 1]
    this = words[992:1024]
    if this[4] & 7 != 6 or this[0] >= 27 or described[this[0]][3] != this[3]:
        raise FormatError("a member without a place in its array")
    kind = _level(level - (1 << 32) if level >> 31 else level)
    return Member(
        array=struct.pack("<4I", words[5], *words[13:16]),
        version="0.90",
        level=kind,
        layout=layout if kind is not Level.STRIPED else 0,
        chunk_bytes=chunk,
        disks=disks,
        role=this[3],
        roles=tuple(sorted(places)),
        events=words[39] | words[40] << 32,
        data_offset_bytes=0,
        data_bytes=offset,
        used_bytes=size_kib * 1024,
        clean=state == 1,
    )

"""Was an XFS filesystem unmounted in order? The log is walked as the kernel does that mounts it.

The log is a ring of sectors. Each begins with the number of the round (cycle) in which it was written; a
record's header with a magic number, and the cycle behind it. The head is where the cycle drops, or where a
record begins that was not written whole. Sectors in a wrong order are not certain here, where the kernel goes
on looking.

Source: the XFS Algorithms & Data Structures document (Journaling Log); Linux fs/xfs/xfs_log_recover.c
(xlog_find_head, xlog_find_zeroed, xlog_find_verify_log_record, xlog_find_tail, xlog_check_unmount_rec) and
libxfs/xfs_log_format.h.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.xfs_geometry import Geometry

_SECTOR = 512
_MAGIC = b"\xfe\xed\xba\xbe"
_WINDOW = 4096
"""Sectors before the head that the kernel looks through: what may be written at a time, in whatever order."""

_UNMOUNT = 0x20
_VERSION, _LINUX_LITTLE_ENDIAN = 2, 1
_HEADER_COVERS = 32 * 1024
"""Bytes of a record whose cycles one header sector keeps; larger ones have further headers."""

_HEADER = struct.Struct(">4sIIIQQ4sII256xI16sI")
_CRC_AT = 32
_HEADER_SIZES = (328, 324)
"""What the checksum is taken of; i386 has it without the padding at its end."""

_ALL_ONES = 0xFFFFFFFF
_MAX_SECTORS = (2 << 30) // _SECTOR


@dataclass(frozen=True, slots=True)
class _Log:
    """The log as a ring of sectors."""

    read: Read
    at: int
    sectors: int

    def get(self, sector: int, count: int) -> bytes:
        return self.read(self.at + sector * _SECTOR, count * _SECTOR)

    def cycle(self, sector: int) -> int | None:
        data = self.get(sector, 1)
        return _cycle(data) if len(data) == _SECTOR else None

    def start_of(self, cycle: int) -> int | None:
        """A first sector of that cycle, which the last one has: by the kernel's own halving."""
        low, high = 0, self.sectors - 1
        while high - low > 1:
            middle = (low + high) // 2
            found = self.cycle(middle)
            if found is None:
                return None
            low, high = (low, middle) if found == cycle else (middle, high)
        return high


def last_lsn(read: Read, geometry: Geometry) -> int | None:
    """The place in the log (cycle, sector) that nothing on the filesystem is newer than.

    None unless its last record certainly says that it was unmounted.

    Raises:
        Whatever ``read`` raises.
    """
    log = _Log(read, geometry.log_at, geometry.log_bytes // _SECTOR)
    if not 2 * _WINDOW // 8 <= log.sectors <= _MAX_SECTORS:
        return None
    first, last = log.cycle(0), log.cycle(log.sectors - 1)
    if not first or last is None or last not in (first, first - 1):
        return None  # a log of zeros that begins with a later cycle than the first is none
    head = log.sectors if last == first else log.start_of(last)
    data = None if head is None else _before(log, head, stop=last if last < first else last - 1)
    if head is None or data is None:
        return None
    whole = _without_torn_record(data)
    at = head - (len(data) - len(whole)) // _SECTOR
    if at < 0:
        return None
    end = ((first + 1) << 32) if at == log.sectors else first << 32 | at
    return end if _ends_in_unmount(whole, geometry.log_uuid, end, log.sectors) else None


def _before(log: _Log, head: int, stop: int) -> bytes | None:
    """The sectors before the head; None where one of them has the cycle that ends there, and so is older."""
    inside = min(head, _WINDOW)
    before = min(_WINDOW - inside, log.sectors - head)
    data = log.get(head - inside, inside)
    wrapped = log.get(log.sectors - before, before) if before else b""
    if len(data) != inside * _SECTOR or len(wrapped) != before * _SECTOR:
        return None
    return None if stop in _cycles(data) or stop - 1 in _cycles(wrapped) else wrapped + data


def _without_torn_record(data: bytes) -> bytes:
    """What lies before the head; a last record that does not end there was not written whole."""
    at = _last_header(data)
    if at < 0:
        return b""
    length, size = (
        int.from_bytes(data[at + 12 : at + 16], "big"),
        int.from_bytes(data[at + 320 : at + 324], "big"),
    )
    end = at + _header_bytes(size) + _padded(length)
    return data if end == len(data) else data[:at]


def _last_header(data: bytes) -> int:
    """Where the last record begins; negative if none does."""
    at = len(data) - _SECTOR
    while at >= 0 and data[at : at + 4] != _MAGIC:
        at -= _SECTOR
    return at


def _header_bytes(size: int) -> int:
    return max(1, -(-size // _HEADER_COVERS)) * _SECTOR


def _padded(length: int) -> int:
    return -(-length // _SECTOR) * _SECTOR


def _cycle(data: bytes) -> int:
    at = 4 if data[:4] == _MAGIC else 0
    return int.from_bytes(data[at : at + 4], "big")


def _cycles(data: bytes) -> set[int]:
    """The cycles in which those sectors were written."""
    heads = {data[at : at + 8] for at in range(0, len(data), _SECTOR)}
    return {_cycle(head) for head in heads}


def _ends_in_unmount(data: bytes, uuid: bytes, end: int, sectors: int) -> bool:
    """Whether the last record of what lies before the head ends there, and is that of an unmount."""
    at = _last_header(data)
    if at < 0:
        return False
    _, cycle, version, length, _, tail, stored, _, operations, form, own, size = _HEADER.unpack_from(data, at)
    if (version, form, operations, own) != (_VERSION, _LINUX_LITTLE_ENDIAN, 1, uuid):
        return False
    if end >> 32 not in (cycle, cycle + 1) or not _is_behind(tail, end, sectors):
        return False
    body = at + _header_bytes(size)
    if not length or body + _padded(length) != len(data) or not data[body + 9] & _UNMOUNT:
        return False
    return stored == bytes(4) or _is_intact(data[at:body], data[body : body + length], stored)


def _is_behind(tail: int, end: int, sectors: int) -> bool:
    """Whether the log may begin there, as a mount wants it that is to be written to."""
    cycle, at, last = tail >> 32, tail & _ALL_ONES, end & _ALL_ONES
    if cycle == end >> 32:
        return at <= last
    return cycle + 1 == end >> 32 and last < at < sectors


def _is_intact(headers: bytes, body: bytes, stored: bytes) -> bool:
    """The checksum of a record: of its header, of those that follow it, and of what is in it."""
    for size in _HEADER_SIZES:
        state = crc32c(headers[:_CRC_AT] + bytes(4) + headers[_CRC_AT + 4 : size])
        for at in range(_SECTOR, -(-len(body) // _HEADER_COVERS) * _SECTOR, _SECTOR):
            state = crc32c(headers[at : at + 260], state)
        if crc32c(body, state) ^ _ALL_ONES == int.from_bytes(stored, "little"):
            return True
    return False

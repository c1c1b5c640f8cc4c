"""The master boot record and its logical partitions, as bytes.

Layout: the four entries at 446, the disk signature at 440 and 0xAA55 at 510
(UEFI specification 2.10, section 5.2.1; the extended chain as Linux's
block/partitions/msdos.c walks it). Sector numbers are in the disk's own sectors.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

MBR_BYTES = 512
PROTECTIVE_TYPE = 0xEE
EXTENDED_TYPES = frozenset({0x05, 0x0F, 0x85})
MAX_LOGICAL = 120
"""Logical partitions read at most: a chain that is longer is made to exhaust its reader."""

_ENTRY = struct.Struct("<B3sB3sII")
_SIGNATURE = b"\x55\xaa"


@dataclass(frozen=True, slots=True)
class MbrEntry:
    """One partition: ``number`` as Linux counts (1 to 4, logical from 5); sectors are absolute."""

    number: int
    status: int
    type: int
    first_sector: int
    sector_count: int

    @property
    def is_extended(self) -> bool:
        """A container of logical partitions."""
        return self.type in EXTENDED_TYPES

    @property
    def is_active(self) -> bool:
        """The boot flag is set."""
        return self.status == 0x80

    @property
    def end_sector(self) -> int:
        """The first sector after it."""
        return self.first_sector + self.sector_count


@dataclass(frozen=True, slots=True)
class Mbr:
    """A master boot record that carries its signature; unused entries are left out."""

    disk_signature: int
    entries: tuple[MbrEntry, ...]
    has_boot_code: bool
    bad_status: bool
    """An entry's status byte is neither 0x00 nor 0x80: more likely code or data than a table."""

    @property
    def uuid(self) -> str:
        """As blkid writes PTUUID: eight hexadecimal digits; empty when zero."""
        return f"{self.disk_signature:08x}" if self.disk_signature else ""

    @property
    def protective(self) -> tuple[MbrEntry, ...]:
        """The entries of type 0xEE."""
        return tuple(e for e in self.entries if e.type == PROTECTIVE_TYPE)

    @property
    def is_hybrid(self) -> bool:
        """A protective entry beside real ones."""
        return bool(self.protective) and len(self.entries) > len(self.protective)


def parse_mbr(sector: bytes) -> Mbr | None:
    """The record in the first 512 bytes of a disk; None without its signature."""
    if len(sector) < MBR_BYTES or sector[510:512] != _SIGNATURE:
        return None
    entries = []
    bad = False
    for index in range(4):
        status, _, kind, _, first, count = _ENTRY.unpack_from(sector, 446 + 16 * index)
        bad = bad or status not in (0x00, 0x80)
        if kind and count:
            entries.append(MbrEntry(index + 1, status, kind, first, count))
    (signature,) = struct.unpack_from("<I", sector, 440)
    return Mbr(signature, tuple(entries), any(sector[:440]), bad)


def parse_logical(read_sector: Callable[[int], bytes], extended: MbrEntry) -> tuple[MbrEntry, ...]:
    """The logical partitions inside an extended one, numbered from 5.

    ``read_sector(number)`` returns at least 512 bytes, or less where there are
    none. A chain that loops, leaves the extended partition or has more than
    ``MAX_LOGICAL`` links ends there.
    """
    found: list[MbrEntry] = []
    seen: set[int] = set()
    where = extended.first_sector
    while where not in seen and len(found) < MAX_LOGICAL and len(seen) < MAX_LOGICAL:
        seen.add(where)
        sector = read_sector(where)
        if len(sector) < MBR_BYTES or sector[510:512] != _SIGNATURE:
            break
        following = 0
        for index in range(4):
            status, _, kind, _, first, count = _ENTRY.unpack_from(sector, 446 + 16 * index)
            if not count:
                continue
            if kind in EXTENDED_TYPES:
                following = following or extended.first_sector + first
            elif kind:
                found.append(MbrEntry(5 + len(found), status, kind, where + first, count))
        if not extended.first_sector < following < extended.end_sector:
            break
        where = following
    return tuple(found)


def protective_entries(total_sectors: int) -> bytes:
    """The 66 bytes at 446 of a protective MBR for a disk of that many sectors (UEFI 2.10, table 5.4)."""
    count = min(total_sectors - 1, 0xFFFFFFFF)
    # CHS of LBA 1 is 0/0/2; the end does not fit into CHS but on the smallest disks.
    entry = _ENTRY.pack(0, b"\x00\x02\x00", PROTECTIVE_TYPE, b"\xff\xff\xff", 1, count)
    return entry + bytes(48) + _SIGNATURE

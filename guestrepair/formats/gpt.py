"""The GUID partition table: both copies parsed, judged, and built again from each other.

Layout and checks: UEFI specification 2.10, sections 5.3.2 and 5.3.3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from guestrepair.formats.superblock.text import guid

HEADER_BYTES = 92
MAX_ENTRIES_BYTES = 1024 * 1024
"""A table larger than this is not read: 128 entries of 128 bytes are 16 KiB."""
MAX_PARTITIONS = 255
"""Linux makes no device of a later entry of the array (DISK_MAX_PARTS)."""
ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS_BOOT_TYPE = "21686148-6449-6e6f-744e-656564454649"

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_SIGNATURE = b"EFI PART"


@dataclass(frozen=True, slots=True)
class GptHeader:
    """The fields of one header; sector numbers are the disk's own, both ends inclusive."""

    revision: int
    header_bytes: int
    my_sector: int
    alternate_sector: int
    first_usable: int
    last_usable: int
    disk_guid: bytes
    entries_sector: int
    entry_count: int
    entry_bytes: int
    entries_crc: int

    @property
    def uuid(self) -> str:
        """The disk's GUID in lower case."""
        return guid(self.disk_guid)

    @property
    def entries_total_bytes(self) -> int:
        """Length of the entry array."""
        return self.entry_count * self.entry_bytes


@dataclass(frozen=True, slots=True)
class GptEntry:
    """One partition in use; ``last_sector`` is inclusive."""

    number: int
    type: str
    uuid: str
    first_sector: int
    last_sector: int
    attributes: int
    name: str


@dataclass(frozen=True, slots=True)
class GptCopy:
    """One copy of the table, where it was looked for; ``problems`` is empty when it is sound."""

    sector: int
    header: GptHeader | None
    entries_raw: bytes
    problems: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Signature, position, both checksums and all sizes are right."""
        return self.header is not None and not self.problems

    @property
    def is_present(self) -> bool:
        """The signature is there, damaged or not."""
        return self.header is not None

    @property
    def entries(self) -> tuple[GptEntry, ...]:
        """The partitions in use, in the order of the array."""
        return () if self.header is None else parse_entries(self.header, self.entries_raw)


ReadSectors = Callable[[int, int], bytes]
"""``read(first_sector, count)``: bytes of whole sectors, short at the end of the disk."""


def read_copy(read: ReadSectors, sector: int, *, sector_bytes: int, total_sectors: int) -> GptCopy:
    """The copy whose header stands at ``sector``, judged. Raises nothing of its own."""
    raw = read(sector, 1)
    header = parse_header(raw)
    if header is None:
        return GptCopy(sector, None, b"", ("there is no GPT header",))
    problems = _header_problems(header, raw, sector, total_sectors)
    length = header.entries_total_bytes
    if problems or not 128 <= header.entry_bytes <= 4096 or length > MAX_ENTRIES_BYTES:
        return GptCopy(sector, header, b"", problems or ("its entry array has an impossible size",))
    entries = read(header.entries_sector, -(-length // sector_bytes))[:length]
    if zlib.crc32(entries) != header.entries_crc or len(entries) != length:
        problems = ("the checksum of its partition entries is wrong",)
    return GptCopy(sector, header, entries, problems)


def parse_header(raw: bytes) -> GptHeader | None:
    """The fields of a header sector; None without the signature."""
    if len(raw) < HEADER_BYTES or raw[:8] != _SIGNATURE:
        return None
    (_, revision, size, _, _, mine, other, first, last, disk, array, count, each, crc) = _HEADER.unpack_from(
        raw
    )
    return GptHeader(revision, size, mine, other, first, last, disk, array, count, each, crc)


def _header_problems(header: GptHeader, raw: bytes, sector: int, total_sectors: int) -> tuple[str, ...]:
    size = header.header_bytes
    if not HEADER_BYTES <= size <= len(raw):
        return ("its header has an impossible size",)
    (stored,) = struct.unpack_from("<I", raw, 16)
    if zlib.crc32(raw[:16] + bytes(4) + raw[20:size]) != stored:
        return ("the checksum of its header is wrong",)
    problems = []
    if header.my_sector != sector:
        problems.append(f"it says that it stands at sector {header.my_sector}")
    if header.first_usable > header.last_usable or header.last_usable >= 1 << 62:
        problems.append("its range of usable sectors is impossible")
    if not 0 < header.entries_sector < total_sectors:
        problems.append(f"its partition entries would be at sector {header.entries_sector}, off the disk")
    return tuple(problems)


def parse_entries(header: GptHeader, raw: bytes) -> tuple[GptEntry, ...]:
    """The partitions in use of an entry array; those with impossible ranges are kept as they stand."""
    found = []
    step = max(header.entry_bytes, _ENTRY.size)
    for index in range(min(header.entry_count, len(raw) // step, MAX_PARTITIONS)):
        kind, unique, first, last, attributes, name = _ENTRY.unpack_from(raw, index * step)
        if any(kind):
            text = name.decode("utf-16-le", "replace").split("\0", 1)[0]
            found.append(GptEntry(index + 1, guid(kind), guid(unique), first, last, attributes, text))
    return tuple(found)


def build_header(header: GptHeader, *, sector_bytes: int) -> bytes:
    """A whole header sector with its checksum, from the fields given."""
    body = _HEADER.pack(
        _SIGNATURE,
        header.revision,
        HEADER_BYTES,
        0,
        0,
        header.my_sector,
        header.alternate_sector,
        header.first_usable,
        header.last_usable,
        header.disk_guid,
        header.entries_sector,
        header.entry_count,
        header.entry_bytes,
        header.entries_crc,
    )
    crc = struct.pack("<I", zlib.crc32(body))
    return (body[:16] + crc + body[20:]).ljust(sector_bytes, b"\0")


def backup_from_primary(primary: GptHeader, *, total_sectors: int, sector_bytes: int) -> GptHeader:
    """The header of the copy that belongs at the disk's very end."""
    array = -(-primary.entries_total_bytes // sector_bytes)
    last = total_sectors - 1
    return replace(primary, my_sector=last, alternate_sector=1, entries_sector=last - array)


def primary_from_backup(backup: GptHeader) -> GptHeader:
    """The header that belongs at sector 1, its entries right behind it."""
    return replace(backup, my_sector=1, alternate_sector=backup.my_sector, entries_sector=2)


def moved_to_end(primary: GptHeader, *, total_sectors: int, sector_bytes: int) -> GptHeader:
    """The primary header of a disk that has grown: backup at the new end, the space between usable."""
    array = -(-primary.entries_total_bytes // sector_bytes)
    last = total_sectors - 1
    return replace(primary, alternate_sector=last, last_usable=last - array - 1)

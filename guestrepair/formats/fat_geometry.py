"""The shape of a FAT filesystem: its boot sector, and the table that chains clusters to files.

Stricter than the kernel: FAT has no checksums, so what two copies of the table, or a flag that says "in use",
make doubtful is refused. What is accepted, the kernel reads in the same way.

Source: Microsoft's FAT specification 1.03, sections 3 and 4; Linux fs/fat/inode.c (fat_read_bpb,
fat_fill_super) and fatent.c.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from guestrepair.errors import FormatError
from guestrepair.formats.superblock.model import Block, Read

BOOT_BYTES = 512
ENTRY_BYTES = 32
MAX_TABLE_BYTES = 16 << 20
"""Of one copy: 16 GiB in clusters of 4 KiB. Larger filesystems are left to the appliance."""

MAX_RUNS = 100_000
"""Pieces that all files together may lie in."""

_FAT12_MOST, _FAT16_MOST = 0xFF4, 0xFFF4
"""Clusters of the smaller kinds; what has more is of the next one."""
_UNUSABLE = {12: 0xFF7, 16: 0xFFF7, 32: 0x0FFFFFF7}
"""What marks a cluster as bad; every larger number ends a chain."""
_CLEAN = {12: 0, 16: 0xC000, 32: 0x0C000000}
"""Bits of the second entry: unmounted in order, and no error met (FAT12 has none)."""
_FIRST_CLUSTER = 2
_NOT_MIRRORED = 0x80


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes and places in bytes from the start of the device; ``bits`` is 12, 16 or 32."""

    bits: int
    cluster_bytes: int
    clusters: int
    media: int
    fats: int
    fat_at: int
    fat_bytes: int
    root_at: int
    root_bytes: int
    """Of the top directory where it has a place of its own; 0: it begins at ``root_cluster``."""
    root_cluster: int
    data_at: int

    def place(self, cluster: int) -> int:
        """The first byte of a cluster."""
        return self.data_at + (cluster - _FIRST_CLUSTER) * self.cluster_bytes


def read_geometry(boot: bytes, size_bytes: int) -> Geometry:
    """The geometry that a boot sector describes, on a device of that size.

    Raises:
        FormatError: the kernel mounts no such filesystem, or it is not certain how it reads it.
    """
    block = Block(boot)
    sector, per_cluster = block.le16(0x0B), block.u8(0x0D)
    if len(boot) < BOOT_BYTES or not block.has(b"\x55\xaa", 510):
        raise FormatError("no boot sector of FAT")
    if not (_is_power_of_two(sector) and 512 <= sector <= 4096 and _is_power_of_two(per_cluster)):
        raise FormatError("sectors or clusters of an impossible size")
    if not (block.u8(0x15) >= 0xF8 or block.u8(0x15) == 0xF0):
        raise FormatError("no media descriptor")
    found = _geometry(block, sector, per_cluster * sector)
    _judge(found, block, sector, size_bytes)
    return found


def _geometry(block: Block, sector: int, cluster_bytes: int) -> Geometry:
    reserved, fats, root_bytes = block.le16(0x0E), block.u8(0x10), block.le16(0x11) * ENTRY_BYTES
    is_32 = not block.le16(0x16)
    fat_sectors = block.le32(0x24) if is_32 else block.le16(0x16)
    root_at = (reserved + fats * fat_sectors) * sector
    data_at = root_at + root_bytes
    end = (block.le16(0x13) or block.le32(0x20)) * sector
    clusters = max(0, end - data_at) // cluster_bytes
    bits = 32 if is_32 else 16 if clusters > _FAT12_MOST else 12
    return Geometry(
        bits=bits,
        cluster_bytes=cluster_bytes,
        clusters=clusters,
        media=block.u8(0x15),
        fats=fats,
        fat_at=reserved * sector,
        fat_bytes=fat_sectors * sector,
        root_at=root_at,
        root_bytes=root_bytes,
        root_cluster=block.le32(0x2C) if is_32 else 0,
        data_at=data_at,
    )


def _judge(found: Geometry, block: Block, sector: int, size_bytes: int) -> None:
    """Whether the numbers fit each other and the device.

    Raises:
        FormatError: they do not.
    """
    end = (block.le16(0x13) or block.le32(0x20)) * sector
    if not (found.fat_at and found.fats and found.fat_bytes and found.clusters) or end > size_bytes:
        raise FormatError("a filesystem without a table, without clusters, or cut off")
    if found.root_bytes % sector or bool(found.root_bytes) == (found.bits == 32):
        raise FormatError("a top directory of an impossible size")
    if found.bits == 16 and found.clusters > _FAT16_MOST:
        raise FormatError("more clusters than FAT16 can count")
    if found.fat_bytes > MAX_TABLE_BYTES or (found.clusters + 2) * found.bits > found.fat_bytes * 8:
        raise FormatError("a table too large to be read here, or too small for its clusters")
    # In use when it was copied, or an error met: the lowest bits of a byte that Windows and Linux keep.
    if block.u8(0x41 if found.bits == 32 else 0x25) & 3:
        raise FormatError("it was not unmounted")
    if found.bits == 32 and (block.le16(0x28) & _NOT_MIRRORED or block.le16(0x2A)):
        raise FormatError("one copy of the table alone is in use, or a version that is not known")


@dataclass(slots=True)
class Table:
    """What follows each cluster. A chain that was followed belongs to one file, and to no other."""

    geometry: Geometry
    following: Sequence[int]
    """By cluster, from 0; what stands in the first two is no cluster's."""
    _taken: bytearray = field(init=False)
    _runs: int = field(init=False, default=MAX_RUNS)

    def __post_init__(self) -> None:
        self._taken = bytearray(len(self.following))

    def runs(self, first: int) -> tuple[tuple[int, int], ...]:
        """The chain from a cluster on: first cluster and number of each piece that lies together.

        Raises:
            FormatError: it leads off the filesystem, in a circle, into another one or to an unusable cluster.
        """
        taken, following, unusable = self._taken, self.following, _UNUSABLE[self.geometry.bits]
        end = len(taken)
        found: list[tuple[int, int]] = []
        start = last = first
        while True:
            if not _FIRST_CLUSTER <= last < end or taken[last]:
                raise FormatError("a chain of clusters that leads nowhere, or into another one")
            taken[last] = 1
            after = following[last]
            if after == last + 1:
                last = after
                continue
            found.append((start, last - start + 1))
            self._runs -= 1
            if self._runs < 0 or after == unusable:
                raise FormatError("files in too many pieces, or on clusters marked as bad")
            if after > unusable:
                return tuple(found)
            start = last = after

    @property
    def free(self) -> int:
        """How many clusters no file has."""
        # The first two entries are not clusters, and never 0: their bits were looked at.
        return self.following.count(0)


def read_table(read: Read, geometry: Geometry) -> Table:
    """The table, which all its copies agree on.

    Raises:
        FormatError: they do not, or it says that the filesystem was in use.
    """
    used = -(-(geometry.clusters + _FIRST_CLUSTER) * geometry.bits // 8)
    raw = read(geometry.fat_at, used)
    for copy in range(1, geometry.fats):
        if read(geometry.fat_at + copy * geometry.fat_bytes, used) != raw:
            raise FormatError("copies of the table that differ")
    if len(raw) < used:
        raise FormatError("cut off in its table")
    values = _values(raw, geometry.bits)[: geometry.clusters + _FIRST_CLUSTER]
    if values[0] & 0xFF != geometry.media or values[1] & _CLEAN[geometry.bits] != _CLEAN[geometry.bits]:
        raise FormatError("a table of another filesystem, or of one that was in use")
    if not values[1]:
        raise FormatError("a table whose second entry is free")
    return Table(geometry, values)


def _values(raw: bytes, bits: int) -> array[int]:
    if bits == 12:  # two entries in three bytes
        found = array("I")
        for at in range(0, len(raw) - 1, 3):
            pair = int.from_bytes(raw[at : at + 3], "little")
            found.extend((pair & 0xFFF, pair >> 12))
        return found
    found = array("H" if bits == 16 else "I", raw if bits == 16 else _without_upper_bits(raw))
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _without_upper_bits(raw: bytes) -> bytes:
    """The entries of FAT32 without their highest four bits, which belong to nobody."""
    mask = int.from_bytes(b"\xff\xff\xff\x0f" * (len(raw) // 4), "little")
    return (int.from_bytes(raw, "little") & mask).to_bytes(len(raw), "little")


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0

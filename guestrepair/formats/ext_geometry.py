"""The shape of an ext4 filesystem: its superblock and group descriptors, judged once before anything else.

A kernel mounts no filesystem whose numbers contradict each other, and gives out no file
whose blocks meet the filesystem's own: superblock copies, group descriptors, bitmaps,
inode tables, the journal. What it may refuse has no geometry, or does not lie in the zone here.

Source: Linux fs/ext4/super.c (__ext4_fill_super, ext4_check_descriptors), block_validity.c and
balloc.c (ext4_bg_has_super); Documentation/filesystems/ext4 (super.rst, group_descr.rst, bigalloc.rst).
"""

from __future__ import annotations

import bisect
import itertools
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.ext import PRIMARY_OFFSET, parse
from guestrepair.formats.superblock.model import Block, Read

COMPAT_JOURNAL, COMPAT_DIR_INDEX, COMPAT_SPARSE_SUPER2 = 0x4, 0x20, 0x200
INCOMPAT_EXTENTS, INCOMPAT_64BIT, INCOMPAT_EA_INODE = 0x40, 0x80, 0x400
INCOMPAT_CSUM_SEED, INCOMPAT_LARGEDIR = 0x2000, 0x4000
RO_SPARSE_SUPER, RO_HUGE_FILE, RO_BIGALLOC, RO_METADATA_CSUM = 0x1, 0x8, 0x200, 0x400
RO_GDT_CSUM, _INODES_NEVER_USED = 0x10, 0x1
_RO_ORPHAN_PRESENT = 0x10000
# filetype, extents, 64bit, flex_bg, ea_inode, csum_seed, largedir, inline_data, encrypt, casefold
_KNOWN_INCOMPAT = 0x2 | 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_CRC32C = 1
ROOT_INODE, JOURNAL_INODE, _OLD_FIRST_INODE = 2, 8, 11
_INODE_NUMBERS_AT = (0x240, 0x244, 0x26C, 0x280)
"""Where the superblock names the inodes of quotas (users, groups, projects) and of the orphan file."""

MAX_GROUPS = 1 << 16
"""8 TiB of 4 KiB blocks; larger filesystems are left to the appliance."""

_PIECE_BYTES = 1 << 20
_LOW = struct.Struct("<III")
"""Of a group descriptor: its block bitmap, inode bitmap and inode table, the low halves."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes in bytes, places and counts in blocks; each is possible, and fits the others."""

    block_bytes: int
    cluster_bytes: int
    blocks: int
    first_block: int
    groups: int
    group_blocks: int
    inodes: int
    group_inodes: int
    inode_bytes: int
    descriptor_bytes: int
    spare_descriptor_blocks: int
    backup_groups: frozenset[int] | None
    """The groups that hold a copy of the superblock beside the first; None: by the rule of their number."""
    first_inode: int
    own_inodes: frozenset[int]
    """Numbers above ``first_inode`` that the filesystem has for itself."""
    journal: int
    """The journal's inode; 0: none."""
    compat: int
    incompat: int
    ro_compat: int
    seed: int | None
    """Of the metadata checksums; None where there are none."""

    @property
    def descriptors_at(self) -> int:
        """The first byte of the group descriptors: in the block behind the one that holds the superblock."""
        return (PRIMARY_OFFSET // self.block_bytes + 1) * self.block_bytes

    @property
    def table_blocks(self) -> int:
        """Blocks of one group's inode table."""
        return self.group_inodes * self.inode_bytes // self.block_bytes

    def is_given_out(self, number: int) -> bool:
        """Whether a directory may lead to an inode: the root and those of files, not the filesystem's own."""
        if not self.first_inode <= number <= self.inodes:
            return number == ROOT_INODE
        return number not in self.own_inodes

    def has_superblock(self, group: int) -> bool:
        """Whether a group begins with a superblock or a copy of it, and with the group descriptors."""
        if group == 0 or self.backup_groups is not None:
            return group == 0 or group in (self.backup_groups or ())
        return group == 1 or not self.ro_compat & RO_SPARSE_SUPER or _is_power_of(group, (3, 5, 7))


@dataclass(frozen=True, slots=True)
class Zone:
    """What belongs to the filesystem itself: runs of blocks in order, the ends not included."""

    first_block: int
    blocks: int
    starts: Sequence[int]
    ends: Sequence[int]

    def allows(self, start: int, count: int) -> bool:
        """Whether a file may lie on those blocks: all of them on the filesystem, and none of its own."""
        if count <= 0 or not self.first_block < start <= self.blocks - count:
            return False
        index = bisect.bisect_left(self.starts, start + count) - 1
        return index < 0 or self.ends[index] <= start

    def with_runs(self, runs: Iterable[tuple[int, int]]) -> Zone | None:
        """The zone with further runs (first block, number of blocks); None when two of them meet."""
        return make_zone(
            self.first_block,
            self.blocks,
            itertools.chain(((s, e - s) for s, e in zip(self.starts, self.ends, strict=True)), runs),
        )


def make_zone(first_block: int, blocks: int, runs: Iterable[tuple[int, int]]) -> Zone | None:
    """A zone of runs (first block, number of blocks); None when two of them meet."""
    starts, ends = array("Q"), array("Q")
    for start, count in sorted(runs):
        if ends and start < ends[-1]:
            return None
        if ends and start == ends[-1]:
            ends[-1] += count
            continue
        starts.append(start)
        ends.append(start + count)
    return Zone(first_block, blocks, starts, ends)


@dataclass(frozen=True, slots=True)
class Groups:
    """What the group descriptors say: where each group's inode table begins, and the zone of them all."""

    tables: Sequence[int]
    zone: Zone


def read_geometry(raw: bytes, size_bytes: int | None = None) -> Geometry | None:
    """The geometry that a superblock of 1024 bytes describes; None where it is not certain.

    ``size_bytes`` is the size of the device, where it is known.
    """
    block = Block(raw)
    found = parse(raw)
    if found is None or found.ext is None or not found.block_size_bytes or _is_left_to_the_kernel(block):
        return None
    geometry = _geometry(block, found.block_size_bytes, found.ext.block_count)
    fits = size_bytes is None or geometry.blocks * geometry.block_bytes <= size_bytes
    return geometry if fits and _is_possible(geometry, block) else None


def _is_left_to_the_kernel(block: Block) -> bool:
    """Features that are not known here, and what a mount changes: a journal to replay, orphans to free."""
    incompat, ro_compat = block.le32(0x60), block.le32(0x64)
    if incompat & ~_KNOWN_INCOMPAT or not incompat & INCOMPAT_EXTENTS:
        return True
    if ro_compat & RO_METADATA_CSUM and block.u8(0x175) != _CRC32C:
        return True
    return bool(block.le32(0xE8) or ro_compat & _RO_ORPHAN_PRESENT)


def _geometry(block: Block, block_bytes: int, blocks: int) -> Geometry:
    compat, incompat, ro_compat = block.le32(0x5C), block.le32(0x60), block.le32(0x64)
    is_old = not block.le32(0x4C)
    group_blocks, first = block.le32(0x20), block.le32(0x14)
    return Geometry(
        block_bytes=block_bytes,
        cluster_bytes=1024 << min(block.le32(0x1C), 32),
        blocks=blocks,
        first_block=first,
        groups=-(-(blocks - first) // group_blocks) if group_blocks else 0,
        group_blocks=group_blocks,
        inodes=block.le32(0),
        group_inodes=block.le32(0x28),
        inode_bytes=128 if is_old else block.le16(0x58),
        descriptor_bytes=block.le16(0xFE) if incompat & INCOMPAT_64BIT else 32,
        spare_descriptor_blocks=block.le16(0xCE),
        backup_groups=frozenset((block.le32(0x24C), block.le32(0x250)))
        if compat & COMPAT_SPARSE_SUPER2
        else None,
        first_inode=_OLD_FIRST_INODE if is_old else block.le32(0x54),
        own_inodes=frozenset(block.le32(at) for at in _INODE_NUMBERS_AT),
        journal=block.le32(0xE0) if compat & COMPAT_JOURNAL else 0,
        compat=compat,
        incompat=incompat,
        ro_compat=ro_compat,
        seed=_seed(block),
    )


def _seed(block: Block) -> int | None:
    if not block.le32(0x64) & RO_METADATA_CSUM:
        return None
    seeded = block.le32(0x60) & INCOMPAT_CSUM_SEED
    return block.le32(0x270) if seeded else crc32c(block.bytes_at(0x68, 16))


def _is_possible(geometry: Geometry, block: Block) -> bool:
    """Whether the numbers fit each other, as the kernel wants it of a filesystem that it mounts."""
    wide, unit = geometry.incompat & INCOMPAT_64BIT, geometry.block_bytes
    sizes = (
        _is_power_of_two(geometry.inode_bytes)
        and 128 <= geometry.inode_bytes <= unit
        and _is_power_of_two(geometry.descriptor_bytes)
        and (64 if wide else 32) <= geometry.descriptor_bytes <= 1024
        and geometry.spare_descriptor_blocks <= unit // 4
    )
    inodes = (
        (
            unit // geometry.inode_bytes <= geometry.group_inodes <= unit * 8
            and geometry.group_inodes * geometry.inode_bytes % unit == 0
            and geometry.first_inode >= _OLD_FIRST_INODE
            and geometry.inodes == geometry.groups * geometry.group_inodes
            and geometry.journal in (0, JOURNAL_INODE)
        )
        if sizes
        else False
    )
    return inodes and 0 < geometry.groups <= MAX_GROUPS and _clusters_fit(geometry, block)


def _clusters_fit(geometry: Geometry, block: Block) -> bool:
    """With and without bigalloc: the size of clusters and groups, and which block is the first."""
    unit, most = geometry.block_bytes, geometry.block_bytes * 8
    if geometry.ro_compat & RO_BIGALLOC:
        clusters, ratio = block.le32(0x24), geometry.cluster_bytes // unit
        whole = ratio >= 1 and clusters <= most and geometry.group_blocks == clusters * ratio
        return whole and geometry.first_block == 0 and block.le32(0x1C) <= 20
    first = 1 if unit == PRIMARY_OFFSET else 0
    return geometry.cluster_bytes == unit and geometry.group_blocks <= most and geometry.first_block == first


def read_groups(read: Read, geometry: Geometry) -> Groups | None:
    """The group descriptors; None where one of them leads off the filesystem, or two to the same blocks."""
    tables, runs = array("Q"), list(_own_runs(geometry))
    for group, (blocks, inodes, table) in enumerate(_descriptors(read, geometry)):
        places = ((blocks, 1), (inodes, 1), (table, geometry.table_blocks))
        if not all(geometry.first_block < at <= geometry.blocks - count for at, count in places):
            return None
        tables.append(table * geometry.block_bytes)
        runs += places
        if group + 1 == geometry.groups:
            zone = make_zone(geometry.first_block, geometry.blocks, runs)
            return None if zone is None else Groups(tables, zone)
    return None  # the device ends before the descriptors do


def _own_runs(geometry: Geometry) -> Iterator[tuple[int, int]]:
    """The superblock, its copies, and the group descriptors behind each, with the room kept for more."""
    descriptors = -(-geometry.groups * geometry.descriptor_bytes // geometry.block_bytes)
    count = 1 + descriptors + geometry.spare_descriptor_blocks
    for group in filter(geometry.has_superblock, range(geometry.groups)):
        # Of bigalloc with blocks of 1 KiB, the first group begins one block before its superblock.
        before = PRIMARY_OFFSET // geometry.block_bytes - geometry.first_block if group == 0 else 0
        yield geometry.first_block + group * geometry.group_blocks, count + before


def _descriptors(read: Read, geometry: Geometry) -> Iterator[tuple[int, int, int]]:
    """Block bitmap, inode bitmap and inode table of each group, as far as the device has them."""
    size = geometry.descriptor_bytes
    total = geometry.groups * size
    for start in range(0, total, _PIECE_BYTES):
        piece = read(geometry.descriptors_at + start, min(_PIECE_BYTES, total - start))
        for at in range(0, len(piece) - size + 1, size):
            low = _LOW.unpack_from(piece, at)
            high = _LOW.unpack_from(piece, at + 32) if size >= 64 else (0, 0, 0)
            yield low[0] | high[0] << 32, low[1] | high[1] << 32, low[2] | high[2] << 32


def used_inodes(read: Read, geometry: Geometry) -> Iterator[int]:
    """How many of each group's inodes have ever been in use; all of them, where that is not counted."""
    size, total = geometry.descriptor_bytes, geometry.groups * geometry.descriptor_bytes
    for start in range(0, total, _PIECE_BYTES):
        piece = read(geometry.descriptors_at + start, min(_PIECE_BYTES, total - start))
        for at in range(0, len(piece) - size + 1, size):
            flags, low = struct.unpack_from("<H8xH", piece, at + 0x12)
            high = int.from_bytes(piece[at + 0x32 : at + 0x34], "little") if size >= 64 else 0
            if not geometry.ro_compat & (RO_GDT_CSUM | RO_METADATA_CSUM):
                yield geometry.group_inodes
            else:
                unused = geometry.group_inodes if flags & _INODES_NEVER_USED else low | high << 16
                yield max(0, geometry.group_inodes - unused)


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _is_power_of(value: int, bases: Sequence[int]) -> bool:
    for base in bases:
        power = base
        while power < value:
            power *= base
        if power == value:
            return True
    return False

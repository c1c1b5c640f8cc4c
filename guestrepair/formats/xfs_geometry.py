"""The shape of an XFS filesystem: its superblock and the headers of its allocation groups, judged first.

Version 5 alone, whose metadata carry checksums, with its log inside and no realtime device. What the
kernel may refuse, and features that are not known here, have no geometry.

Source: the XFS Algorithms & Data Structures document (Allocation Groups); Linux fs/xfs/libxfs/xfs_format.h,
xfs_sb.c (xfs_validate_sb_common), xfs_alloc.c (xfs_agf_verify), xfs_ialloc.c (xfs_agi_verify).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.linux import xfs_is_sound
from guestrepair.formats.superblock.model import Block, Read

SUPERBLOCK_BYTES = 32768
"""The largest sector that a superblock may fill."""

INCOMPAT_BIGTIME, INCOMPAT_NREXT64 = 0x8, 0x20
RO_REFLINK = 0x4
_INCOMPAT_FTYPE, _INCOMPAT_META_UUID = 0x1, 0x4
# ftype, sparse inodes, meta_uuid, bigtime, nrext64, exchange of ranges (which changes nothing on disk)
_KNOWN_INCOMPAT = 0x1 | 0x2 | 0x4 | 0x8 | 0x20 | 0x40
# finobt, rmapbt, reflink, inobtcount: trees that are not read here
_KNOWN_RO_COMPAT = 0x1 | 0x2 | 0x4 | 0x8
_VERSION, _VERSION_MASK = 5, 0xF
# names without case, and an option that was never used
_VERSION_REFUSED = 0x4000 | 0x200

MAX_GROUPS = 4096
"""The headers of each are read; a filesystem that was grown into more is left to the appliance."""

_HEADER_SECTORS = 4
"""Superblock, free space, inodes and free list: a group begins with them."""

_LEAST_GROUP_BLOCKS, _MAX_BLOCK_LOG, _MAX_TREE_LEVELS = 64, 16, 9
_NO_INODE = b"\xff\xff\xff\xff"
_UNLINKED_BUCKETS = 64
_CRC_BYTES, _NO_CRC = 4, bytes(4)
_ALL_ONES = 0xFFFFFFFF
_SPECIAL_INODES = (64, 72, 160, 168, 232)
"""Where the superblock names the inodes of realtime bitmap and summary, and of the three quotas."""

_AGF = struct.Struct(">4sIII48x16s")
_AGI = struct.Struct(">4sIIIIIIIII256s16s")


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes and places in bytes where the name says so, else in blocks; all fit each other."""

    block_bytes: int
    block_log: int
    sector_bytes: int
    blocks: int
    header_blocks: int
    """Those at the start of each group that hold its headers."""
    group_blocks: int
    groups: int
    group_log: int
    """Bits of a block's number within its group."""
    inode_bytes: int
    inodes_log: int
    """Bits of an inode's number within its block."""
    directory_bytes: int
    """Of one block of a directory."""
    root: int
    log_at: int
    """The log's first byte."""
    log_bytes: int
    uuid: bytes
    """What the metadata carry."""
    log_uuid: bytes
    own_inodes: frozenset[int]
    incompat: int
    ro_compat: int

    def length(self, group: int) -> int:
        """How many blocks a group has; the last may have fewer than the others."""
        last = self.blocks - (self.groups - 1) * self.group_blocks
        return last if group == self.groups - 1 else self.group_blocks

    def place(self, group: int, block: int) -> int:
        """The first byte of a block of a group."""
        return (group * self.group_blocks + block) << self.block_log

    def address(self, block: int) -> int:
        """The first byte of a block by its number, which has the group's in its upper bits."""
        group, inside = block >> self.group_log, block & ((1 << self.group_log) - 1)
        return self.place(group, inside)

    def allows(self, block: int, count: int) -> bool:
        """Whether something may lie there: in one group, behind its headers, and not in the log."""
        group, inside = block >> self.group_log, block & ((1 << self.group_log) - 1)
        if count <= 0 or group >= self.groups or inside < self.header_blocks:
            return False
        if inside + count > self.length(group):
            return False
        start, size = self.place(group, inside), count << self.block_log
        return start + size <= self.log_at or start >= self.log_at + self.log_bytes

    def split_inode(self, number: int) -> tuple[int, int] | None:
        """The group of an inode, and its number there; None where it cannot lie."""
        bits = self.group_log + self.inodes_log
        group, inside = number >> bits, number & ((1 << bits) - 1)
        if number <= 0 or group >= self.groups:
            return None
        return (group, inside) if self.is_inode_place(group, inside) else None

    def is_inode_place(self, group: int, inside: int) -> bool:
        """Whether an inode of that number within its group lies behind the headers and in the group."""
        return self.header_blocks <= inside >> self.inodes_log < self.length(group)

    def are_given_out(self, numbers: Iterable[int]) -> bool:
        """Whether a directory may lead to all those inodes."""
        bits, own, last = self.group_log + self.inodes_log, self.own_inodes, self.groups - 1
        mask, first = (1 << bits) - 1, self.header_blocks << self.inodes_log
        end, last_end = self.group_blocks << self.inodes_log, self.length(last) << self.inodes_log
        for number in numbers:
            group = number >> bits
            if number in own or group > last or number & mask < first:
                return False
            if number & mask >= (end if group < last else last_end):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Groups:
    """The roots of the inode B+trees and how many levels they have, by group."""

    roots: Sequence[int]
    levels: Sequence[int]


def is_sealed(data: bytes, crc_at: int) -> bool:
    """Whether the checksum of something of version 5, which stands in itself, is right."""
    rest = crc_at + _CRC_BYTES
    found = crc32c(b"".join((data[:crc_at], _NO_CRC, data[rest:]))) ^ _ALL_ONES
    return len(data) >= rest and found == int.from_bytes(data[crc_at:rest], "little")


def read_geometry(raw: bytes, size_bytes: int | None = None) -> Geometry | None:
    """The geometry that a superblock describes; None where it is not certain.

    ``size_bytes`` is the size of the device, where it is known.
    """
    block = Block(raw)
    if not block.has(b"XFSB") or not xfs_is_sound(block) or _is_left_to_the_kernel(block):
        return None
    geometry = _geometry(block)
    fits = size_bytes is None or geometry.blocks << geometry.block_log <= size_bytes
    return geometry if fits and _is_possible(geometry, block) else None


def _is_left_to_the_kernel(block: Block) -> bool:
    """Versions and features that are not known here, a realtime device, a log elsewhere or in use."""
    version, incompat = block.be16(100), block.be32(216)
    if version & _VERSION_MASK != _VERSION or version & _VERSION_REFUSED:
        return True
    if incompat & ~_KNOWN_INCOMPAT or not incompat & _INCOMPAT_FTYPE or block.be32(212) & ~_KNOWN_RO_COMPAT:
        return True
    realtime, log_features, in_progress = block.be64(16) | block.be64(24), block.be32(220), block.u8(126)
    return bool(realtime or log_features or in_progress) or not block.be64(48)


def _geometry(block: Block) -> Geometry:
    log_start, group_log, block_log = block.be64(48), block.u8(124), block.u8(120)
    group_blocks, incompat = block.be32(84), block.be32(216)
    inside = log_start & ((1 << group_log) - 1)
    return Geometry(
        block_bytes=block.be32(4),
        block_log=block_log,
        sector_bytes=block.be16(102),
        blocks=block.be64(8),
        header_blocks=-(-_HEADER_SECTORS * block.be16(102) // block.be32(4)),
        group_blocks=group_blocks,
        groups=block.be32(88),
        group_log=group_log,
        inode_bytes=block.be16(104),
        inodes_log=block.u8(123),
        directory_bytes=1 << min(block_log + block.u8(192), 64),
        root=block.be64(56),
        log_at=((log_start >> group_log) * group_blocks + inside) << block_log,
        log_bytes=block.be32(96) << block_log,
        uuid=block.bytes_at(248 if incompat & _INCOMPAT_META_UUID else 32, 16),
        log_uuid=block.bytes_at(32, 16),
        own_inodes=frozenset(block.be64(at) for at in _SPECIAL_INODES),
        incompat=incompat,
        ro_compat=block.be32(212),
    )


def _is_possible(geometry: Geometry, block: Block) -> bool:
    """Whether the numbers fit each other, beyond what :func:`xfs_is_sound` asks."""
    if geometry.group_blocks < _LEAST_GROUP_BLOCKS or geometry.groups > MAX_GROUPS:
        return False
    if geometry.group_log != (geometry.group_blocks - 1).bit_length() or geometry.block_log < 10:
        return False
    if block.u8(192) + geometry.block_log > _MAX_BLOCK_LOG or geometry.inode_bytes < 512:
        return False
    if geometry.blocks <= (geometry.groups - 1) * geometry.group_blocks:
        return False
    log = block.be64(48)
    group, inside = log >> geometry.group_log, log & ((1 << geometry.group_log) - 1)
    count = geometry.log_bytes >> geometry.block_log
    lies = group < geometry.groups and geometry.header_blocks <= inside <= geometry.length(group) - count
    return bool(count) and lies and geometry.are_given_out((geometry.root,))


def read_groups(read: Read, geometry: Geometry, last_lsn: int) -> Groups | None:
    """The headers of all groups; None where one is damaged, newer than the log, or has files to be freed."""
    roots: list[int] = []
    levels: list[int] = []
    size = geometry.sector_bytes
    for group in range(geometry.groups):
        both = read(geometry.place(group, 0) + size, 2 * size)
        space, inodes = both[:size], both[size:]
        if len(inodes) != size or not _is_space_sound(space, geometry, group, last_lsn):
            return None
        found = _inode_root(inodes, geometry, group, last_lsn)
        if found is None:
            return None
        roots.append(found[0])
        levels.append(found[1])
    return Groups(roots, levels)


def _is_space_sound(data: bytes, geometry: Geometry, group: int, last_lsn: int) -> bool:
    magic, version, number, length, uuid = _AGF.unpack_from(data)
    if (magic, version, number, length) != (b"XAGF", 1, group, geometry.length(group)):
        return False
    return uuid == geometry.uuid and is_sealed(data, 216) and is_not_newer(data, 208, last_lsn)


def _inode_root(data: bytes, geometry: Geometry, group: int, last_lsn: int) -> tuple[int, int] | None:
    magic, version, number, length, _, root, level, _, _, _, unlinked, uuid = _AGI.unpack_from(data)
    if (magic, version, number, length) != (b"XAGI", 1, group, geometry.length(group)):
        return None
    if uuid != geometry.uuid or not is_sealed(data, 312) or not is_not_newer(data, 320, last_lsn):
        return None
    if unlinked != _NO_INODE * _UNLINKED_BUCKETS:
        return None  # deleted while they were open: whoever mounts it may free them
    allowed = geometry.allows(group << geometry.group_log | root, 1)
    return (root, level) if allowed and 1 <= level <= _MAX_TREE_LEVELS else None


def is_not_newer(data: bytes, lsn_at: int, last_lsn: int) -> bool:
    """Whether metadata were written before the log's end: the kernel refuses others, whose log is lost."""
    lsn = int.from_bytes(data[lsn_at : lsn_at + 8], "big")
    return lsn <= last_lsn or lsn == (1 << 64) - 1

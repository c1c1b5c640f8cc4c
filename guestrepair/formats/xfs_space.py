"""How much room an XFS filesystem has, as its kernel's statfs(2) counts it where it is mounted read-only.

A kernel believes the superblock's counters once the filesystem was unmounted. Here the headers of all
groups must agree with them, too. A few blocks of each group are held back for its free space trees; the log
does not count as size; inodes are made on demand, so that free blocks count as free inodes.

Source: Linux fs/xfs/xfs_super.c (xfs_fs_statfs), xfs_mount.c (xfs_check_summary_counts,
xfs_initialize_perag_data), libxfs/xfs_alloc.c (xfs_alloc_set_aside), xfs_ialloc.c
(xfs_ialloc_setup_geometry): the same from 5.10 to 6.18.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from guestrepair.formats.file_attributes import Space
from guestrepair.formats.superblock.model import Block
from guestrepair.formats.xfs_geometry import SUPERBLOCK_BYTES, Geometry
from guestrepair.formats.xfs_inodes import Inodes

_HELD_BACK = 8
"""Blocks of each group: four for its free list, and four to split trees with."""

_CHUNK_INODES = 64
_MAX_INODES = (1 << 56) - 1
_SPACE_COUNTERS = struct.Struct(">48xII4xI")
_INODE_COUNTERS = struct.Struct(">16xI8xI")


class _Counters(NamedTuple):
    blocks_free: int
    inodes: int
    inodes_free: int


def space(inodes: Inodes) -> Space | None:
    """What statfs(2) says of a filesystem that can be read here; None where that is not certain.

    Raises:
        Whatever reading the device raises.
    """
    geometry = inodes.geometry
    if geometry is None:
        return None
    block = Block(inodes.read(0, SUPERBLOCK_BYTES))
    counters = _Counters(block.be64(144), block.be64(128), block.be64(136))
    if counters != _of_groups(inodes, geometry) or counters.inodes_free > counters.inodes:
        return None
    size = geometry.blocks - (geometry.log_bytes >> geometry.block_log)
    if not _CHUNK_INODES <= counters.inodes <= geometry.blocks << geometry.inodes_log:
        return None
    if counters.blocks_free > size:
        return None
    free = max(0, counters.blocks_free - geometry.groups * _HELD_BACK)
    files = _inodes_in_all(geometry, counters.inodes, free, block.u8(127))
    unit = geometry.block_bytes
    return Space(
        size_bytes=size * unit,
        free_bytes=free * unit,
        available_bytes=free * unit,
        inodes=files,
        inodes_free=max(0, files - (counters.inodes - counters.inodes_free)),
    )


def _of_groups(inodes: Inodes, geometry: Geometry) -> _Counters | None:
    """The sums over the headers of all groups, which were verified when the filesystem was opened."""
    size, free, there, unused = geometry.sector_bytes, 0, 0, 0
    for group in range(geometry.groups):
        both = inodes.read(geometry.place(group, 0) + size, 2 * size)
        if len(both) != 2 * size:
            return None
        free += sum(_SPACE_COUNTERS.unpack_from(both))
        count, count_free = _INODE_COUNTERS.unpack_from(both, size)
        there, unused = there + count, unused + count_free
    return _Counters(free, there, unused)


def _inodes_in_all(geometry: Geometry, there: int, blocks_free: int, percent: int) -> int:
    """Those that there are and those that there is room for; ``percent`` of the blocks may be inodes."""
    found = min(there + (blocks_free << geometry.inodes_log), _MAX_INODES)
    if percent:
        at_a_time = max(_CHUNK_INODES, 1 << geometry.inodes_log) >> geometry.inodes_log
        blocks = geometry.blocks * percent // 100 // at_a_time * at_a_time
        found = min(found, blocks << geometry.inodes_log)
    return max(found, there)

"""How much of an XFS filesystem's free space no program gets, once it is mounted to be written to.

The kernel keeps a pool for its own metadata, and room for the trees of each group to grow. A filesystem that
is mounted read-only, as images are looked at, counts all of that as free: one that programs find full then
has some percent left.

Source: Linux fs/xfs/xfs_mount.c (xfs_default_resblks), libxfs/xfs_ag_resv.c (xfs_ag_resv_init),
xfs_refcount_btree.c, xfs_ialloc_btree.c and xfs_rmap_btree.c (their _calc_reserves), xfs_btree.c
(xfs_btree_calc_size), since 4.9.
"""

from __future__ import annotations

import struct

from guestrepair.formats.superblock.linux import xfs_is_sound
from guestrepair.formats.superblock.model import Block, Read
from guestrepair.formats.xfs_geometry import RO_REFLINK, SUPERBLOCK_BYTES, Geometry, read_geometry

_POOL_PARTS, _POOL_MOST = 20, 8192
"""The pool is a twentieth of all blocks, and not more than so many."""

_FINOBT, _RMAPBT, _INOBTCOUNT = 0x1, 0x2, 0x8
_MAX_GROUPS = 256
"""Of more the trees' room is not counted: two reads each."""

_BLOCK_HEADER_BYTES = 56
_CHUNK_INODES = 64
_SPACE_TREES = struct.Struct(">84xI")
_INODE_TREES = struct.Struct(">340xI")
_REFCOUNT, _INODES, _REVERSE = (12, 8), (16, 8), (24, 44)
"""Bytes of a record in a leaf, and of a key with its pointer above."""


def reserved_bytes(read: Read) -> int:
    """Bytes that statfs(2) of a read-only mount calls free, and that one to be written to holds back.

    Never more than the kernel holds back; 0 where the superblock is none of XFS.

    Raises:
        Whatever reading the device raises.
    """
    raw = read(0, SUPERBLOCK_BYTES)
    block = Block(raw)
    if not block.has(b"XFSB") or not xfs_is_sound(block):
        return 0
    blocks, block_bytes = block.be64(8), block.be32(4)
    held = min(blocks // _POOL_PARTS, _POOL_MOST)
    geometry = read_geometry(raw)
    if geometry is not None and geometry.groups <= _MAX_GROUPS:
        held += sum(_of_group(read, geometry, group) for group in range(geometry.groups))
    return held * block_bytes


def _of_group(read: Read, geometry: Geometry, group: int) -> int:
    """Blocks that the trees of a group may still grow by."""
    size = geometry.sector_bytes
    headers = read(geometry.place(group, 0) + size, 2 * size)
    if len(headers) != 2 * size or headers[:4] != b"XAGF" or headers[size : size + 4] != b"XAGI":
        return 0
    blocks, held = geometry.length(group), 0
    start = geometry.place(group, 0)
    if start <= geometry.log_at < start + (blocks << geometry.block_log):
        blocks -= geometry.log_bytes >> geometry.block_log
    if geometry.ro_compat & RO_REFLINK:
        held += max(0, _tree_blocks(geometry, blocks, *_REFCOUNT) - _SPACE_TREES.unpack_from(headers)[0])
    if geometry.ro_compat & _FINOBT and geometry.ro_compat & _INOBTCOUNT:
        chunks = (blocks << geometry.inodes_log) // _CHUNK_INODES
        used = _INODE_TREES.unpack_from(headers, size)[0]
        held += max(0, _tree_blocks(geometry, chunks, *_INODES) - used)
    if geometry.ro_compat & _RMAPBT:  # its blocks count as free while it grows
        held += max(blocks // 100, _tree_blocks(geometry, blocks, *_REVERSE))
    return held


def _tree_blocks(geometry: Geometry, records: int, record_bytes: int, key_bytes: int) -> int:
    """The most blocks that a tree of so many records takes: each is only half full."""
    room = geometry.block_bytes - _BLOCK_HEADER_BYTES
    level = -(-records // (room // record_bytes // 2))
    total = level
    while level > 1:
        level = -(-level // (room // key_bytes // 2))
        total += level
    return total

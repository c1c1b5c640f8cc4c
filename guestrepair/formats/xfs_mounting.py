"""Is it certain that Linux mounts an XFS filesystem, to be read and to be written to, without trying?

Certain is what every kernel since 5.10 mounts: features that all of them know (newer ones where whoever asks
knows that the kernel is new enough), a superblock as they want it, a log that was closed in order and is
large enough, the headers of all groups, the trees of free inodes where their blocks are counted at a mount,
the top directory, the inodes of a realtime device that is not there. Of quotas, and of whatever else there
may be, a kernel has to say.

Source: Linux fs/xfs/libxfs/xfs_sb.c (xfs_validate_sb_common, xfs_validate_sb_read), xfs_alloc.c
(xfs_agf_verify), xfs_ialloc.c (xfs_agi_verify), xfs_ialloc_btree.c (xfs_finobt_calc_reserves),
xfs_log_rlimit.c; fs/xfs/xfs_mount.c (xfs_mountfs), xfs_rtalloc.c (xfs_rtmount_inodes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.superblock.model import Block, Read
from guestrepair.formats.xfs_accepted import EXTENTS, REGULAR
from guestrepair.formats.xfs_blocks import SHORT_TREE, Blocks
from guestrepair.formats.xfs_geometry import (
    INCOMPAT_NREXT64,
    RO_REFLINK,
    SUPERBLOCK_BYTES,
    Geometry,
    is_not_newer,
)
from guestrepair.formats.xfs_tree import Tree, open_tree

_INCOMPAT = 0x1 | 0x2 | 0x4 | 0x8
"""ftype, sparse inodes, a UUID of the metadata, bigtime: the others are newer than 5.10."""
_LATER_INCOMPAT = {INCOMPAT_NREXT64: (5, 19)}
"""Since which kernel there is what is newer, and read here."""
_INCOMPAT_SPARSE, _INCOMPAT_META_UUID = 0x2, 0x4
_RO_FREE_INODES, _RO_REVERSE_MAP, _RO_COUNTED = 0x1, 0x2, 0x8

_VERSION_ALWAYS = 5 | 0x20 | 0x80 | 0x400 | 0x1000 | 0x2000 | 0x8000
"""Version 5, nlink, aligned inodes, log and directories of version 2, unwritten extents, more bits."""
_VERSION_STRIPES, _VERSION_SECTORS = 0x100, 0x800
_VERSION = _VERSION_ALWAYS | 0x10 | _VERSION_STRIPES | _VERSION_SECTORS
_FEATURES2 = 0x2 | 0x8 | 0x80 | 0x100
"""Lazy counters, attributes of version 2, project numbers of 32 bits, checksums: all are wanted."""

_MAX_BLOCK_BYTES = 4096
"""Larger blocks are mounted where pages are as large, or by kernels since 6.12."""
_LEAST_GROUP_BYTES, _MOST_GROUP_BYTES = 16 << 20, 1 << 40
_CHUNK_INODES, _CLUSTER_INODES = 64, 32
_NONE = frozenset({0, (1 << 64) - 1})
_NO_BLOCK = 0xFFFFFFFF
_SUPERBLOCK_LSN_AT = 240

_LOG_LEAST_BYTES, _LOG_SAFE_BYTES = 10 << 20, 32 << 20
"""What a log must have depends on the largest transaction: the first is enough for simple filesystems
(mkfs.xfs asks for 2580 blocks of 4 KiB at most, fewer in groups of up to 10 GiB), the second for all."""
_LOG_SIMPLE_GROUP_BYTES, _LOG_SIMPLE_UNIT = 10 << 30, 64 << 10
_LOG_MOST_UNIT, _LOG_MOST_BLOCKS, _LOG_MOST_BYTES = 256 << 10, 1 << 20, 2 << 30

_MAX_TREE_BLOCKS = 4096
"""Of free inodes, in all groups: more of them are counted by a kernel."""
_TREE_MAGIC = b"FIB3"
_TREE_HEAD = struct.Struct(">HHII")
_TREE_HEAD_BYTES = 56
_FREE_LIST_HEAD_BYTES = 36


@dataclass(frozen=True, slots=True)
class _Kind:
    """A B+tree within a group: bytes that a record in a leaf, and a key with its pointer in a node, take."""

    record: int
    entry: int

    def may_have(self, level: int, records: int, block_bytes: int) -> bool:
        """Whether a tree of so many levels may be needed for so many records; a bound below the kernel's."""
        room = block_bytes - _TREE_HEAD_BYTES
        needed, blocks = 1, -(-records // (room // self.record // 2))
        while blocks > 1:
            needed, blocks = needed + 1, -(-blocks // (room // self.entry))
        return 1 <= level <= needed


_SPACE, _INODES = _Kind(8, 12), _Kind(16, 8)
_REVERSE_MAP, _SHARED = _Kind(24, 44), _Kind(12, 8)


def mount_doubt(read: Read, size_bytes: int, *, kernel: tuple[int, int] | None = None) -> str:
    """Why it is not certain that Linux mounts the filesystem that ``read`` reads; "" where it is.

    ``kernel`` is a version, as (6, 1), that no kernel in question is older than; None: 5.10.

    Raises:
        Whatever ``read`` raises.
    """
    tree = open_tree(read, size_bytes)
    geometry, blocks = tree.inodes.geometry, tree.inodes.blocks
    if geometry is None or blocks is None:
        return "its superblock, its log or the headers of its groups are not as a kernel wants them"
    superblock = Block(read(0, SUPERBLOCK_BYTES))
    return next(filter(None, _doubts(tree, geometry, blocks, superblock, kernel)), "")


def _doubts(
    tree: Tree, geometry: Geometry, blocks: Blocks, superblock: Block, kernel: tuple[int, int] | None
) -> Iterator[str]:
    yield features_doubt(superblock, geometry, kernel)
    yield _numbers_doubt(superblock, geometry)
    yield _log_doubt(superblock, geometry)
    if not is_not_newer(superblock.bytes_at(0, 512), _SUPERBLOCK_LSN_AT, blocks.last_lsn):
        yield "its superblock is newer than its log"
    if tree.names(tree.root) is None:
        yield "its top directory is damaged"
    yield _realtime_doubt(tree, superblock)
    yield _groups_doubt(blocks, geometry)


def features_doubt(superblock: Block, geometry: Geometry, kernel: tuple[int, int] | None = None) -> str:
    """What not every kernel since that version knows, or wants otherwise."""
    version, ro_compat = superblock.be16(100), superblock.be32(212)
    incompat = _INCOMPAT
    for feature, since in _LATER_INCOMPAT.items():
        incompat |= feature if kernel is not None and kernel >= since else 0
    unknown = geometry.incompat & ~incompat or ro_compat & ~0xF or superblock.be32(208)
    if unknown or version & ~_VERSION or version & _VERSION_ALWAYS != _VERSION_ALWAYS:
        return "it has features that not every kernel knows"
    if superblock.be32(200) != _FEATURES2 or superblock.be32(204) != _FEATURES2:
        return "it has features that not every kernel knows"
    if ro_compat & _RO_COUNTED and not ro_compat & _RO_FREE_INODES:
        return "it counts blocks of a tree that it does not have"
    if superblock.be16(176) or not {superblock.be64(at) for at in (160, 168, 232)} <= _NONE:
        return "it has quotas"
    if geometry.block_bytes > _MAX_BLOCK_BYTES:
        return f"its blocks have {geometry.block_bytes} bytes"
    return ""


def _numbers_doubt(superblock: Block, geometry: Geometry) -> str:
    """What the superblock says must fit, as a mount wants it."""
    odd = "its superblock is an odd one"
    large = geometry.sector_bytes > 512
    if bool(superblock.be16(100) & _VERSION_SECTORS) != large or geometry.sector_bytes > geometry.block_bytes:
        return odd
    if superblock.u8(178) or superblock.u8(179) or superblock.be16(106) != 1 << geometry.inodes_log:
        return odd
    identities = [superblock.bytes_at(32, 16)]
    if geometry.incompat & _INCOMPAT_META_UUID:
        identities.append(superblock.bytes_at(248, 16))
    if bytes(16) in identities:
        return odd
    group_bytes = geometry.group_blocks << geometry.block_log
    if not _LEAST_GROUP_BYTES <= group_bytes <= _MOST_GROUP_BYTES:
        return odd
    # No realtime device: nothing of one, either.
    if superblock.be32(92) or superblock.u8(125) or superblock.be64(152):
        return odd
    return "" if _are_aligned(superblock, geometry) and _are_counted(superblock, geometry) else odd


def _are_aligned(superblock: Block, geometry: Geometry) -> bool:
    unit, width = superblock.be32(184), superblock.be32(188)
    stripes = bool(superblock.be16(100) & _VERSION_STRIPES)
    if stripes != bool(unit) or bool(unit) != bool(width) or (unit and width % unit):
        return False
    chunk = _CHUNK_INODES * geometry.inode_bytes >> geometry.block_log
    cluster = _CLUSTER_INODES * geometry.inode_bytes >> geometry.block_log
    sparse = bool(geometry.incompat & _INCOMPAT_SPARSE)
    if superblock.be32(180) != (chunk if sparse else cluster):
        return False
    return superblock.be32(228) == (cluster if sparse else 0)


def _are_counted(superblock: Block, geometry: Geometry) -> bool:
    inodes, inodes_free, free = superblock.be64(128), superblock.be64(136), superblock.be64(144)
    most = geometry.blocks << geometry.inodes_log
    return _CHUNK_INODES <= inodes <= most and inodes_free <= inodes and free <= geometry.blocks


def _log_doubt(superblock: Block, geometry: Geometry) -> str:
    unit, size = superblock.be32(196), geometry.log_bytes
    if unit > 1 and (unit % geometry.block_bytes or unit > _LOG_MOST_UNIT):
        return "its log is aligned in an odd way"
    if superblock.u8(193) or superblock.be16(194):
        sector_log = superblock.u8(193)
        if superblock.be16(194) != 1 << min(sector_log, 16) or superblock.be16(194) != geometry.sector_bytes:
            return "its log has sectors of its own"
    elif geometry.sector_bytes > 512:
        return "its log has sectors of its own"
    small = geometry.group_blocks << geometry.block_log <= _LOG_SIMPLE_GROUP_BYTES
    simple = small and unit <= _LOG_SIMPLE_UNIT and not geometry.ro_compat & _RO_REVERSE_MAP
    if size < (_LOG_LEAST_BYTES if simple else _LOG_SAFE_BYTES):
        return "its log may be too small"
    if size >= _LOG_MOST_BYTES or size >> geometry.block_log > _LOG_MOST_BLOCKS:
        return "its log may be too large"
    return ""


def _realtime_doubt(tree: Tree, superblock: Block) -> str:
    """The inodes of a realtime device are read by a mount even where there is no such device."""
    for number in (superblock.be64(64), superblock.be64(72)):
        inode = tree.inodes.own_inode(number)
        if inode is None or inode.kind != REGULAR or inode.form != EXTENTS:
            return "the inodes of its realtime device are damaged"
        if inode.extents or inode.size or inode.fork_offset:
            return "the inodes of its realtime device are not empty"
    return ""


def _groups_doubt(blocks: Blocks, geometry: Geometry) -> str:
    """The headers of each group; that they are whole was seen when the filesystem was opened."""
    size, left = geometry.sector_bytes, _MAX_TREE_BLOCKS
    for group in range(geometry.groups):
        both = Block(blocks.read(geometry.place(group, 0) + size, 2 * size))
        if len(both) != 2 * size or not _is_space_sound(both, geometry, group):
            return f"the free space of its group {group} is not as a kernel wants it"
        inodes = Block(both.data[size:])
        records = geometry.group_blocks << geometry.inodes_log
        if not _INODES.may_have(inodes.be32(24), records // _CHUNK_INODES, geometry.block_bytes):
            return f"the inodes of its group {group} are not as a kernel wants them"
        if not geometry.ro_compat & _RO_FREE_INODES:
            continue
        level = inodes.be32(332)
        if not _INODES.may_have(level, records // _CHUNK_INODES, geometry.block_bytes):
            return f"the inodes of its group {group} are not as a kernel wants them"
        if geometry.ro_compat & _RO_COUNTED:
            continue
        counted = _count(blocks, group, inodes.be32(328), level, left)
        if not counted:
            return f"the tree of free inodes of its group {group} is damaged, or too large"
        left -= counted
    return ""


def _is_space_sound(data: Block, geometry: Geometry, group: int) -> bool:
    length, block_bytes = geometry.length(group), geometry.block_bytes
    first, last, count, free, longest, in_trees = (data.be32(at) for at in range(40, 64, 4))
    room = (geometry.sector_bytes - _FREE_LIST_HEAD_BYTES) // 4
    if max(first, last) >= room or count > room or not longest <= free <= length or in_trees > length:
        return False
    if max(data.be32(80), data.be32(84)) > length:
        return False
    blocks = geometry.group_blocks
    levels = [(_SPACE, data.be32(28), blocks // 2), (_SPACE, data.be32(32), blocks // 2)]
    if geometry.ro_compat & _RO_REVERSE_MAP:
        levels.append((_REVERSE_MAP, data.be32(36), blocks))
    if geometry.ro_compat & RO_REFLINK:
        levels.append((_SHARED, data.be32(92), blocks))
    return all(kind.may_have(level, records, block_bytes) for kind, level, records in levels)


def _count(blocks: Blocks, group: int, root: int, level: int, most: int) -> int:
    """How many blocks the tree of a group's free inodes has, each of them intact; 0: not certain."""
    counted, first = 0, root
    room = (blocks.geometry.block_bytes - _TREE_HEAD_BYTES) // _INODES.entry
    while True:
        level -= 1
        block, before, below = first, _NO_BLOCK, 0
        while block != _NO_BLOCK:
            data = _node(blocks, group, block, level, before) if counted < most else None
            if data is None:
                return 0
            counted += 1
            if block == first:
                below = int.from_bytes(data[_TREE_HEAD_BYTES + room * 4 :][:4], "big")
            before, block = block, _TREE_HEAD.unpack_from(data, 4)[3]
        if not level:
            return counted
        first = below


def _node(blocks: Blocks, group: int, block: int, level: int, before: int) -> bytes | None:
    """A block of such a tree, which names the one before it."""
    geometry = blocks.geometry
    if not geometry.allows(group << geometry.group_log | block, 1):
        return None
    data = blocks.node(geometry.place(group, block), SHORT_TREE, magic=_TREE_MAGIC, owner=group)
    if data is None:
        return None
    own, records, left, _ = _TREE_HEAD.unpack_from(data, 4)
    room = (len(data) - _TREE_HEAD_BYTES) // (_INODES.entry if level else _INODES.record)
    sound = own == level and left == before and records <= room and (records or not level)
    return data if sound else None

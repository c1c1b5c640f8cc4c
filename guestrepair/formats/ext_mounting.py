"""Is it certain that Linux mounts an ext4 filesystem, to be read and to be written to, without trying?

Certain is what every kernel since 4.4 mounts: features that all of them know, and every structure that a
mount looks at whole, with the right checksum: superblock, group descriptors, the journal's inode and
superblock (closed in order), the top directory, the orphan file. Of whatever else there may be a kernel
has to say.

Source: Linux fs/ext4/super.c (__ext4_fill_super, ext4_check_descriptors, ext4_load_journal), orphan.c
(ext4_init_orphan_info), fs/jbd2/journal.c (jbd2_journal_load); Documentation/filesystems/ext4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from guestrepair.formats.ext_accepted import FLAG_EXTENTS, REGULAR
from guestrepair.formats.ext_geometry import (
    COMPAT_JOURNAL,
    JOURNAL_INODE,
    RO_GDT_CSUM,
    RO_METADATA_CSUM,
    ROOT_INODE,
    Geometry,
)
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_journal import MAGIC
from guestrepair.formats.superblock.checksums import crc16, crc32c
from guestrepair.formats.superblock.ext import PRIMARY_OFFSET, SUPERBLOCK_BYTES
from guestrepair.formats.superblock.model import Block, Read

_COMPAT_ORPHAN_FILE = 0x1000
_COMPAT = 0x1 | COMPAT_JOURNAL | 0x8 | 0x10 | 0x20 | _COMPAT_ORPHAN_FILE
"""dir_prealloc, has_journal, ext_attr, resize_inode, dir_index, orphan_file"""
_INCOMPAT = 0x2 | 0x40 | 0x80 | 0x200 | 0x2000
"""filetype, extent, 64bit, flex_bg, metadata_csum_seed"""
_RO_COMPAT = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | RO_METADATA_CSUM
"""sparse_super, large_file, huge_file, uninit_bg, dir_nlink, extra_isize, metadata_csum"""
_USUAL_OPTIONS = 0x4 | 0x8
"""Default mount options: user_xattr, acl."""
_MAX_BLOCK_BYTES = 4096
"""Larger blocks are mounted where pages are as large."""

_DESCRIPTOR_CHECKSUM_AT = 0x1E
_PIECE_DESCRIPTORS = _MAX_OLD_GROUPS = 4096

_JOURNAL_FLAGS = FLAG_EXTENTS | 0x40000
"""With extents, and counted in blocks."""
_JOURNAL_SUPERBLOCK = 4
_JOURNAL_LEAST_BLOCKS = 1024
_JOURNAL_CSUM_V2, _JOURNAL_CSUM_V3 = 0x8, 0x10
_JOURNAL_KNOWN = 0x1 | 0x2 | _JOURNAL_CSUM_V2 | _JOURNAL_CSUM_V3
"""revoke, 64bit, and the two kinds of checksums"""
_JOURNAL_CHECKSUM_AT, _JOURNAL_BYTES = 0xFC, 1024
_JOURNAL_CRC32C = 4

_ORPHAN_MAGIC = 0x0B10CA04
_MAX_ORPHAN_BLOCKS = 512


def mount_doubt(read: Read, size_bytes: int) -> str:
    """Why it is not certain that Linux mounts the filesystem that ``read`` reads; "" where it is.

    Raises:
        Whatever ``read`` raises.
    """
    inodes = Inodes(read, size_bytes)
    if inodes.geometry is None:
        return "its superblock, its group descriptors or its journal's inode are not as a kernel wants them"
    return next(
        filter(None, _doubts(inodes, inodes.geometry, Block(read(PRIMARY_OFFSET, SUPERBLOCK_BYTES)))), ""
    )


def _doubts(inodes: Inodes, geometry: Geometry, superblock: Block) -> Iterator[str]:
    yield _features_doubt(geometry, superblock)
    root = inodes.inode(ROOT_INODE)
    if root is None or not root.size or not root.blocks:
        yield "its top directory is damaged"
    yield _descriptors_doubt(inodes.read, geometry, superblock.bytes_at(0x68, 16))
    yield _journal_doubt(inodes, geometry, superblock)
    if geometry.compat & _COMPAT_ORPHAN_FILE:
        yield _orphans_doubt(inodes, superblock.le32(0x280))


def _features_doubt(geometry: Geometry, superblock: Block) -> str:
    unknown = geometry.compat & ~_COMPAT or geometry.incompat & ~_INCOMPAT or geometry.ro_compat & ~_RO_COMPAT
    if unknown or superblock.le32(0x4C) != 1 or superblock.le32(0x160) & ~0x3:
        return "it has features that not every kernel knows"
    if geometry.block_bytes > _MAX_BLOCK_BYTES:
        return f"its blocks have {geometry.block_bytes} bytes"
    if superblock.le32(0x100) & ~_USUAL_OPTIONS or superblock.u8(0x200):
        return "it has mount options of its own in its superblock"
    return ""


def _descriptors_doubt(read: Read, geometry: Geometry, uuid: bytes) -> str:
    """The checksum of each group descriptor."""
    old = geometry.seed is None
    if old and not geometry.ro_compat & RO_GDT_CSUM:
        return ""
    if old and geometry.groups > _MAX_OLD_GROUPS:
        return "its group descriptors are too many to be verified"
    size, group = geometry.descriptor_bytes, 0
    seed = crc16(uuid) if geometry.seed is None else geometry.seed
    for first in range(0, geometry.groups, _PIECE_DESCRIPTORS):
        count = min(_PIECE_DESCRIPTORS, geometry.groups - first)
        piece = read(geometry.descriptors_at + first * size, count * size)
        if len(piece) != count * size:
            return "its group descriptors cannot be read"
        for at in range(0, len(piece), size):
            if not _is_descriptor_intact(piece[at : at + size], group, seed, old=old):
                return f"the descriptor of its group {group} is damaged"
            group += 1
    return ""


def _is_descriptor_intact(data: bytes, group: int, seed: int, *, old: bool) -> bool:
    at, number = _DESCRIPTOR_CHECKSUM_AT, struct.pack("<I", group)
    if old:
        state = crc16(number + data[:at] + data[at + 2 :], seed)
    else:
        state = crc32c(number + data[:at] + b"\0\0" + data[at + 2 :], seed) & 0xFFFF
    return state == int.from_bytes(data[at : at + 2], "little")


def _journal_doubt(inodes: Inodes, geometry: Geometry, superblock: Block) -> str:
    if not geometry.compat & COMPAT_JOURNAL:
        return ""
    layout, inode = inodes.journal_layout(), inodes.intact(JOURNAL_INODE, inodes.bytes_of(JOURNAL_INODE))
    if inode is None or inode.flags & ~_JOURNAL_FLAGS:
        return "its journal's inode is an odd one"
    if layout is None or not layout.extents or superblock.le32(0xE4):
        return "its journal is not a file of its own"
    data = inodes.read(layout.extents[0].physical, _JOURNAL_BYTES)
    if len(data) < _JOURNAL_BYTES or layout.extents[0].logical or layout.hole_bytes:
        return "its journal has holes"
    return journal_doubt(data, layout.size_bytes, geometry.block_bytes)


def journal_doubt(data: bytes, size_bytes: int, block_bytes: int) -> str:
    """Why the superblock of a journal of that size is none that every kernel takes; "" where it is one."""
    magic, kind, _, size, blocks, first, _, start, failed = struct.unpack_from(">9I", data)
    compat, incompat, ro_compat = struct.unpack_from(">3I", data, 36)
    checked = incompat & (_JOURNAL_CSUM_V2 | _JOURNAL_CSUM_V3)
    both = checked == _JOURNAL_CSUM_V2 | _JOURNAL_CSUM_V3
    if magic != MAGIC or kind != _JOURNAL_SUPERBLOCK or size != block_bytes:
        return "its journal's superblock is damaged"
    if not _JOURNAL_LEAST_BLOCKS <= blocks <= size_bytes // block_bytes or not 0 < first < blocks:
        return "its journal's superblock is damaged"
    if compat or ro_compat or both or incompat & ~_JOURNAL_KNOWN:
        return "its journal has features that not every kernel knows"
    if checked and not _is_journal_intact(data):
        return "its journal's superblock is damaged"
    return "its journal was not closed in order" if start or failed else ""


def _is_journal_intact(data: bytes) -> bool:
    at = _JOURNAL_CHECKSUM_AT
    whole = data[:at] + bytes(4) + data[at + 4 : _JOURNAL_BYTES]
    return data[80] == _JOURNAL_CRC32C and crc32c(whole) == int.from_bytes(data[at : at + 4], "big")


def _orphans_doubt(inodes: Inodes, number: int) -> str:
    """The orphan file: every block of it ends with a magic number and a checksum."""
    damaged, unit = "its orphan file is damaged", inodes.block_bytes
    inode = inodes.intact(number, inodes.bytes_of(number))
    layout = None if inode is None or not inode.links else inodes.layout_of(number, inode)
    if inode is None or layout is None or layout.hole_bytes or inode.kind != REGULAR:
        return damaged
    if layout.size_bytes % unit or not 0 < layout.size_bytes // unit <= _MAX_ORPHAN_BLOCKS:
        return damaged
    seed = inodes.seed(number, inode)
    for extent in layout.extents:
        for at in range(extent.physical, extent.physical + extent.length, unit):
            data = inodes.read(at, unit)
            if len(data) < unit or not _is_orphan_block_intact(data, at // unit, seed):
                return damaged
    return ""


def _is_orphan_block_intact(data: bytes, block: int, seed: int | None) -> bool:
    magic, checksum = struct.unpack_from("<II", data, len(data) - 8)
    if magic != _ORPHAN_MAGIC:
        return False
    return seed is None or crc32c(data[:-8], crc32c(struct.pack("<Q", block), seed)) == checksum

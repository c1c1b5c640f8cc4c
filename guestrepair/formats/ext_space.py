"""How much room an ext4 filesystem has, as its kernel's statfs(2) counts it.

Free blocks and inodes are summed over the group descriptors, as a mount does, whose checksums must be right;
the superblock's own sums must agree, which they do once it was unmounted. What the filesystem has for itself
does not count as its size, and the kernel holds back a fiftieth of the blocks (at most 4096) beside root's.

Source: Linux fs/ext4/super.c (ext4_statfs, ext4_calculate_overhead, ext4_set_resv_clusters,
ext4_group_desc_csum); Documentation/filesystems/ext4 (group_descr.rst, super.rst).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from guestrepair.formats.ext_geometry import RO_BIGALLOC, RO_GDT_CSUM, Geometry
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.file_attributes import Space
from guestrepair.formats.superblock.checksums import crc16, crc32c
from guestrepair.formats.superblock.ext import PRIMARY_OFFSET, SUPERBLOCK_BYTES, parse
from guestrepair.formats.superblock.model import Block

_PIECE_DESCRIPTORS = 4096
_CHECKSUM_AT = 0x1E
_NUMBER = struct.Struct("<I")
_COUNTS = struct.Struct("<HH")
_HELD_BACK_PART, _HELD_BACK_MOST = 50, 4096
_BITMAPS = 2


class _Free(NamedTuple):
    blocks: int
    inodes: int


def space(inodes: Inodes) -> Space | None:
    """What statfs(2) says of a filesystem that can be read here; None where that is not certain.

    Raises:
        Whatever reading the device raises.
    """
    geometry = inodes.geometry
    raw = inodes.read(PRIMARY_OFFSET, SUPERBLOCK_BYTES)
    block, found = Block(raw), parse(raw)
    if geometry is None or found is None or found.ext is None:
        return None
    # Options in the superblock change what is counted (minixdf); clusters are counted from bitmaps.
    if found.ext.mount_options or geometry.ro_compat & RO_BIGALLOC:
        return None
    free, overhead = _free(inodes, geometry, raw), _overhead(inodes, geometry)
    if free is None or overhead is None:
        return None
    said = _Free(block.le32(0x0C) | _high(block, geometry, 0x158), block.le32(0x10))
    # Kernels before 5.18 believe the superblock's number; 0: it has none, and all of them count.
    if free != said or block.le32(0x248) not in (0, overhead) or free.blocks > geometry.blocks - overhead:
        return None
    kept = block.le32(0x08) | _high(block, geometry, 0x154)
    kept += min(geometry.blocks // _HELD_BACK_PART, _HELD_BACK_MOST)
    unit = geometry.block_bytes
    return Space(
        size_bytes=(geometry.blocks - overhead) * unit,
        free_bytes=free.blocks * unit,
        available_bytes=max(0, free.blocks - kept) * unit,
        inodes=geometry.inodes,
        inodes_free=free.inodes,
    )


def _high(block: Block, geometry: Geometry, at: int) -> int:
    return block.le32(at) << 32 if geometry.descriptor_bytes > 32 else 0


def _free(inodes: Inodes, geometry: Geometry, superblock: bytes) -> _Free | None:
    blocks = free_inodes = groups = 0
    for group, descriptor in enumerate(_descriptors(inodes, geometry)):
        if not _is_intact(descriptor, group, geometry, superblock):
            return None
        low, high = _COUNTS.unpack_from(descriptor, 0x0C), (0, 0)
        if geometry.descriptor_bytes >= 64:
            high = _COUNTS.unpack_from(descriptor, 0x2C)
        blocks += low[0] | high[0] << 16
        free_inodes += low[1] | high[1] << 16
        groups += 1
    return _Free(blocks, free_inodes) if groups == geometry.groups else None


def _descriptors(inodes: Inodes, geometry: Geometry) -> Iterator[bytes]:
    size = geometry.descriptor_bytes
    for first in range(0, geometry.groups, _PIECE_DESCRIPTORS):
        count = min(_PIECE_DESCRIPTORS, geometry.groups - first)
        piece = inodes.read(geometry.descriptors_at + first * size, count * size)
        yield from (piece[at : at + size] for at in range(0, len(piece) - size + 1, size))


def _is_intact(descriptor: bytes, group: int, geometry: Geometry, superblock: bytes) -> bool:
    """Whether a descriptor's checksum is right; where there are none, it always is."""
    said = int.from_bytes(descriptor[_CHECKSUM_AT : _CHECKSUM_AT + 2], "little")
    before, behind = descriptor[:_CHECKSUM_AT], descriptor[_CHECKSUM_AT + 2 :]
    if geometry.seed is not None:
        whole = b"".join((_NUMBER.pack(group), before, b"\0\0", behind))
        return crc32c(whole, geometry.seed) & 0xFFFF == said
    if geometry.ro_compat & RO_GDT_CSUM:
        uuid = superblock[0x68:0x78]
        return crc16(b"".join((uuid, _NUMBER.pack(group), before, behind))) == said
    return True


def _overhead(inodes: Inodes, geometry: Geometry) -> int | None:
    """Blocks that the filesystem has for itself; None where the journal's size is not certain."""
    journal = inodes.journal_layout()
    if journal is None and geometry.journal:
        return None
    own = geometry.first_block + geometry.groups * (geometry.table_blocks + _BITMAPS)
    descriptors = -(-geometry.groups * geometry.descriptor_bytes // geometry.block_bytes)
    copies = sum(map(geometry.has_superblock, range(geometry.groups)))
    own += copies * (1 + descriptors + geometry.spare_descriptor_blocks)
    if journal is None:
        return own
    blocks = journal.size_bytes // geometry.block_bytes
    start = journal.extents[0].physical if journal.extents else 0
    # The kernel counts what the journal's superblock says once it has read that.
    return own + blocks if int.from_bytes(inodes.read(start + 16, 4), "big") == blocks else None

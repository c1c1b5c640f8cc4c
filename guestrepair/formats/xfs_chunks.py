"""The inode B+trees of an XFS filesystem: which inodes there are, and which are in use.

Inodes come in chunks of 64. Of a sparse chunk, some lie nowhere: other things lie in their place.

Source: the XFS Algorithms & Data Structures document (Inode Management); Linux fs/xfs/libxfs/
xfs_ialloc_btree.c (xfs_inobt_verify), xfs_ialloc.c (xfs_inobt_btrec_to_irec, xfs_inobt_check_irec).
"""

from __future__ import annotations

import bisect
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from guestrepair.formats.xfs_blocks import SHORT_TREE, Blocks
from guestrepair.formats.xfs_geometry import Groups

CHUNK_INODES = 64
_MAGIC = b"IAB3"
_HEAD_BYTES = 56
_HEAD = struct.Struct(">HH")
_RECORD = struct.Struct(">IHBBQ")
_RECORD_BYTES, _NODE_ENTRY_BYTES, _KEY_BYTES = 16, 8, 4
_HOLE_INODES = 4
"""What one bit of the mask of holes stands for."""

_KEPT_NODES = 256
_MAX_NODES_READ = 200_000
"""Of one filesystem in all; enough for fifty million inodes."""


class Chunk(NamedTuple):
    """Sixty-four inodes from number ``first`` of their group on; bits of the masks from the lowest."""

    first: int
    missing: int
    """Those that lie nowhere."""
    unused: int


class _Node(NamedTuple):
    level: int
    keys: list[int]
    below: list[int]
    """Of a leaf, none: its chunks instead."""
    chunks: list[Chunk]


@dataclass(slots=True)
class Chunks:
    """The chunks of one filesystem, found by the numbers of their inodes."""

    blocks: Blocks
    groups: Groups
    _kept: dict[tuple[int, int], _Node | None] = field(init=False, default_factory=dict)
    _left: int = field(init=False, default=_MAX_NODES_READ)

    def find(self, group: int, inside: int) -> Chunk | None:
        """The chunk of an inode that there is; None where there is none, or it is not certain."""
        level, block = self.groups.levels[group] - 1, self.groups.roots[group]
        while True:
            node = self._node(group, block, level)
            index = -1 if node is None else bisect.bisect_right(node.keys, inside) - 1
            if node is None or index < 0:
                return None
            if not level:
                chunk = node.chunks[index]
                number = inside - chunk.first
                return chunk if number < CHUNK_INODES and not chunk.missing >> number & 1 else None
            level, block = level - 1, node.below[index]

    def _node(self, group: int, block: int, level: int) -> _Node | None:
        key = (group, block)
        if key not in self._kept:
            if len(self._kept) >= _KEPT_NODES:
                self._kept.pop(next(iter(self._kept)))
            self._left -= 1
            self._kept[key] = self._read(group, block) if self._left > 0 else None
        node = self._kept[key]
        return node if node is not None and node.level == level else None

    def _read(self, group: int, block: int) -> _Node | None:
        geometry = self.blocks.geometry
        if not geometry.allows(group << geometry.group_log | block, 1):
            return None
        data = self.blocks.node(geometry.place(group, block), SHORT_TREE, magic=_MAGIC, owner=group)
        node = None if data is None else parse_node(data)
        if node is None:
            return None
        return node if all(self._is_possible(group, chunk.first) for chunk in node.chunks) else None

    def _is_possible(self, group: int, first: int) -> bool:
        geometry = self.blocks.geometry
        return geometry.is_inode_place(group, first) and geometry.is_inode_place(
            group, first + CHUNK_INODES - 1
        )


def parse_node(data: bytes) -> _Node | None:
    """A node of an inode B+tree, its entries in order; None for what the kernel may refuse."""
    if len(data) < _HEAD_BYTES:
        return None
    level, count = _HEAD.unpack_from(data, 4)
    room = len(data) - _HEAD_BYTES
    most = room // (_NODE_ENTRY_BYTES if level else _RECORD_BYTES)
    if count > most or (level and not count):
        return None
    if not level:
        chunks = list(_chunks(data[_HEAD_BYTES : _HEAD_BYTES + count * _RECORD_BYTES]))
        keys = [chunk.first for chunk in chunks]
        apart = all(low + CHUNK_INODES <= high for low, high in itertools.pairwise(keys))
        return _Node(0, keys, [], chunks) if apart and len(chunks) == count else None
    words = struct.Struct(f">{count}I")
    keys = list(words.unpack_from(data, _HEAD_BYTES))
    below = list(words.unpack_from(data, _HEAD_BYTES + most * _KEY_BYTES))
    in_order = all(low < high for low, high in itertools.pairwise(keys))
    return _Node(level, keys, below, []) if in_order else None


def _chunks(raw: bytes) -> Iterator[Chunk]:
    """The chunks of a leaf; one whose numbers contradict each other is left out."""
    for first, holes, stated, free_count, free in _RECORD.iter_unpack(raw):
        # Without sparse chunks there is the number of free ones alone, in 32 bits.
        count = stated if holes or stated else CHUNK_INODES
        missing = _spread(holes) if holes else 0
        if count != CHUNK_INODES - missing.bit_count() or missing & ~free:
            continue
        if free_count == (free & ~missing).bit_count():
            yield Chunk(first, missing, free)


def _spread(holes: int) -> int:
    """The mask of holes with a bit for each inode."""
    found = 0
    for bit in range(16):
        if holes >> bit & 1:
            found |= (1 << _HOLE_INODES) - 1 << bit * _HOLE_INODES
    return found

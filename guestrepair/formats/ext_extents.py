"""The extent tree of an ext4 file: its nodes, each of which the kernel would take.

Source: Linux fs/ext4/extents.c (__ext4_ext_check, ext4_valid_extent_entries, ext4_find_extent);
Documentation/filesystems/ext4 (ifork.rst, checksums.rst).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from guestrepair.formats.ext_geometry import Geometry, Zone
from guestrepair.formats.extents import MAX_EXTENTS, Extent
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Block, Read

_MAGIC = 0xF30A
_MAX_DEPTH = 5
MAX_NODES = 50_000
"""Blocks of extent trees read of one filesystem in all: a bound for trees that share their nodes."""

_WRITTEN_MOST = 32768
"""Blocks in one written extent; a greater number marks one that is not written yet."""

_HEAD_BYTES = _ENTRY_BYTES = 12
_HEAD, _LEAF, _INDEX = struct.Struct("<HHHH"), struct.Struct("<IHHI"), struct.Struct("<IIHH")


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the tree: of depth 0, the file's extents; else what lies below it."""

    depth: int
    entries: Sequence[tuple[int, int, int]]
    """Logical block, number of blocks (negative: not written yet; of a node: 1) and physical block."""


def parse_node(data: bytes, zone: Zone, *, depth: int | None = None, first: int = 0) -> Node | None:
    """A node whose entries are in order and lie where they may; None for one that the kernel may refuse.

    ``depth`` and ``first`` are those that the node above tells; of the root, which lies in the inode, None.
    """
    if len(data) < _HEAD_BYTES:
        return None
    magic, count, most, own_depth = _HEAD.unpack_from(data)
    room = (len(data) - _HEAD_BYTES) // _ENTRY_BYTES
    if magic != _MAGIC or not count <= most <= room or not most or own_depth > _MAX_DEPTH:
        return None
    if (depth is not None and (own_depth != depth or not count)) or (own_depth and not count):
        return None
    raw = data[_HEAD_BYTES : _HEAD_BYTES + count * _ENTRY_BYTES]
    entries = _indexes(raw) if own_depth else _leaves(raw)
    if depth is not None and entries[0][0] != first:
        return None
    end = 0
    for logical, length, physical in entries:
        if logical < end or not zone.allows(physical, abs(length)):
            return None
        end = logical + abs(length)
    return Node(own_depth, entries) if end < 1 << 32 else None


def _leaves(raw: bytes) -> list[tuple[int, int, int]]:
    return [
        (logical, length if length <= _WRITTEN_MOST else _WRITTEN_MOST - length, low | high << 32)
        for logical, length, high, low in _LEAF.iter_unpack(raw)
    ]


def _indexes(raw: bytes) -> list[tuple[int, int, int]]:
    return [(logical, 1, low | high << 32) for logical, low, high, _ in _INDEX.iter_unpack(raw)]


@dataclass(slots=True)
class Walker:
    """Collects the extents of files; how many nodes it has read in all is bounded."""

    read: Read
    geometry: Geometry
    _nodes: int = field(init=False, default=0)

    def extents(self, root: bytes, zone: Zone, seed: int | None) -> list[Extent] | None:
        """The extents below a root, all of them written; None when one is not certain."""
        node, found = parse_node(root, zone), list[Extent]()
        return found if node is not None and self._collect(node, zone, seed, found) else None

    def _collect(self, node: Node, zone: Zone, seed: int | None, into: list[Extent]) -> bool:
        if len(into) + len(node.entries) > MAX_EXTENTS:
            return False
        unit = self.geometry.block_bytes
        for logical, length, physical in node.entries:
            if length < 0:
                return False
            if node.depth == 0:
                into.append(Extent(logical * unit, physical * unit, length * unit))
                continue
            below = self._below(node, logical, physical, zone, seed)
            if below is None or not self._collect(below, zone, seed, into):
                return False
        return True

    def _below(self, node: Node, logical: int, physical: int, zone: Zone, seed: int | None) -> Node | None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            return None
        data = self.read(physical * self.geometry.block_bytes, self.geometry.block_bytes)
        intact = len(data) == self.geometry.block_bytes and (seed is None or _is_intact(data, seed))
        return parse_node(data, zone, depth=node.depth - 1, first=logical) if intact else None


def _is_intact(data: bytes, seed: int) -> bool:
    """The checksum of a node in a block of its own stands behind the room for its entries."""
    tail = _HEAD_BYTES + _ENTRY_BYTES * Block(data).le16(4)
    return tail + 4 <= len(data) and crc32c(data[:tail], seed) == Block(data).le32(tail)

"""The nodes of btrfs trees: each verified as its kernel does before anything in it is believed.

A key is one number here (objectid, type and offset, from the highest bits down), so that keys
are in order as numbers are.

Source: Linux include/uapi/linux/btrfs_tree.h, fs/btrfs/disk-io.c (btrfs_validate_extent_buffer) and
tree-checker.c (btrfs_check_leaf, btrfs_check_node, btrfs_check_eb_owner, btrfs_verify_level_key).
"""

from __future__ import annotations

import operator
import struct
from dataclasses import dataclass
from typing import NamedTuple

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_items import (
    AFTER_THEIR_INODE,
    CHECKS,
    FIRST_FREE,
    FS_TREE,
    LAST_FREE,
    OF_FILES,
)
from guestrepair.formats.btrfs_superblock import SECTOR_BYTES, Geometry

_HEADER = struct.Struct("<32s16sQQ16sQQIB")
_ITEM, _POINTER = struct.Struct("<QBQII"), struct.Struct("<QBQQQ")
_WRITTEN = 1


class Place(NamedTuple):
    """Where a node lies, and what the pointer to it says of it."""

    address: int
    level: int
    generation: int
    owner: int
    """The tree that it is looked for in."""
    first: int | None
    """The first key in it; None for a root."""
    bound: int
    """All keys in it are below that."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """Items in the order of their keys."""

    keys: list[int]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    data: bytes

    def item(self, index: int) -> bytes:
        """The bytes of an item."""
        return self.data[self.starts[index] : self.ends[index]]


@dataclass(frozen=True, slots=True)
class Branch:
    """Pointers to the nodes below, in the order of the first key in each."""

    keys: list[int]
    addresses: tuple[int, ...]
    generations: tuple[int, ...]


def key_of(objectid: int, kind: int, offset: int) -> int:
    """A key as a number."""
    return objectid << 72 | kind << 64 | offset


def split(key: int) -> tuple[int, int, int]:
    """Objectid, type and offset of a key."""
    return key >> 72, key >> 64 & 0xFF, key & 0xFFFF_FFFF_FFFF_FFFF


def is_tree_of_files(owner: int) -> bool:
    """Whether a number is that of a subvolume's tree, which shares nodes with its snapshots."""
    return owner == FS_TREE or FIRST_FREE <= owner <= LAST_FREE


def parse_node(data: bytes, place: Place, geometry: Geometry) -> Leaf | Branch:
    """A node with all that its kernel verifies.

    Raises:
        FormatError: something of it is wrong, or not certain.
    """
    if len(data) != geometry.node_bytes:
        raise FormatError(f"a tree block at {place.address} lies beyond the device")
    stored, fsid, address, flags, _, generation, owner, count, level = _HEADER.unpack_from(data)
    if geometry.checksum(data[32:]) != stored[: geometry.checksum_bytes]:
        raise FormatError(f"the checksum of the tree block at {place.address} is wrong")
    found = (fsid, address, generation, level)
    if found != (geometry.fsid, place.address, place.generation, place.level) or not flags & _WRITTEN:
        raise FormatError(f"the tree block at {place.address} is another one")
    # Below its root, a subvolume shares nodes with its snapshots.
    may_be_shared = place.first is not None and is_tree_of_files(place.owner) and is_tree_of_files(owner)
    if not (may_be_shared or owner == place.owner) or generation > geometry.generation:
        raise FormatError(f"the tree block at {place.address} is of another tree")
    node = _branch(data, count) if level else _leaf(data, count, owner)
    keys = node.keys
    if not all(map(operator.lt, keys, keys[1:])) or (keys and keys[-1] >= place.bound):
        raise FormatError(f"keys out of order in the tree block at {place.address}")
    if place.first is not None and (not keys or keys[0] != place.first):
        raise FormatError(f"the tree block at {place.address} begins with another key")
    return node


def _branch(data: bytes, count: int) -> Branch:
    end = _HEADER.size + count * _POINTER.size
    if not count or end > len(data):
        raise FormatError("a tree block with more pointers than it has room for, or none")
    pointers = list(_POINTER.iter_unpack(memoryview(data)[_HEADER.size : end]))
    addresses = tuple(p[3] for p in pointers)
    if any(not at or at % SECTOR_BYTES for at in addresses):
        raise FormatError("a tree block that leads nowhere")
    return Branch(
        [p[0] << 72 | p[1] << 64 | p[2] for p in pointers], addresses, tuple(p[4] for p in pointers)
    )


def _leaf(data: bytes, count: int, owner: int) -> Leaf:
    room = len(data) - _HEADER.size
    if count * _ITEM.size > room:
        raise FormatError("a leaf with more items than it has room for")
    items = list(_ITEM.iter_unpack(memoryview(data)[_HEADER.size : _HEADER.size + count * _ITEM.size]))
    of_files = is_tree_of_files(owner)
    end, before = room, -1
    for objectid, kind, offset, at, size in items:
        if at + size != end:
            raise FormatError("the items of a leaf do not follow each other")
        end = at
        if of_files and (
            kind not in OF_FILES or (kind in AFTER_THEIR_INODE and before not in (-1, objectid))
        ):
            raise FormatError("an item of a file that cannot be where it is")
        before = objectid
        check = CHECKS.get(kind)
        if check is not None:
            check(objectid, offset, data[_HEADER.size + at : _HEADER.size + at + size])
    if end < count * _ITEM.size:
        raise FormatError("the items of a leaf lie over each other")
    return Leaf(
        [o << 72 | k << 64 | f for o, k, f, _, _ in items],
        tuple(_HEADER.size + at for _, _, _, at, _ in items),
        tuple(_HEADER.size + at + size for _, _, _, at, size in items),
        data,
    )

"""What a kernel wants of the leaves that it reads at a mount, beyond what the reading of files needs.

A kernel refuses a whole leaf for one item that cannot be right, whichever item it looked for; newer kernels
refuse more. Here all is asked for that any of them asks, and no kind of item is taken that is not known.

Source: Linux fs/btrfs/tree-checker.c (check_leaf_item and what it calls) up to 6.18; include/uapi/linux/
btrfs_tree.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_extents import (
    DATA_RELOC_TREE,
    METADATA_ITEM,
    STORED_ITEM,
    verify_backref,
    verify_extent,
)
from guestrepair.formats.btrfs_items import (
    CHUNK_ITEM,
    CHUNK_TREE,
    CSUM_TREE,
    DEV_ITEM,
    DEV_TREE,
    DIR_INDEX,
    DIR_ITEM,
    EXTENT_CSUM,
    EXTENT_DATA,
    EXTENT_TREE,
    FIRST_FREE,
    FS_TREE,
    INLINE,
    INODE_EXTREF,
    INODE_ITEM,
    INODE_REF,
    NO_COMPRESSION,
    OF_FILES,
    ORPHAN_ITEM,
    ROOT_BACKREF,
    ROOT_ITEM,
    ROOT_REF,
    ROOT_TREE,
    VERITY_DESCRIPTOR,
    VERITY_MERKLE,
    XATTR_ITEM,
    parse_entries,
    parse_extent,
    parse_inode,
)
from guestrepair.formats.btrfs_nodes import Leaf, split
from guestrepair.formats.btrfs_space import BLOCK_GROUP_ITEM
from guestrepair.formats.btrfs_superblock import SECTOR_BYTES, Geometry

FREE_SPACE_HEADER, DEV_EXTENT, PERSISTENT_ITEM, UUID_SUBVOLUME, UUID_RECEIVED = 0, 204, 249, 251, 252
FREE_SPACE_INFO, FREE_SPACE_EXTENT, FREE_SPACE_BITMAP = 198, 199, 200
QUOTA_TREE, UUID_TREE, FREE_SPACE_TREE = 8, 9, 10
QGROUP_STATUS, QGROUP_INFO, QGROUP_LIMIT, QGROUP_RELATION = 240, 242, 244, 246
TREE_BLOCK_REF, EXTENT_DATA_REF, SHARED_BLOCK_REF, SHARED_DATA_REF = 176, 178, 182, 184

_LEAF_OVERHEAD_BYTES = 101 + 25 + 30
"""Of a leaf's header, an item and a directory entry: names and values have what is left."""
_NAME_MOST = 255
_FIRST_QGROUP_LEVEL = 1 << 48
_QUOTA_BYTES = {QGROUP_STATUS: (32, 40), QGROUP_INFO: (40,), QGROUP_LIMIT: (40,), QGROUP_RELATION: (0,)}
"""The longer status is of kernels since 6.7."""
_GROUP_BYTES, _DEV_EXTENT_BYTES, _UUID_UNIT = 24, 48, 8
_BITMAP_MOST_BYTES = 256

_ROOT = struct.Struct("<3Q16x2Q4xQBQBB")
"""Of a root item, from its generation on."""
_ROOT_AT, _ROOT_V2_AT = 160, 239
_REF = struct.Struct("<QH")
_DEV_EXTENT = struct.Struct("<4Q")

Check = Callable[[int, int, bytes, Geometry], None]
"""Takes objectid and offset of an item's key, its bytes, and the filesystem; raises FormatError."""


def verify_leaf(leaf: Leaf, owner: int, geometry: Geometry) -> None:
    """That every kernel takes the items of a leaf, which is one of the tree ``owner``.

    Raises:
        FormatError: one of them may not.
    """
    before: tuple[int, int, int] | None = None
    allowed = ALLOWED.get(owner, OF_FILES if is_subvolume(owner) else frozenset())
    for index, key in enumerate(leaf.keys):
        objectid, kind, offset = split(key)
        if kind not in allowed:
            raise FormatError(f"an item of the type {kind} in the tree {owner}, which is unusual")
        CHECKS[kind](objectid, offset, leaf.item(index), geometry)
        if before is not None and kind in _ENDS:
            _verify_order(before, leaf.item(index - 1), (objectid, kind, offset), geometry)
        before = objectid, kind, offset


def is_subvolume(number: int) -> bool:
    """Whether a tree of that number is one of files for certain."""
    return number == FS_TREE or FIRST_FREE <= number < _FIRST_QGROUP_LEVEL


def _verify_order(
    before: tuple[int, int, int], data: bytes, key: tuple[int, int, int], geometry: Geometry
) -> None:
    """That what an item stands for does not reach into the next one's."""
    ends = _ENDS[key[1]]
    end = ends.get(before[1])
    if end is None or (key[1] == EXTENT_DATA and before[0] != key[0]):
        return
    start = key[0] if key[1] in (STORED_ITEM, METADATA_ITEM) else key[2]
    if end(before, data, geometry) > start:
        raise FormatError("items that lie over each other")


def _end_of_extent(key: tuple[int, int, int], _data: bytes, geometry: Geometry) -> int:
    return key[0] + (key[2] if key[1] == STORED_ITEM else geometry.node_bytes)


def _end_of_sums(key: tuple[int, int, int], data: bytes, geometry: Geometry) -> int:
    return key[2] + len(data) // geometry.checksum_bytes * SECTOR_BYTES


def _end_of_content(key: tuple[int, int, int], data: bytes, _geometry: Geometry) -> int:
    extent = parse_extent(data)
    if extent.kind == INLINE:
        return -(-(key[2] + extent.ram_bytes) // SECTOR_BYTES) * SECTOR_BYTES
    return key[2] + extent.length


_End = Callable[[tuple[int, int, int], bytes, Geometry], int]
_OF_EXTENTS: Mapping[int, _End] = {STORED_ITEM: _end_of_extent, METADATA_ITEM: _end_of_extent}
_ENDS: Mapping[int, Mapping[int, _End]] = {
    STORED_ITEM: _OF_EXTENTS,
    METADATA_ITEM: _OF_EXTENTS,
    EXTENT_CSUM: {EXTENT_CSUM: _end_of_sums},
    EXTENT_DATA: {EXTENT_DATA: _end_of_content},
}
"""By type of an item, and of the one before it, where that one ends."""


# --- one item ----------------------------------------------------------------------------


def _inode(_objectid: int, _offset: int, data: bytes, geometry: Geometry) -> None:
    inode = parse_inode(data)
    if max(inode.generation, inode.transaction) > geometry.generation + 1:
        raise FormatError("an inode from the future")


def _names_of_inode(_objectid: int, _offset: int, data: bytes, _geometry: Geometry) -> None:
    at = 0
    while at < len(data):
        size = _REF.unpack_from(data, at)[1]  # which was found to be whole when the leaf was read
        if not 0 < size <= _NAME_MOST:
            raise FormatError("an inode's name of an impossible length")
        at += _REF.size + size


def _entries(_objectid: int, _offset: int, data: bytes, geometry: Geometry) -> None:
    for entry in parse_entries(data):
        if entry.type == ROOT_ITEM and not is_subvolume(entry.objectid):
            raise FormatError("a directory entry that leads to no subvolume")
        if entry.name_bytes + entry.value_bytes > geometry.node_bytes - _LEAF_OVERHEAD_BYTES:
            raise FormatError("a directory entry that is too long")


def _xattrs(_objectid: int, _offset: int, data: bytes, geometry: Geometry) -> None:
    for entry in parse_entries(data):
        if entry.objectid or entry.type or entry.offset:
            raise FormatError("an extended attribute that leads somewhere")
        if entry.name_bytes + entry.value_bytes > geometry.node_bytes - _LEAF_OVERHEAD_BYTES:
            raise FormatError("an extended attribute that is too long")


def _content(_objectid: int, _offset: int, data: bytes, _geometry: Geometry) -> None:
    extent = parse_extent(data)
    if extent.kind == INLINE and extent.compression == NO_COMPRESSION and extent.ram_bytes > SECTOR_BYTES:
        raise FormatError("an inline extent larger than any")


def _root(objectid: int, offset: int, data: bytes, geometry: Geometry) -> None:
    generation, _, _, snapshot, _, *dropped, drop_level, _ = _ROOT.unpack_from(data, _ROOT_AT)
    second = int.from_bytes(data[_ROOT_V2_AT : _ROOT_V2_AT + 8], "little")
    if not objectid or max(generation, second, snapshot) > geometry.generation + 1:
        raise FormatError("a root item from the future, or of no tree")
    if any(dropped) or drop_level:
        raise FormatError("a subvolume that is being deleted")


def _root_ref(_objectid: int, _offset: int, data: bytes, _geometry: Geometry) -> None:
    if len(data) > 18 + _NAME_MOST:
        raise FormatError("a root reference with a name that is too long")


def _sums(_objectid: int, _offset: int, data: bytes, geometry: Geometry) -> None:
    if len(data) % geometry.checksum_bytes:
        raise FormatError("a part of a checksum")


def _group(_objectid: int, offset: int, data: bytes, _geometry: Geometry) -> None:
    if not offset or len(data) != _GROUP_BYTES:
        raise FormatError("a block group that cannot be right")
    used, owner, kind = struct.unpack("<3Q", data)
    profile = kind >> 3
    if used > offset or owner != FIRST_FREE or kind & 7 not in (1, 2, 4, 5) or profile & (profile - 1):
        raise FormatError("a block group that cannot be right")


def _dev_extent(_objectid: int, offset: int, data: bytes, _geometry: Geometry) -> None:
    if len(data) != _DEV_EXTENT_BYTES:
        raise FormatError("a device extent of another size")
    tree, owner, address, length = _DEV_EXTENT.unpack_from(data)
    if (tree, owner) != (3, FIRST_FREE) or (offset | address | length) % SECTOR_BYTES:
        raise FormatError("a device extent that cannot be right")


def _free_space(kind: int) -> Check:
    def check(objectid: int, offset: int, data: bytes, _geometry: Geometry) -> None:
        if not offset or (objectid | offset) % SECTOR_BYTES:
            raise FormatError("free space at a place where none can be")
        sizes = {FREE_SPACE_INFO: 8, FREE_SPACE_EXTENT: 0}
        bits = min(_BITMAP_MOST_BYTES, -(-offset // SECTOR_BYTES // 8))
        if len(data) != sizes.get(kind, bits):
            raise FormatError("free space of another size")

    return check


def _units_of_uuid(_objectid: int, _offset: int, data: bytes, _geometry: Geometry) -> None:
    if not data or len(data) % _UUID_UNIT:
        raise FormatError("a subvolume's identity that leads nowhere")


def _quota(kind: int) -> Check:
    def check(objectid: int, offset: int, data: bytes, _geometry: Geometry) -> None:
        if len(data) not in _QUOTA_BYTES[kind] or (objectid and kind != QGROUP_RELATION):
            raise FormatError("a quota of an unknown form")

    return check


def _anything(_objectid: int, _offset: int, _data: bytes, _geometry: Geometry) -> None:
    """Verified where it is read, or of no concern to a kernel's checks."""


CHECKS: Mapping[int, Check] = {
    **dict.fromkeys(
        (
            FREE_SPACE_HEADER, INODE_EXTREF, VERITY_DESCRIPTOR, VERITY_MERKLE, ORPHAN_ITEM, DEV_ITEM,
            CHUNK_ITEM, PERSISTENT_ITEM,
        ),
        _anything,
    ),
    INODE_ITEM: _inode, INODE_REF: _names_of_inode, XATTR_ITEM: _xattrs, DIR_ITEM: _entries,
    DIR_INDEX: _entries, EXTENT_DATA: _content, EXTENT_CSUM: _sums, ROOT_ITEM: _root, ROOT_REF: _root_ref,
    ROOT_BACKREF: _root_ref, STORED_ITEM: verify_extent(STORED_ITEM),
    METADATA_ITEM: verify_extent(METADATA_ITEM), BLOCK_GROUP_ITEM: _group, DEV_EXTENT: _dev_extent,
    **{kind: verify_backref(kind) for kind in (
        TREE_BLOCK_REF, EXTENT_DATA_REF, SHARED_BLOCK_REF, SHARED_DATA_REF,
    )},
    **{kind: _free_space(kind) for kind in (FREE_SPACE_INFO, FREE_SPACE_EXTENT, FREE_SPACE_BITMAP)},
    **{kind: _quota(kind) for kind in _QUOTA_BYTES},
    UUID_SUBVOLUME: _units_of_uuid, UUID_RECEIVED: _units_of_uuid,
}  # fmt: skip
"""By type, what an item must be."""

ALLOWED: Mapping[int, frozenset[int]] = {
    ROOT_TREE: frozenset({
        FREE_SPACE_HEADER, INODE_ITEM, INODE_REF, ORPHAN_ITEM, DIR_ITEM, EXTENT_DATA, ROOT_ITEM, ROOT_REF,
        ROOT_BACKREF,
    }),
    EXTENT_TREE: frozenset({
        STORED_ITEM, METADATA_ITEM, BLOCK_GROUP_ITEM, TREE_BLOCK_REF, EXTENT_DATA_REF, SHARED_BLOCK_REF,
        SHARED_DATA_REF,
    }),
    CHUNK_TREE: frozenset({DEV_ITEM, CHUNK_ITEM}),
    DEV_TREE: frozenset({DEV_EXTENT, PERSISTENT_ITEM}),
    CSUM_TREE: frozenset({EXTENT_CSUM}),
    QUOTA_TREE: frozenset(_QUOTA_BYTES),
    UUID_TREE: frozenset({UUID_SUBVOLUME, UUID_RECEIVED}),
    FREE_SPACE_TREE: frozenset({FREE_SPACE_INFO, FREE_SPACE_EXTENT, FREE_SPACE_BITMAP}),
    DATA_RELOC_TREE: frozenset({INODE_ITEM, INODE_REF}),
}  # fmt: skip
"""By tree, the types of items that a filesystem has which nothing is being done to: no balance, no replaced
device. In a subvolume: all of files."""

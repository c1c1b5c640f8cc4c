"""Items of a btrfs extent tree: what takes up space, and who refers to it; as a kernel wants them.

Source: Linux fs/btrfs/tree-checker.c (check_extent_item, check_simple_keyed_refs, check_extent_data_ref),
extent-tree.c (hash_extent_data_ref).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_items import FIRST_FREE, LAST_FREE, ROOT_TREE
from guestrepair.formats.btrfs_nodes import is_tree_of_files
from guestrepair.formats.btrfs_superblock import INCOMPAT_SKINNY, MAX_LEVEL, SECTOR_BYTES, Geometry
from guestrepair.formats.superblock.checksums import crc32c

STORED_ITEM, METADATA_ITEM = 168, 169
_TREE_BLOCK_REF, _EXTENT_DATA_REF, _SHARED_BLOCK_REF, _SHARED_DATA_REF = 176, 178, 182, 184
DATA_RELOC_TREE = (1 << 64) - 9

_DATA, _TREE_BLOCK, _FULL_BACKREF = 0x1, 0x2, 1 << 8
_HEAD, _DATA_REF = struct.Struct("<3Q"), struct.Struct("<3QI")
_INLINE_SIZES = {_TREE_BLOCK_REF: 9, _EXTENT_DATA_REF: 29, _SHARED_BLOCK_REF: 9, _SHARED_DATA_REF: 13}
_BLOCK_INFO_BYTES = 18
_HIGHEST = (1 << 64) - 1

_Check = Callable[[int, int, bytes, Geometry], None]


def verify_extent(kind: int) -> _Check:
    """What verifies an item of that type: something on the device, by its address.

    It raises FormatError for what a kernel may refuse.
    """

    def check(address: int, offset: int, data: bytes, geometry: Geometry) -> None:
        if address % SECTOR_BYTES or len(data) < _HEAD.size:
            raise FormatError("an extent item that cannot be right")
        references, generation, flags = _HEAD.unpack_from(data)
        is_block = flags & (_DATA | _TREE_BLOCK) == _TREE_BLOCK
        if generation > geometry.generation + 1 or (not is_block and flags & (_DATA | _TREE_BLOCK) != _DATA):
            raise FormatError("an extent item from the future, or of no kind")
        if kind == METADATA_ITEM:
            odd = not geometry.incompat & INCOMPAT_SKINNY or offset > MAX_LEVEL or not is_block
        elif is_block:
            odd = offset != geometry.node_bytes or len(data) < _HEAD.size + _BLOCK_INFO_BYTES
            odd = odd or data[_HEAD.size + _BLOCK_INFO_BYTES - 1] > MAX_LEVEL
        else:
            odd = bool(offset % SECTOR_BYTES or flags & _FULL_BACKREF)
        start = _HEAD.size + (_BLOCK_INFO_BYTES if is_block and kind == STORED_ITEM else 0)
        if odd or _inline_references(data, start) > references:
            raise FormatError("an extent item that cannot be right")

    return check


def _inline_references(data: bytes, at: int) -> int:
    """How many references those that stand behind an extent's head make, which are in order."""
    last_kind, last, count = 0, _HIGHEST, 0
    while at < len(data):
        kind = data[at]
        size = _INLINE_SIZES.get(kind)
        if size is None or at + size > len(data) or kind < last_kind:
            raise FormatError("a reference to an extent that cannot be right")
        sequence, found = _reference(kind, data[at + 1 : at + size])
        if kind == last_kind and sequence > last:
            raise FormatError("references to an extent out of order")
        last_kind, last, count, at = kind, sequence, count + found, at + size
    return count


def _reference(kind: int, data: bytes) -> tuple[int, int]:
    """What decides of its place among others of its kind, and how many references it makes."""
    if kind == _EXTENT_DATA_REF:
        return _hash(data), _data_reference(data)
    value = int.from_bytes(data[:8], "little")
    if kind != _TREE_BLOCK_REF and value % SECTOR_BYTES:
        raise FormatError("a reference to an extent from nowhere")
    count = int.from_bytes(data[8:12], "little") if kind == _SHARED_DATA_REF else 1
    if not count:
        raise FormatError("a reference to an extent that is none")
    return value, count


def _hash(data: bytes) -> int:
    return crc32c(data[:8]) << 31 ^ crc32c(data[8:24])


def _data_reference(data: bytes) -> int:
    root, inode, offset, count = _DATA_REF.unpack(data)
    allowed = is_tree_of_files(root) and not root >> 48
    if not allowed and root not in (ROOT_TREE, DATA_RELOC_TREE):
        raise FormatError("a reference to an extent from no tree of files")
    if not FIRST_FREE <= inode <= LAST_FREE or offset % SECTOR_BYTES or not count:
        raise FormatError("a reference to an extent that cannot be right")
    return int(count)


def verify_backref(kind: int) -> _Check:
    """What verifies an item of that type: a reference to an extent that had no room beside it.

    It raises FormatError for what a kernel may refuse.
    """

    def check(address: int, offset: int, data: bytes, _geometry: Geometry) -> None:
        if address % SECTOR_BYTES:
            raise FormatError("a reference to nothing")
        if kind == _EXTENT_DATA_REF:
            if not data or len(data) % _DATA_REF.size:
                raise FormatError("a reference to an extent of another size")
            for at in range(0, len(data), _DATA_REF.size):
                _data_reference(data[at : at + _DATA_REF.size])
            return
        if len(data) != (4 if kind == _SHARED_DATA_REF else 0) or (data and not any(data)):
            raise FormatError("a reference to an extent of another size")
        if kind != _TREE_BLOCK_REF and offset % SECTOR_BYTES:
            raise FormatError("a reference to an extent from nowhere")

    return check

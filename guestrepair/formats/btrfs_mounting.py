"""Is it certain that Linux mounts a btrfs filesystem, to be read and to be written to, without trying?

Certain is what every kernel since 5.10 mounts: features that all of them know, one device, no log, and all
that a mount reads whole, in its first copy, with right checksums, and as the strictest kernel wants it: the
trees of chunks, trees and devices, which must agree, the root of each other tree, all block groups, and the
top directory of each subvolume. A mount that is to be written to begins with what was left undone (deleted
files, a balance, a tree that is to be made); there must be nothing of that kind but deleted subvolumes that
are whole. Of whatever else there may be, a kernel has to say.

Source: Linux fs/btrfs/disk-io.c (open_ctree, btrfs_start_pre_rw_mount), volumes.c (btrfs_read_chunk_tree,
btrfs_verify_dev_extents), qgroup.c (btrfs_read_qgroup_config), block-group.c (btrfs_read_block_groups),
inode.c (btrfs_orphan_cleanup).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_accepted import (
    DEV_EXTENT,
    FREE_SPACE_TREE,
    QGROUP_STATUS,
    QUOTA_TREE,
    UUID_TREE,
    is_subvolume,
    verify_leaf,
)
from guestrepair.formats.btrfs_extents import DATA_RELOC_TREE
from guestrepair.formats.btrfs_items import (
    CSUM_TREE,
    DEV_TREE,
    DIRECTORY,
    EXTENT_TREE,
    FIRST_FREE,
    FS_TREE,
    INODE_ITEM,
    LAST_FREE,
    ORPHAN_ITEM,
    ROOT_ITEM,
    ROOT_TREE,
    parse_inode,
)
from guestrepair.formats.btrfs_nodes import key_of, split
from guestrepair.formats.btrfs_space import read_groups
from guestrepair.formats.btrfs_subvolumes import Roots, roots_of
from guestrepair.formats.btrfs_superblock import (
    INCOMPAT_MIXED_BACKREF,
    INCOMPAT_MIXED_GROUPS,
    RO_FREE_SPACE_TREE,
    RO_FREE_SPACE_VALID,
    SECTOR_BYTES,
    Geometry,
    Pointer,
    read_geometry,
)
from guestrepair.formats.btrfs_volume import END, Pieces, Tree, Volume
from guestrepair.formats.superblock.model import Read

MAX_SUBVOLUMES = 1000
"""Of a filesystem with more of them a kernel has to say."""

MAX_QUOTAS = 20_000
"""Items; two for each subvolume."""

_NEEDED = frozenset({EXTENT_TREE, DEV_TREE, FS_TREE, CSUM_TREE, UUID_TREE, DATA_RELOC_TREE})
_ORPHANS = (1 << 64) - 5
_HIGHEST = (1 << 64) - 1
_STATUS, _QUOTAS_ON, _QUOTAS_WRONG = struct.Struct("<4Q"), 0x1, 0x4
_DEV_EXTENT = struct.Struct("<16x2Q16x")


def mount_doubt(read: Read, size_bytes: int) -> str:
    """Why it is not certain that Linux mounts the filesystem that ``read`` reads; "" where it is.

    Raises:
        Whatever ``read`` raises.
    """
    try:
        geometry = read_geometry(read, size_bytes)
        return features_doubt(geometry) or next(_doubts(geometry, read, size_bytes), "")
    except FormatError as error:
        return f"what a mount reads is not certain: {error}"


def features_doubt(geometry: Geometry) -> str:
    """What not every kernel knows, or what one that may write to it changes first."""
    ro_compat, mixed = geometry.ro_compat, bool(geometry.incompat & INCOMPAT_MIXED_GROUPS)
    if ro_compat & ~(RO_FREE_SPACE_TREE | RO_FREE_SPACE_VALID):
        return "it has features that not every kernel knows"
    if not geometry.incompat & INCOMPAT_MIXED_BACKREF or (mixed and geometry.node_bytes != SECTOR_BYTES):
        return "it is of an unusual form"
    in_tree = bool(ro_compat & RO_FREE_SPACE_TREE)
    if in_tree != bool(ro_compat & RO_FREE_SPACE_VALID) or in_tree == bool(geometry.cache_generation):
        return "how its free space is kept is to be changed by the next mount"
    return ""


def _doubts(geometry: Geometry, read: Read, size_bytes: int) -> Iterator[str]:
    pieces = Pieces(read, geometry.device_bytes)
    volume = Volume(geometry, pieces, verify=verify_leaf, first_copy_only=True)
    volume.load_chunks()
    if volume.device.total_bytes > min(geometry.total_bytes, size_bytes):
        yield "its device is said to be larger than it is"
    if volume.device.total_bytes != geometry.device_bytes:
        yield "the size of its device is told in two ways"
    roots = roots_of(volume)
    yield from _deleted_doubts(roots)
    yield from _trees_doubts(roots)
    _verify_device_extents(volume, roots)
    read_groups(roots)
    yield from _subvolumes_doubts(roots)


def _deleted(volume: Volume) -> list[int]:
    """What the tree of trees says is deleted; each tree of the filesystem itself is there once.

    Raises:
        FormatError: else.
    """
    top, found = Tree(ROOT_TREE, volume.geometry.roots), list[int]()
    _verify_highest(volume, top)
    for key, _ in volume.items(top, 0, END):
        objectid, kind, offset = split(key)
        if kind == ROOT_ITEM and offset and not is_subvolume(objectid):
            raise FormatError(f"the tree {objectid} is there several times")
        if kind == ORPHAN_ITEM:
            found.append(offset)
        if len(found) > MAX_SUBVOLUMES or (kind == ORPHAN_ITEM and objectid != _ORPHANS):
            raise FormatError("more has been deleted than is looked at, or in an unusual way")
    return found


def _deleted_doubts(roots: Roots) -> Iterator[str]:
    """Deleted subvolumes are looked up by a mount, and removed after it, where all is as it has to be."""
    volume = roots.volume
    top = Tree(ROOT_TREE, volume.geometry.roots)
    for number in _deleted(volume):
        item = roots.items.get(number)
        # An inode of that number would be one of the older files of free space.
        is_file = volume.item(top, key_of(number, INODE_ITEM, 0)) is not None
        if item is None or item.references or is_file:
            yield "what is left of a deleted subvolume or file is to be removed by the next mount"
        else:
            dead = Tree(number, Pointer(item.address, item.level, item.generation))
            volume.root_node(dead)
            _verify_highest(volume, dead)


def _verify_highest(volume: Volume, tree: Tree) -> None:
    found = volume.last_until(tree, 0, key_of(LAST_FREE, 255, _HIGHEST))
    if found is not None and found[0] >> 72 == LAST_FREE:
        raise FormatError(f"no number is left in the tree {tree.owner}")


def _trees_doubts(roots: Roots) -> Iterator[str]:
    """The trees of the filesystem itself: those that it has to have, and none that is not known."""
    in_tree = roots.volume.geometry.ro_compat & RO_FREE_SPACE_TREE
    needed = _NEEDED | {FREE_SPACE_TREE} if in_tree else _NEEDED
    others = set(roots.items) - needed
    if needed - set(roots.items):
        yield "it lacks a tree, which the next mount makes"
    if not all(map(is_subvolume, others - {QUOTA_TREE})):
        yield "it has a tree that not every kernel knows"
    if QUOTA_TREE in others:
        yield from _quota_doubts(roots)
    for number in sorted(needed):
        roots.volume.root_node(roots.tree(number))
    reloc = roots.tree(DATA_RELOC_TREE)
    _verify_highest(roots.volume, reloc)
    if _has_orphans(roots.volume, reloc) or _top(roots.volume, reloc) is None:
        yield "something is left of a balance"


def _quota_doubts(roots: Roots) -> Iterator[str]:
    """All of them are read by a mount; what they count may be wrong, which a kernel says, and no more."""
    for count, (key, data) in enumerate(roots.volume.items(roots.tree(QUOTA_TREE), 0, END)):
        if count > MAX_QUOTAS:
            yield "it has more quotas than are looked at"
        if split(key)[1] == QGROUP_STATUS:
            version, _, flags, _ = _STATUS.unpack_from(data)
            if version != 1 or flags & ~(_QUOTAS_ON | _QUOTAS_WRONG) or not flags & _QUOTAS_ON:
                yield "its quotas are being counted, or of an unknown form"


def _verify_device_extents(volume: Volume, roots: Roots) -> None:
    """That chunks and what the device is said to hold of them agree.

    Raises:
        FormatError: they do not.
    """
    told: set[tuple[int, int, int]] = set()
    end = 0
    for key, data in volume.items(roots.tree(DEV_TREE), 0, END):
        device, kind, start = split(key)
        if kind != DEV_EXTENT:
            continue
        address, length = _DEV_EXTENT.unpack(data)
        if device != volume.geometry.device_id or start < end or start + length > volume.device.total_bytes:
            raise FormatError("what a device holds lies over each other, or beyond it")
        end = start + length
        told.add((address, length, start))
    wanted = [(chunk.address, chunk.length, start) for chunk in volume.chunks for start in chunk.copies]
    if told != set(wanted) or len(told) != len(wanted):
        raise FormatError("chunks and what the device holds of them do not agree")


def _subvolumes_doubts(roots: Roots) -> Iterator[str]:
    """Each has its top directory, and nothing in it waits to be deleted."""
    numbers = sorted(n for n, item in roots.items.items() if is_subvolume(n) and item.references)
    if len(numbers) > MAX_SUBVOLUMES:
        yield "it has more subvolumes than are looked at"
    if roots.default not in numbers:
        yield "which subvolume a mount shows is not certain"
    for number in numbers:
        tree = roots.tree(number)
        if _top(roots.volume, tree) != DIRECTORY:
            yield f"the top directory of the subvolume {number} is damaged"
        if _has_orphans(roots.volume, tree):
            yield f"deleted files wait to be removed from the subvolume {number}"
        _verify_highest(roots.volume, tree)


def _top(volume: Volume, tree: Tree) -> int | None:
    """The format bits of the inode that a tree of files begins with; None: there is none."""
    data = volume.item(tree, key_of(FIRST_FREE, INODE_ITEM, 0))
    return None if data is None else parse_inode(data).kind


def _has_orphans(volume: Volume, tree: Tree) -> bool:
    first, last = key_of(_ORPHANS, ORPHAN_ITEM, 0), key_of(_ORPHANS, ORPHAN_ITEM, _HIGHEST)
    return any(True for _ in volume.items(tree, first, last))

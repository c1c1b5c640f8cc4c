"""The subvolumes of a btrfs: their trees, where they hang, and which of them a mount shows.

Source: btrfs-subvolume(8); Linux fs/btrfs/super.c (get_default_subvol_objectid, mount_subvol), inode.c
(fixup_tree_root_location).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_items import (
    DIR_ITEM,
    FIRST_FREE,
    FS_TREE,
    INODE_REF,
    LAST_FREE,
    ROOT_BACKREF,
    ROOT_ITEM,
    ROOT_REF,
    ROOT_TREE,
    ROOT_TREE_DIRECTORY,
    RootItem,
    name_hash,
    parse_entries,
    parse_root,
    parse_root_ref,
)
from guestrepair.formats.btrfs_nodes import is_tree_of_files, key_of, split
from guestrepair.formats.btrfs_superblock import Pointer, read_geometry
from guestrepair.formats.btrfs_volume import END, Tree, Volume, open_volume
from guestrepair.formats.superblock.model import Read

MAX_ROOTS = 20_000
MAX_PATH_BYTES = 4096
_MAX_CLIMBS = 200_000
"""Directories that are passed on the way from all subvolumes to the top."""

_MAX_ITEMS = 1_000_000
"""In the tree of trees, which also holds the inodes of older caches of free space."""

_REF_HEAD_BYTES = 10
_DEFAULT = b"default"


class Parent(NamedTuple):
    """Where a subvolume hangs: in a directory of another one, by a name."""

    tree: int
    directory: int
    name: bytes


@dataclass(frozen=True, slots=True)
class Roots:
    """The trees of a filesystem by number, and where each subvolume hangs."""

    volume: Volume
    items: Mapping[int, RootItem]
    parents: Mapping[int, Parent]
    default: int
    """The subvolume that a mount without ``subvol=`` shows."""

    def tree(self, number: int) -> Tree:
        """The tree of that number.

        Raises:
            FormatError: there is none, or it is being deleted.
        """
        item = self.items.get(number)
        if item is None or not item.references or item.generation > self.volume.geometry.generation:
            raise FormatError(f"no tree has the number {number}")
        if is_tree_of_files(number) and item.directory != FIRST_FREE:
            raise FormatError(f"the subvolume {number} begins at an unusual place")
        return Tree(number, Pointer(item.address, item.level, item.generation))

    def hangs(self, number: int, parent: Parent) -> bool:
        """Whether a name in a directory really leads to a subvolume that is there."""
        item = self.items.get(number)
        return item is not None and bool(item.references) and self.parents.get(number) == parent

    def paths(self) -> Iterator[tuple[int, bytes]]:
        """Number and path, from the top of the filesystem, of each subvolume below it, by number.

        Raises:
            FormatError: a path is not certain.
        """
        known: dict[tuple[int, int], bytes] = {}
        climbs = iter(range(_MAX_CLIMBS))
        for number in sorted(self.items):
            item = self.items[number]
            if not FIRST_FREE <= number <= LAST_FREE or not item.references:
                continue
            parts: list[bytes] = []
            at = number
            while at != FS_TREE:
                parent = self.parents.get(at)
                last = next(climbs, None) is None
                if parent is None or last or sum(map(len, parts)) > MAX_PATH_BYTES:
                    raise FormatError(f"where the subvolume {number} hangs is not certain")
                key = (parent.tree, parent.directory)
                if key not in known:
                    known[key] = self._inside(*key, climbs)
                parts += [parent.name, known[key]]
                at = parent.tree
            yield number, b"/".join(filter(None, reversed(parts)))

    def _inside(self, number: int, directory: int, climbs: Iterator[int]) -> bytes:
        """The path of a directory in its own subvolume."""
        tree, parts = self.tree(number), list[bytes]()
        while directory != FIRST_FREE:
            directory, name = parent_of(self.volume, tree, directory)
            parts.append(name)
            if len(parts) > MAX_PATH_BYTES // 2 or next(climbs, None) is None:
                raise FormatError("a directory that lies too deep, or in itself")
        return b"/".join(reversed(parts))


def parent_of(volume: Volume, tree: Tree, directory: int) -> tuple[int, bytes]:
    """The directory that holds a directory of the same tree, and the name there.

    Raises:
        FormatError: not exactly one.
    """
    first = key_of(directory, INODE_REF, 0)
    items = volume.items(tree, first, key_of(directory, INODE_REF + 1, (1 << 64) - 1))
    found = list(itertools.islice(items, 2))
    if len(found) != 1 or split(found[0][0])[1] != INODE_REF:
        raise FormatError("a directory that lies in several others, or in none")
    key, data = found[0]
    if len(data) != _REF_HEAD_BYTES + int.from_bytes(data[8:10], "little"):
        raise FormatError("a directory of several names")
    return split(key)[2], data[_REF_HEAD_BYTES:]


def read_roots(read: Read, size_bytes: int) -> Roots:
    """All trees of the filesystem on a device of that size.

    Raises:
        FormatError: it is none, or not certain; whatever ``read`` raises.
    """
    return roots_of(open_volume(read_geometry(read, size_bytes), read))


def roots_of(volume: Volume) -> Roots:
    """All trees of a filesystem that is open.

    Raises:
        FormatError: they are not certain; whatever reading the device raises.
    """
    items: dict[int, RootItem] = {}
    up: dict[int, Parent] = {}
    down: dict[int, Parent] = {}
    top = Tree(ROOT_TREE, volume.geometry.roots)
    for count, (key, data) in enumerate(volume.items(top, 0, END)):
        objectid, kind, offset = split(key)
        if kind == ROOT_ITEM:
            items[objectid] = parse_root(data)  # of several (snapshots have one each), the last counts
        elif kind in (ROOT_REF, ROOT_BACKREF):
            child, parent = (offset, objectid) if kind == ROOT_REF else (objectid, offset)
            into = down if kind == ROOT_REF else up
            if child in into:
                raise FormatError("a subvolume that hangs in several places")
            into[child] = Parent(parent, *parse_root_ref(data))
        if count > _MAX_ITEMS or max(len(items), len(up), len(down)) > MAX_ROOTS:
            raise FormatError("a btrfs of more subvolumes than are looked at")
    if up != down:
        raise FormatError("subvolumes whose places are told in two ways")
    return Roots(volume, items, up, _default(volume, top))


def _default(volume: Volume, top: Tree) -> int:
    data = volume.item(top, key_of(ROOT_TREE_DIRECTORY, DIR_ITEM, name_hash(_DEFAULT)))
    if data is None:
        return FS_TREE
    found = [entry for entry in parse_entries(data) if entry.name == _DEFAULT]
    if len(found) != 1 or found[0].type != ROOT_ITEM:
        raise FormatError("which subvolume a mount shows is not certain")
    return found[0].objectid


def list_subvolumes(read: Read, size_bytes: int) -> list[tuple[int, bytes]] | None:
    """Number and path of each subvolume, as ``btrfs subvolume list`` has them; None: not certain."""
    try:
        return list(read_roots(read, size_bytes).paths())
    except FormatError:
        return None

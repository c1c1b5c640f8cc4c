"""A btrfs subvolume: names, attributes, link targets and content, by number.

Only what is certain is given out: of every tree block the checksum and all that the kernel verifies, of
every sector of content its checksum. Everything else is None, and is left to the kernel.

Numbers are those of inodes; of what lies in a subvolume nested in the one that was opened, the subvolume's
own number stands above the 64 bits of the inode's, so that no two files have the same.

Source: Linux include/uapi/linux/btrfs_tree.h, fs/btrfs/inode.c (btrfs_lookup_dentry, btrfs_real_readdir,
btrfs_read_locked_inode).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from guestrepair.errors import FormatError
from guestrepair.formats.attribute_values import MAX_BYTES, given_out
from guestrepair.formats.btrfs_content import Content
from guestrepair.formats.btrfs_items import (
    DIR_INDEX,
    DIR_ITEM,
    DIRECTORY,
    EXTENT_DATA,
    FIRST_FREE,
    FS_TREE,
    INLINE,
    INLINE_AT,
    INODE_ITEM,
    LAST_FREE,
    NO_COMPRESSION,
    REGULAR,
    ROOT_ITEM,
    SYMLINK,
    XATTR_ITEM,
    Entry,
    Inode,
    parse_attributes,
    parse_entries,
    parse_extent,
    parse_inode,
)
from guestrepair.formats.btrfs_nodes import key_of
from guestrepair.formats.btrfs_subvolumes import Parent, Roots, parent_of, read_roots
from guestrepair.formats.btrfs_volume import Tree
from guestrepair.formats.extents import Layout
from guestrepair.formats.file_attributes import Attributes, Former, Found, Space, Unsure
from guestrepair.formats.superblock.model import Read

T = TypeVar("T")

_HIGHEST = (1 << 64) - 1
NOWHERE = _HIGHEST << 64 | 2
"""What the name of a subvolume leads to that does not hang there, as in a snapshot: an empty directory."""

MAX_NAMES = 200_000
"""A directory of more names is left to the kernel."""

_KEPT_NAMES = 100_000
_KEPT_INODES = 10_000
_LINK_MOST_BYTES = 4095
_PROPERTIES = b"btrfs."
_UNCLEAR = -1
"""The kind of what several names call different things."""


def subvolume_of(number: int) -> int:
    """The nested subvolume that a number belongs to; 0: the one that was opened."""
    return number >> 64


@dataclass(slots=True)
class BtrfsTree:
    """One subvolume and those nested in it; ``roots`` is None where the filesystem is not certain."""

    roots: Roots | None
    opened: int = FS_TREE
    _content: Content | None = field(init=False, default=None)
    _kept: dict[int, tuple[Mapping[bytes, int], dict[int, int]]] = field(init=False, default_factory=dict)
    """By directory, names to numbers, and the format bits that the entries tell of each number."""
    _names: int = field(init=False, default=0)
    _kinds: dict[int, int] = field(init=False, default_factory=dict)
    _inodes: dict[int, Inode] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._content = None if self.roots is None else Content(self.roots)

    @property
    def root(self) -> int:
        """The number of the top directory."""
        return FIRST_FREE

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their numbers; None: not certain."""
        return self._certain(lambda roots: self._directory(roots, directory))

    def parent(self, directory: int) -> int | None:
        """The number of the directory that holds a directory; None: not certain."""
        return self._certain(lambda roots: self._parent(roots, directory))

    def attributes(self, number: int) -> Attributes | None:
        """What an inode in use says; None: not certain."""
        inode = self.inode(number)
        if inode is None:
            return None
        return Attributes(
            inode=number & _HIGHEST,
            mode=inode.mode,
            uid=inode.uid,
            gid=inode.gid,
            size_bytes=inode.size,
            links=inode.links,
            mtime=inode.mtime,
            ctime=inode.ctime,
        )

    def inode(self, number: int) -> Inode | None:
        """The fields of an inode in use; None: not certain."""
        return self._certain(lambda roots: self._inode(roots, number))

    def xattrs(self, number: int) -> Mapping[bytes, bytes] | None:
        """The extended attributes of an inode in use; None: not certain."""
        return self._certain(lambda roots: self._xattrs(roots, number))

    def link_target(self, number: int) -> bytes | None:
        """Where a symbolic link leads, empty for what is none; None: not certain."""
        return self._certain(lambda roots: self._target(roots, number))

    def space(self) -> Space | None:
        """What statfs(2) says of it; None: not certain."""
        from guestrepair.formats.btrfs_space import space as counted  # where it is asked for, mostly once

        return self._certain(counted)

    def layout(self, number: int) -> Layout | None:
        """None: a file's content is given by :meth:`content`, which verifies it."""
        return None

    def content(self, number: int, offset: int, size: int) -> bytes | None:
        """Bytes of a regular file, short at its end; None: not certain."""
        return self._certain(lambda roots: self._bytes(roots, number, offset, size))

    def deletion_times(
        self, directory: int, wanted: Collection[bytes] | None = None
    ) -> Mapping[bytes, int] | None:
        """None: a directory keeps no traces of names that are gone."""
        return None

    def records(self, beyond: Collection[bytes]) -> Iterator[Found | Unsure]:
        """Every name with all its times; not what lies below ``beyond``."""
        from guestrepair.formats.btrfs_records import records  # which is built on this

        return records(self, beyond)

    def former_files(self) -> Iterator[Former]:
        """None: there is no journal of what was."""
        return iter(())

    def adopt(self, former: BtrfsTree, is_unchanged: Callable[[int, int], bool]) -> None:
        """Nothing is kept: after a write, tree blocks lie elsewhere."""

    # --- what raises FormatError --------------------------------------------------------

    def _certain(self, question: Callable[[Roots], T]) -> T | None:
        if self.roots is None:
            return None
        try:
            return question(self.roots)
        except FormatError:
            return None

    def _tree(self, roots: Roots, number: int) -> Tree:
        return roots.tree(subvolume_of(number) or self.opened)

    def _number(self, subvolume: int, objectid: int) -> int:
        return objectid if subvolume == self.opened else subvolume << 64 | objectid

    def _inode(self, roots: Roots, number: int) -> Inode:
        inode = self._inodes.get(number)
        if inode is None:
            objectid = number & _HIGHEST
            tree = self._tree(roots, number)
            data = roots.volume.item(tree, key_of(objectid, INODE_ITEM, 0))
            if data is None or not FIRST_FREE <= objectid <= LAST_FREE:
                raise FormatError(f"there is no inode {objectid}")
            inode = parse_inode(data)
            if not inode.links or inode.size >= 1 << 63:
                raise FormatError(f"the inode {objectid} is not in use")
            if len(self._inodes) >= _KEPT_INODES:
                self._inodes.clear()
            self._inodes[number] = inode
        if self._kinds.get(number, inode.kind) != inode.kind:
            raise FormatError(f"an entry calls the inode {number} something else")
        return inode

    def _directory(self, roots: Roots, number: int) -> Mapping[bytes, int]:
        if number not in self._kept:
            if self._inode(roots, number).kind != DIRECTORY:
                raise FormatError("no directory")
            self._keep(number, *self._read_directory(roots, number))
        return self._kept[number][0]

    def _read_directory(self, roots: Roots, number: int) -> tuple[dict[bytes, int], dict[int, int]]:
        """What a directory holds: told twice, for lookups by hash and for listings, which must agree."""
        tree, objectid = self._tree(roots, number), number & _HIGHEST
        by_hash: dict[bytes, tuple[int, ...]] = {}
        for entry in _entries(roots, tree, objectid, DIR_ITEM):
            if entry.name in by_hash or len(by_hash) >= MAX_NAMES or not _is_name(entry.name):
                raise FormatError("a name that is there twice, is none, or one too many")
            by_hash[entry.name] = (*entry[:3], entry.kind)
        names: dict[bytes, int] = {}
        kinds: dict[int, int] = {}
        for entry in _entries(roots, tree, objectid, DIR_INDEX):
            if by_hash.pop(entry.name, None) != (*entry[:3], entry.kind):
                raise FormatError("a directory whose two lists differ")
            reached = names[entry.name] = self._reached(roots, tree, objectid, entry)
            told = entry.format_bits
            kinds[reached] = told if kinds.get(reached, told) == told else _UNCLEAR
        if by_hash or number in kinds:
            raise FormatError("a directory whose two lists differ, or that holds itself")
        return names, kinds

    def _reached(self, roots: Roots, tree: Tree, directory: int, entry: Entry) -> int:
        """The number of what an entry leads to."""
        if entry.type == INODE_ITEM:
            return self._number(tree.owner, entry.objectid)
        if entry.type != ROOT_ITEM or entry.format_bits != DIRECTORY:
            raise FormatError("an entry that leads nowhere")
        hangs = roots.hangs(entry.objectid, Parent(tree.owner, directory, entry.name))
        return self._number(entry.objectid, FIRST_FREE) if hangs else NOWHERE

    def _keep(self, number: int, names: dict[bytes, int], kinds: dict[int, int]) -> None:
        while self._kept and self._names + len(names) > _KEPT_NAMES:
            gone, told = self._kept.pop(next(iter(self._kept)))
            self._names -= len(gone)
            for each in told:
                self._kinds.pop(each, None)
        self._kept[number] = (names, kinds)
        self._names += len(names)
        for each, kind in kinds.items():
            self._kinds[each] = kind if self._kinds.get(each, kind) == kind else _UNCLEAR

    def _parent(self, roots: Roots, number: int) -> int:
        subvolume, objectid = subvolume_of(number) or self.opened, number & _HIGHEST
        if objectid != FIRST_FREE:
            return self._number(subvolume, parent_of(roots.volume, roots.tree(subvolume), objectid)[0])
        if subvolume == self.opened:
            return number
        parent = roots.parents.get(subvolume)
        if parent is None:
            raise FormatError(f"the subvolume {subvolume} hangs nowhere")
        return self._number(parent.tree, parent.directory)

    def _xattrs(self, roots: Roots, number: int) -> Mapping[bytes, bytes]:
        special = self._inode(roots, number).kind not in (REGULAR, DIRECTORY)
        tree, objectid = self._tree(roots, number), number & _HIGHEST
        found: dict[bytes, bytes] = {}
        size = 0
        for _, data in roots.volume.items(
            tree, key_of(objectid, XATTR_ITEM, 0), key_of(objectid, XATTR_ITEM, _HIGHEST)
        ):
            for name, value in parse_attributes(data):
                size += len(name) + len(value)
                if name in found or size > MAX_BYTES:
                    raise FormatError("an attribute that is there twice, or one too many")
                found[name] = value
        known = given_out(found, is_special=special, others=(_PROPERTIES,))
        if known is None:
            raise FormatError("an attribute that is not known here")
        return known

    def _target(self, roots: Roots, number: int) -> bytes:
        inode = self._inode(roots, number)
        if inode.kind != SYMLINK:
            return b""
        data = roots.volume.item(self._tree(roots, number), key_of(number & _HIGHEST, EXTENT_DATA, 0))
        extent = None if data is None else parse_extent(data)
        if data is None or extent is None or extent.kind != INLINE or extent.compression != NO_COMPRESSION:
            raise FormatError("a link whose target does not lie beside its inode")
        # mkfs.btrfs --rootdir stores a zero behind it, which the size leaves out.
        target = data[INLINE_AT : INLINE_AT + inode.size]
        if len(target) != inode.size or len(target) > _LINK_MOST_BYTES or not target or b"\0" in target:
            raise FormatError("a link whose target is of another length")
        return target

    def _bytes(self, roots: Roots, number: int, offset: int, size: int) -> bytes:
        inode = self._inode(roots, number)
        if inode.kind != REGULAR or self._content is None:
            raise FormatError("no regular file")
        return self._content.get(self._tree(roots, number), number & _HIGHEST, inode, offset, size)


def _entries(roots: Roots, tree: Tree, directory: int, kind: int) -> Iterator[Entry]:
    first, last = key_of(directory, kind, 0), key_of(directory, kind, _HIGHEST)
    for _, data in roots.volume.items(tree, first, last):
        yield from parse_entries(data)


def _is_name(name: bytes) -> bool:
    return b"/" not in name and b"\0" not in name and name not in (b".", b"..")


def open_tree(read: Read, size_bytes: int) -> BtrfsTree:
    """What a mount of the filesystem that ``read`` reads shows: its default subvolume.

    Raises:
        Whatever ``read`` raises.
    """
    try:
        roots = read_roots(read, size_bytes)
        roots.tree(roots.default)
    except FormatError:
        return BtrfsTree(None)
    return BtrfsTree(roots, roots.default)


def open_subvolume(opened: object, path: str) -> BtrfsTree:
    """Another subvolume of a filesystem that is open, by its path from the top; they share what was read.

    Raises:
        Whatever reading the device raises.
    """
    roots = opened.roots if isinstance(opened, BtrfsTree) else None
    try:
        number = None if roots is None else _subvolume(roots, path.encode(errors="surrogateescape"))
    except FormatError:
        number = None
    return BtrfsTree(None) if number is None else BtrfsTree(roots, number)


def _subvolume(roots: Roots, path: bytes) -> int:
    """The number of a subvolume by its path, gone name by name as a mount does.

    Raises:
        FormatError: no subvolume is there, or that is not certain.
    """
    top, number = BtrfsTree(roots), FIRST_FREE
    for part in filter(None, path.split(b"/")):
        names = top.names(number)
        if names is None or part not in names:
            raise FormatError("no such subvolume")
        above, number = number, names[part]
        if top.parent(number) != above:
            raise FormatError("a directory that lies elsewhere")
    if number & _HIGHEST != FIRST_FREE or number == NOWHERE:
        raise FormatError("no subvolume")
    return subvolume_of(number) or FS_TREE

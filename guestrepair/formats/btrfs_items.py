"""The items of btrfs trees that tell of files: what each holds, and which of them a kernel refuses.

A kernel looks at all items of a leaf when it reads it, and refuses them all for one that cannot be right.

Source: Linux include/uapi/linux/btrfs_tree.h, fs/btrfs/tree-checker.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_superblock import MAX_LEVEL, SECTOR_BYTES
from guestrepair.formats.superblock.checksums import crc32c

INODE_ITEM, INODE_REF, INODE_EXTREF, XATTR_ITEM, VERITY_DESCRIPTOR, VERITY_MERKLE = 1, 12, 13, 24, 36, 37
ORPHAN_ITEM, DIR_ITEM, DIR_INDEX, EXTENT_DATA, EXTENT_CSUM = 48, 84, 96, 108, 128
ROOT_ITEM, ROOT_BACKREF, ROOT_REF, DEV_ITEM, CHUNK_ITEM = 132, 144, 156, 216, 228
ROOT_TREE, EXTENT_TREE, CHUNK_TREE, DEV_TREE, FS_TREE, ROOT_TREE_DIRECTORY, CSUM_TREE = 1, 2, 3, 4, 5, 6, 7
FIRST_FREE, LAST_FREE = 256, (1 << 64) - 256
CSUM_OBJECTS = (1 << 64) - 10
FREE_INO = (1 << 64) - 12

REGULAR, DIRECTORY, SYMLINK = 0x8000, 0x4000, 0xA000
_KINDS = {1: 0x8000, 2: 0x4000, 3: 0x2000, 4: 0x6000, 5: 0x1000, 6: 0xC000, 7: 0xA000}
"""The format bits of a mode by the type that stands in a directory's entry."""
_XATTR_TYPE = 8

NODATASUM = 1
_KNOWN_INODE_FLAGS = 0xFFF | 1 << 31
_KNOWN_RO_FLAGS = 1
"""fs-verity."""
_KNOWN_ROOT_FLAGS = 1 | 1 << 48
"""Read-only; being deleted."""

INLINE, STORED, PREALLOCATED = 0, 1, 2
NO_COMPRESSION, ZLIB, LZO, ZSTD = 0, 1, 2, 3
INLINE_AT = 21

_INODE = struct.Struct("<5Q4I3Q32xqIqIqIqI")
_EXTENT = struct.Struct("<QQBBHB4Q")
_EXTENT_HEAD = struct.Struct("<QQBBHB")
_ENTRY = struct.Struct("<QBQQHHB")
_REF, _EXTREF, _ROOT_REF = struct.Struct("<QH"), struct.Struct("<QQH"), struct.Struct("<QQH")
_ROOT = struct.Struct("<7QI17xBB")
_ROOT_LEAST_BYTES, _ROOT_MOST_BYTES = 239, 439
_NAME_MOST = 255


class Inode(NamedTuple):
    """The fields of an inode item; times in seconds and nanoseconds."""

    generation: int
    transaction: int
    size: int
    bytes_used: int
    block_group: int
    links: int
    uid: int
    gid: int
    mode: int
    device: int
    flags: int
    sequence: int
    atime: int
    atime_ns: int
    ctime: int
    ctime_ns: int
    mtime: int
    mtime_ns: int
    otime: int
    otime_ns: int

    @property
    def kind(self) -> int:
        """The format bits of its mode."""
        return self.mode & 0xF000

    @property
    def has_checksums(self) -> bool:
        """Whether its content is verified by the checksum tree."""
        return not self.flags & NODATASUM

    @property
    def has_verity(self) -> bool:
        """Whether fs-verity protects it: the kernel then asks more of its content."""
        return bool(self.flags >> 32)


class Entry(NamedTuple):
    """An entry of a directory, or an extended attribute."""

    objectid: int
    type: int
    offset: int
    transaction: int
    value_bytes: int
    name_bytes: int
    kind: int
    name: bytes

    @property
    def format_bits(self) -> int:
        """Those that the mode of what it leads to must have; -1 for a type that is none of a file."""
        return _KINDS.get(self.kind, -1)


class FileExtent(NamedTuple):
    """A piece of a file's content; of an inline one ``address`` and what follows are 0."""

    generation: int
    ram_bytes: int
    compression: int
    encryption: int
    encoding: int
    kind: int
    address: int
    disk_bytes: int
    offset: int
    length: int


class RootItem(NamedTuple):
    """Where a tree begins, and how many directories lead to it (0: it is being deleted)."""

    generation: int
    directory: int
    address: int
    level: int
    references: int


def parse_inode(data: bytes) -> Inode:
    """An inode item.

    Raises:
        FormatError: one that a kernel may refuse.
    """
    if len(data) != _INODE.size:
        raise FormatError("an inode item of another size")
    inode = Inode._make(_INODE.unpack(data))
    kind = inode.kind
    if inode.mode & ~0xFFFF or kind not in _KINDS.values():
        raise FormatError("an inode of no kind")
    if inode.flags & 0xFFFFFFFF & ~_KNOWN_INODE_FLAGS or inode.flags >> 32 & ~_KNOWN_RO_FLAGS:
        raise FormatError("an inode with unknown flags")
    if kind == DIRECTORY and inode.links > 1:
        raise FormatError("a directory of several names")
    if max(inode.atime_ns, inode.ctime_ns, inode.mtime_ns, inode.otime_ns) >= 1_000_000_000:
        raise FormatError("an inode with a time that is none")
    return inode


def name_hash(name: bytes) -> int:
    """The offset in the key of an entry of that name."""
    return crc32c(name, 0xFFFFFFFE)


def parse_entries(data: bytes) -> Iterator[Entry]:
    """The entries of an item: one, or several whose names have the same hash.

    Raises:
        FormatError: one that a kernel may refuse.
    """
    at, size = 0, len(data)
    while at < size:
        if at + _ENTRY.size > size:
            raise FormatError("a directory entry is cut short")
        head = _ENTRY.unpack_from(data, at)
        value_bytes, name_bytes, kind = head[4:]
        end = at + _ENTRY.size + name_bytes + value_bytes
        if end > size or not 0 < name_bytes <= _NAME_MOST or (value_bytes and kind != _XATTR_TYPE):
            raise FormatError("a directory entry that cannot be right")
        name = data[at + _ENTRY.size : at + _ENTRY.size + name_bytes]
        yield Entry._make((*head, name))
        at = end


def parse_attributes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of an item of extended attributes.

    Raises:
        FormatError: one that a kernel may refuse.
    """
    at = 0
    for entry in parse_entries(data):
        at += _ENTRY.size + entry.name_bytes + entry.value_bytes
        yield entry.name, data[at - entry.value_bytes : at]


def parse_extent(data: bytes) -> FileExtent:
    """A piece of a file.

    Raises:
        FormatError: one that a kernel may refuse, or encoded in an unknown way.
    """
    if len(data) < INLINE_AT:
        raise FormatError("a file extent is cut short")
    head = _EXTENT_HEAD.unpack_from(data)
    _, ram_bytes, compression, encryption, encoding, kind = head
    if kind > PREALLOCATED or compression > ZSTD or encryption or encoding:
        raise FormatError("a file extent of an unknown kind")
    if kind == INLINE:
        if compression == NO_COMPRESSION and len(data) != INLINE_AT + ram_bytes:
            raise FormatError("an inline extent of another size")
        return FileExtent._make((*head, 0, 0, 0, 0))
    if len(data) != _EXTENT.size:
        raise FormatError("a file extent of another size")
    extent = FileExtent._make(_EXTENT.unpack(data))
    if any(n % SECTOR_BYTES for n in (ram_bytes, *extent[6:])):
        raise FormatError("a file extent that no sector begins with")
    return extent


def parse_root(data: bytes) -> RootItem:
    """A root item.

    Raises:
        FormatError: one that a kernel may refuse.
    """
    if len(data) not in (_ROOT_LEAST_BYTES, _ROOT_MOST_BYTES):
        raise FormatError("a root item of another size")
    generation, directory, address, _, _, _, flags, references, drop_level, level = _ROOT.unpack_from(
        data, 160
    )
    if flags & ~_KNOWN_ROOT_FLAGS or max(level, drop_level) > MAX_LEVEL or address % SECTOR_BYTES:
        raise FormatError("a root item that cannot be right")
    return RootItem(generation, directory, address, level, references)


def parse_root_ref(data: bytes) -> tuple[int, bytes]:
    """The directory that leads to a subvolume, and the name there.

    Raises:
        FormatError: cut short.
    """
    if len(data) < _ROOT_REF.size:
        raise FormatError("a root reference is cut short")
    directory, _, name_bytes = _ROOT_REF.unpack_from(data)
    if len(data) != _ROOT_REF.size + name_bytes or not name_bytes:
        raise FormatError("a root reference of another size")
    return directory, data[_ROOT_REF.size :]


def parse_refs(data: bytes) -> int:
    """How many names of an inode in one directory an item tells of.

    Raises:
        FormatError: one that a kernel may refuse.
    """
    return _count(data, _REF)


def parse_extrefs(data: bytes) -> int:
    """The same of an item for names that had no room in those.

    Raises:
        FormatError: one that a kernel may refuse.
    """
    return _count(data, _EXTREF)


def _count(data: bytes, head: struct.Struct) -> int:
    at, found, size = 0, 0, len(data)
    while at < size:
        if at + head.size > size:
            raise FormatError("an inode's name is cut short")
        at += head.size + head.unpack_from(data, at)[-1]
        found += 1
    if at != size or not found:
        raise FormatError("an inode's name is cut short")
    return found


# --- the checks of a leaf ----------------------------------------------------------------


def _check_inode(objectid: int, offset: int, data: bytes) -> None:
    allowed = FIRST_FREE <= objectid <= LAST_FREE or objectid in (ROOT_TREE_DIRECTORY, FREE_INO)
    if offset or not allowed:
        raise FormatError("an inode item with another key")
    parse_inode(data)


def _check_names(objectid: int, offset: int, data: bytes) -> None:
    for entry in parse_entries(data):
        _check_location(entry)
        if name_hash(entry.name) != offset:
            raise FormatError("a directory entry with another hash")


def _check_index(objectid: int, offset: int, data: bytes) -> None:
    found = list(parse_entries(data))
    for entry in found:
        _check_location(entry)
    if len(found) != 1:
        raise FormatError("a directory index of several names")


def _check_location(entry: Entry) -> None:
    allowed = entry.type == ROOT_ITEM or (entry.type == INODE_ITEM and not entry.offset)
    if entry.kind not in _KINDS or not allowed:
        raise FormatError("a directory entry that leads nowhere")


def _check_xattr(objectid: int, offset: int, data: bytes) -> None:
    for entry in parse_entries(data):
        if entry.kind != _XATTR_TYPE or name_hash(entry.name) != offset:
            raise FormatError("an extended attribute that cannot be right")


def _check_extent(objectid: int, offset: int, data: bytes) -> None:
    extent = parse_extent(data)
    if offset % SECTOR_BYTES or (extent.kind == INLINE and offset) or offset + extent.length >= 1 << 63:
        raise FormatError("a file extent at a place where none can be")


def _check_root(objectid: int, offset: int, data: bytes) -> None:
    parse_root(data)


def _check_root_ref(objectid: int, offset: int, data: bytes) -> None:
    parse_root_ref(data)


def _check_refs(objectid: int, offset: int, data: bytes) -> None:
    parse_refs(data)


def _check_extrefs(objectid: int, offset: int, data: bytes) -> None:
    parse_extrefs(data)


def _check_csums(objectid: int, offset: int, data: bytes) -> None:
    if objectid != CSUM_OBJECTS or offset % SECTOR_BYTES or not data:
        raise FormatError("checksums at a place where none can be")


CHECKS: Mapping[int, Callable[[int, int, bytes], None]] = {
    INODE_ITEM: _check_inode,
    INODE_REF: _check_refs,
    INODE_EXTREF: _check_extrefs,
    XATTR_ITEM: _check_xattr,
    DIR_ITEM: _check_names,
    DIR_INDEX: _check_index,
    EXTENT_DATA: _check_extent,
    EXTENT_CSUM: _check_csums,
    ROOT_ITEM: _check_root,
    ROOT_REF: _check_root_ref,
    ROOT_BACKREF: _check_root_ref,
}
"""By type, what an item must be; each takes its key's objectid and offset, and its bytes."""

OF_FILES = frozenset(
    {
        INODE_ITEM, INODE_REF, INODE_EXTREF, XATTR_ITEM, VERITY_DESCRIPTOR, VERITY_MERKLE, ORPHAN_ITEM,
        DIR_ITEM, DIR_INDEX, EXTENT_DATA,
    }
)  # fmt: skip
"""All types of items in a tree of files."""

AFTER_THEIR_INODE = frozenset({INODE_REF, XATTR_ITEM, DIR_ITEM, DIR_INDEX, EXTENT_DATA})
"""Types of items that follow others of the same inode, unless they begin a leaf."""

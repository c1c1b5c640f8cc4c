"""Names, attributes and short links of an ext4 filesystem, read from the device's bytes.

Only what is certain is answered, as in :mod:`guestrepair.formats.ext_inodes`; for everything else
(encrypted, inline or very large directories, ext2's block lists, damaged entries) the answer is None.

Source: Documentation/filesystems/ext4 (directory.rst, inodes.rst, special_inodes.rst); Linux
fs/ext4/dir.c (__ext4_check_dir_entry) and namei.c (ext4_lookup).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from guestrepair.formats.attribute_values import given_out
from guestrepair.formats.ext_accepted import (
    DIRECTORY,
    INODE_BASE_BYTES,
    REGULAR,
    SYMLINK,
    Inode,
    attribute_block,
    is_fast_link,
    size_of,
)
from guestrepair.formats.ext_attributes import collected, parse_entries
from guestrepair.formats.ext_attributes import parse_block as parse_attributes
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.extents import Layout
from guestrepair.formats.file_attributes import Attributes, Former, Found, Space, Unsure
from guestrepair.formats.kept_directories import KeptDirectories
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Block, Read

ROOT_INODE = 2
_MAX_DIRECTORY_BYTES = 8 << 20
"""Larger directories (some 200,000 names) are left to the filesystem itself."""

_SMALL_DIRECTORY_BYTES = 64 << 10
"""Of a larger one, the first block alone is read to learn its parent."""

_MAX_TRACES = 10_000
_MAX_TRACE_BYTES = 32 << 20
"""Inodes, and bytes of directories, that are looked at for what was deleted, on one filesystem in all."""

_ENTRY_HEAD = struct.Struct("<IHBx")
_ENTRY_HEAD_BYTES = _ENTRY_HEAD.size
_ENTRY_LEAST_BYTES = 12
_LEAF_TAIL_BYTES = 12
_LEAF_TAIL = b"\0\0\0\0\x0c\0\0\xde"
"""An entry without a name that ends a leaf and holds its checksum (struct ext4_dir_entry_tail)."""


@dataclass(frozen=True, slots=True)
class _Directory:
    """What a directory holds, and where that lies."""

    names: Mapping[bytes, int]
    parent: int
    layout: Layout
    is_flat: bool
    """Its extents lie in the inode, and not in blocks of their own."""


@dataclass(slots=True)
class Tree:
    """The directories of one filesystem; what they hold is kept as far as there is room."""

    inodes: Inodes
    _kept: KeptDirectories[_Directory] = field(init=False, default_factory=KeptDirectories)
    _traces: int = field(init=False, default=_MAX_TRACES)
    _trace_bytes: int = field(init=False, default=_MAX_TRACE_BYTES)

    @property
    def root(self) -> int:
        """The inode number of the top directory."""
        return ROOT_INODE

    def adopt(self, former: Tree, is_unchanged: Callable[[int, int], bool]) -> None:
        """Keep what another reader of the same filesystem has found, where its bytes did not change since.

        ``is_unchanged`` tells it of a first byte and a number of bytes of the device.
        """
        if not self.inodes.adopt(former.inodes, is_unchanged):
            return
        for number, directory in former._kept.items():
            places = [self.inodes.place(number), *((e.physical, e.length) for e in directory.layout.extents)]
            # Of blocks that hold extents, nothing is known here.
            if directory.is_flat and all(is_unchanged(at, size) for at, size in places):
                self._kept.keep(number, directory)

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their inode numbers, ``.`` and ``..`` left out; None: not certain."""
        found = self._directory(directory)
        return None if found is None else found.names

    def blocks(self, directory: int) -> list[bytes] | None:
        """The blocks of a directory as they lie there; None: not certain. Nothing is kept of them."""
        layout = self._layout(directory)
        return None if layout is None else self._blocks(directory, layout)

    def parent(self, directory: int) -> int | None:
        """The inode number that a directory's ``..`` stands for; None: not certain.

        One that is reached from another directory may lead in circles: the kernel follows no such name.
        """
        if directory not in self._kept:
            layout = self._layout(directory)
            if layout is None:
                return None
            if layout.size_bytes > _SMALL_DIRECTORY_BYTES:
                (first, *_) = self._blocks(directory, layout, self.inodes.block_bytes) or (b"",)
                return _parent(first, directory)
        found = self._directory(directory)
        return None if found is None else found.parent

    def _directory(self, number: int) -> _Directory | None:
        found = self._kept.get(number)
        if found is None:
            found = self._read(number)
            if found is not None:
                self._kept.keep(number, found)
        return found

    def attributes(self, number: int) -> Attributes | None:
        """The attributes of an inode that is in use; None: not certain."""
        inode, geometry = self.inodes.inode(number), self.inodes.geometry
        if inode is None or geometry is None:
            return None
        return Attributes(
            inode=number,
            mode=inode.mode,
            uid=inode.uid | inode.uid_high << 16,
            gid=inode.gid | inode.gid_high << 16,
            size_bytes=size_of(inode, geometry),
            links=inode.links,
            mtime=_with_epoch(inode, inode.mtime, 136),
            ctime=_with_epoch(inode, inode.ctime, 132),
        )

    def xattrs(self, number: int) -> Mapping[bytes, bytes] | None:
        """The extended attributes of an inode in use, in itself or in a block; None: not certain."""
        inode, geometry = self.inodes.inode(number), self.inodes.geometry
        if inode is None or geometry is None:
            return None
        entries = parse_entries(inode.attributes_inside) if inode.has_attributes_inside else []
        block = attribute_block(inode, geometry)
        if block and entries is not None:
            data = self.inodes.read(block * geometry.block_bytes, geometry.block_bytes)
            more = parse_attributes(data, block, geometry.seed) if len(data) == geometry.block_bytes else None
            entries = None if more is None else entries + more
        found = None if entries is None else collected(entries)
        special = inode.kind not in (REGULAR, DIRECTORY)
        return None if found is None else given_out(found, is_special=special)

    def link_target(self, number: int) -> bytes | None:
        """Where a symbolic link leads, empty for what is none; None: not certain."""
        inode, geometry = self.inodes.inode(number), self.inodes.geometry
        if inode is None or geometry is None:
            return None
        if inode.kind != SYMLINK:
            return b""
        return inode.places[: inode.size] if is_fast_link(inode, geometry) else self._long_target(number)

    def _long_target(self, number: int) -> bytes | None:
        """The target of a link that lies in a block of its own."""
        layout = self.inodes.layout(number, kind=SYMLINK)
        if layout is None or layout.hole_bytes or len(layout.extents) != 1:
            return None
        target = self.inodes.read(layout.extents[0].physical, layout.size_bytes)
        return target if len(target) == layout.size_bytes and target and b"\0" not in target else None

    def layout(self, number: int) -> Layout | None:
        """Where the content of a regular file lies; None: not certain."""
        return self.inodes.layout(number)

    def content(self, number: int, offset: int, size: int) -> bytes | None:
        """None: what has no layout is not certain."""
        return None

    def records(self, beyond: Collection[bytes]) -> Iterator[Found | Unsure]:
        """Every name with its inode, and what is left of deleted ones; not what lies below ``beyond``."""
        from guestrepair.formats.ext_records import records  # which is built on this

        return records(self, beyond)

    def former_files(self) -> Iterator[Former]:
        """Deleted files as the journal still has them: their names, times, and where they lay."""
        from guestrepair.formats.ext_history import former_files  # which is built on this

        return former_files(self)

    def space(self) -> Space | None:
        """What statfs(2) says of the filesystem; None: not certain."""
        from guestrepair.formats.ext_space import space  # which is asked for seldom

        return space(self.inodes)

    def deletion_times(
        self, directory: int, wanted: Collection[bytes] | None = None
    ) -> Mapping[bytes, int] | None:
        """Deleted names that still stand in a directory's gaps, and when their inodes last changed.

        Only those whose inodes were not used again, and of ``wanted`` names where some are given. Linux 5.13
        and newer wipe such names. How much is looked through on one filesystem is bounded; what lies
        beyond that has left no trace. None: not certain.
        """
        layout = self._layout(directory)
        if layout is None or layout.size_bytes > self._trace_bytes:
            return None if layout is None else {}
        self._trace_bytes -= layout.size_bytes
        blocks = self._blocks(directory, layout)
        if blocks is None:
            return None
        found: dict[bytes, int] = {}
        for name, number in (each for block in blocks for each in deleted_entries(block, self.inodes.count)):
            if wanted is not None and name not in wanted:
                continue
            if not self._traces:
                break
            self._traces -= 1
            inode = self.inodes.raw(number)
            if inode is not None and inode.deleted and not inode.links:
                found[name] = _with_epoch(inode, inode.ctime, 132)
        return found

    def _read(self, directory: int) -> _Directory | None:
        layout, inode = self._layout(directory), self.inodes.inode(directory)
        blocks = None if layout is None else self._blocks(directory, layout)
        if layout is None or inode is None or not blocks:
            return None
        names: dict[bytes, int] = {}
        parent = _parent(blocks[0], directory)
        if parent is None or not all(parse_block(block, self.inodes.count, names) for block in blocks):
            return None
        if directory in names.values():
            return None  # a name in a directory for that directory: the kernel follows it nowhere
        return _Directory(names, parent, layout, is_flat=not int.from_bytes(inode.places[6:8], "little"))

    def _layout(self, directory: int) -> Layout | None:
        layout, inode = self.inodes.layout(directory, kind=DIRECTORY), self.inodes.inode(directory)
        if layout is None or inode is None:
            return None
        if layout.size_bytes > _MAX_DIRECTORY_BYTES or layout.size_bytes % self.inodes.block_bytes:
            return None
        return None if layout.hole_bytes else layout

    def _blocks(self, directory: int, layout: Layout, size_bytes: int | None = None) -> list[bytes] | None:
        """A directory's blocks (up to a size), all of them intact; None when that is not certain."""
        size_bytes = layout.size_bytes if size_bytes is None else size_bytes
        inode, block_bytes = self.inodes.inode(directory), self.inodes.block_bytes
        if inode is None:
            return None
        seed = self.inodes.seed(directory, inode)
        blocks: list[bytes] = []
        for extent in layout.extents:
            data = self.inodes.read(extent.physical, min(extent.length, size_bytes - extent.logical))
            blocks += (data[at : at + block_bytes] for at in range(0, len(data), block_bytes))
            if extent.logical + extent.length >= size_bytes:
                break
        whole = sum(map(len, blocks)) == size_bytes
        return blocks if whole and all(seed is None or is_block_intact(b, seed) for b in blocks) else None


def open_tree(read: Read, size_bytes: int) -> Tree:
    """The directories of the filesystem that ``read`` reads, on a device of that size.

    Raises:
        Whatever ``read`` raises.
    """
    return Tree(Inodes(read, size_bytes))


def _parent(first_block: bytes, directory: int) -> int | None:
    """What ``..`` stands for; None unless the first entries are "." for the directory itself, and ".."."""
    block = Block(first_block)
    dotdot = block.le16(4)
    if block.le32(0) != directory or block.u8(6) != 1 or block.bytes_at(8, 1) != b".":
        return None
    if block.u8(dotdot + 6) != 2 or block.bytes_at(dotdot + 8, 2) != b"..":
        return None
    return block.le32(dotdot)


def is_block_intact(data: bytes, seed: int) -> bool:
    """Whether the checksum of a directory block is right: of a leaf, or of a node of the hash tree."""
    block, end = Block(data), len(data) - _LEAF_TAIL_BYTES
    # A root that the kernel made of a leaf keeps what looks like a leaf's end.
    if data[end : end + 8] == _LEAF_TAIL and crc32c(data[:end], seed) == block.le32(end + 8):
        return True
    # A node looks like one deleted entry; the root like "." and "..", with its own facts behind them.
    at = 8 if block.le16(4) == len(data) and not block.le32(0) else 32
    most, count = block.le16(at), block.le16(at + 2)
    tail = at + most * 8
    if count > most or tail + 8 > len(data):
        return False
    state = crc32c(data[: at + count * 8], seed)
    return crc32c(data[tail : tail + 4] + bytes(4), state) == block.le32(tail + 4)


def parse_block(data: bytes, inodes: int, into: dict[bytes, int]) -> bool:
    """Add the entries of one directory block; False when one of them cannot be right.

    ``inodes`` is how many the filesystem has. The nodes of a hash tree look like deleted entries.
    """
    at, size = 0, len(data)
    while at < size:
        if at + _ENTRY_HEAD_BYTES > size:
            return False
        number, length, name_bytes = _ENTRY_HEAD.unpack_from(data, at)
        least = max(_ENTRY_HEAD_BYTES + name_bytes, _ENTRY_LEAST_BYTES)
        if length < least or length % 4 or at + length > size:
            return False
        name = data[at + _ENTRY_HEAD_BYTES : at + _ENTRY_HEAD_BYTES + name_bytes]
        if number > inodes or (number and (not name or b"/" in name or b"\0" in name or name in into)):
            return False
        if number and name not in {b".", b".."}:
            into[name] = number
        at += length
    return at == size


def deleted_entries(data: bytes, inodes: int) -> Iterator[tuple[bytes, int]]:
    """Names and inode numbers of entries that a longer one before them covers, as unlink(2) leaves them."""
    at, size = 0, len(data)
    while at + _ENTRY_HEAD_BYTES <= size:
        _, length, name_bytes = _ENTRY_HEAD.unpack_from(data, at)
        end = at + max(length, _ENTRY_HEAD_BYTES)
        gap = at + _entry_bytes(name_bytes)
        if gap + _ENTRY_HEAD_BYTES < end:
            yield from _in_gap(data, gap, min(end, size), inodes)
        at = end


def _in_gap(data: bytes, gap: int, end: int, inodes: int) -> Iterator[tuple[bytes, int]]:
    while gap + _ENTRY_HEAD_BYTES < end:
        number, length, name_bytes = _ENTRY_HEAD.unpack_from(data, gap)
        if not number:  # most of what was never used is zeros
            rest = data[gap:end].lstrip(b"\0")
            gap = max(gap + 4, (end - len(rest)) // 4 * 4)
            continue
        name = data[gap + _ENTRY_HEAD_BYTES : gap + _ENTRY_HEAD_BYTES + name_bytes]
        taken = _entry_bytes(name_bytes)
        fits = taken <= length and gap + taken <= end
        if not (name and fits and number <= inodes) or b"/" in name or b"\0" in name:
            gap += 4
            continue
        yield name, number
        gap += taken


def _entry_bytes(name_bytes: int) -> int:
    return (_ENTRY_HEAD_BYTES + name_bytes + 3) // 4 * 4


def _with_epoch(inode: Inode, seconds: int, extra_at: int) -> int:
    """A time (signed, 32 bits) with the bits that carry it beyond 2038, where the inode has room for them."""
    if len(inode.data) > INODE_BASE_BYTES and INODE_BASE_BYTES + inode.extra_bytes >= extra_at + 4:
        seconds += (inode.data[extra_at] & 3) << 32
    return seconds

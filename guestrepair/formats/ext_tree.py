"""Names, attributes and short links of an ext4 filesystem, read from the device's bytes.

Only what is certain is answered, as in :mod:`guestrepair.formats.ext_inodes`; for everything else
(encrypted, inline or very large directories, ext2's block lists, damaged entries) the answer is None.

Source: Documentation/filesystems/ext4 (directory.rst, inodes.rst, special_inodes.rst).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from guestrepair.formats.ext_inodes import DIRECTORY, SYMLINK, Inodes
from guestrepair.formats.extents import Layout
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Block

_FLAG_CASEFOLD = 0x40000000
_MAX_DIRECTORY_BYTES = 8 << 20
"""Larger directories (some 200,000 names) are left to the filesystem itself."""

_XATTR_MAGIC = 0xEA020000
_KEPT_NAMES = 100_000
EXTENTS_IN_INODE = 4
_ENTRY_HEAD_BYTES = 8
_LEAF_TAIL_BYTES = 12
_LEAF_TAIL = b"\0\0\0\0\x0c\0\0\xde"
"""An entry without a name that ends a leaf and holds its checksum (struct ext4_dir_entry_tail)."""

_FAST_LINK_BYTES = 60
_INODE_BASE_BYTES = 128
_BASE = struct.Struct("<HHI4xii4xHH80xI8xHH4x")
"""Of an inode: mode, uid, size, ctime, mtime, gid, links; and the high halves of size, uid and gid."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an inode says of a file; times in seconds since the epoch."""

    inode: int
    mode: int
    uid: int
    gid: int
    size_bytes: int
    links: int
    mtime: int
    ctime: int


@dataclass(frozen=True, slots=True)
class _Directory:
    """What a directory holds, and where that lies."""

    names: Mapping[bytes, int]
    layout: Layout


@dataclass(slots=True)
class Tree:
    """The directories of one filesystem; what they hold is kept as far as there is room."""

    inodes: Inodes
    _kept: dict[int, _Directory] = field(init=False, default_factory=dict)
    _names: int = field(init=False, default=0)

    def adopt(self, former: Tree, is_unchanged: Callable[[int, int], bool]) -> None:
        """Keep what another reader of the same filesystem has found, where its bytes did not change since.

        ``is_unchanged`` tells it of a first byte and a number of bytes of the device.
        """
        if not self.inodes.adopt(former.inodes, is_unchanged):
            return
        for number, directory in former._kept.items():
            places = [self.inodes.place(number), *((e.physical, e.length) for e in directory.layout.extents)]
            # More extents than an inode holds lie in a block of their own, of which nothing is known here.
            if len(places) <= 1 + EXTENTS_IN_INODE and all(is_unchanged(at, size) for at, size in places):
                self._keep(number, directory)

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their inode numbers, ``.`` and ``..`` left out; None: not certain."""
        if directory not in self._kept:
            found = self._read(directory)
            if found is None:
                return None
            self._keep(directory, found)
        return self._kept[directory].names

    def _keep(self, number: int, directory: _Directory) -> None:
        while self._kept and self._names + len(directory.names) > _KEPT_NAMES:
            self._names -= len(self._kept.pop(next(iter(self._kept))).names)
        self._kept[number] = directory
        self._names += len(directory.names)

    def attributes(self, number: int) -> Attributes | None:
        """The attributes of an inode that is in use; None: not certain."""
        inode = self.inodes.inode(number)
        if inode is None or len(inode) < _INODE_BASE_BYTES:
            return None
        fields = _BASE.unpack_from(inode.data)
        mode, uid, size, ctime, mtime, gid, links, size_high, uid_high, gid_high = fields
        if not mode or not links:
            return None
        return Attributes(
            inode=number,
            mode=mode,
            uid=uid | uid_high << 16,
            gid=gid | gid_high << 16,
            size_bytes=size | size_high << 32,
            links=links,
            mtime=_with_epoch(inode, mtime, 136),
            ctime=_with_epoch(inode, ctime, 132),
        )

    def has_xattrs(self, number: int) -> bool | None:
        """Whether an inode in use has extended attributes, in itself or in a block; None: not certain."""
        inode = self.inodes.inode(number)
        if inode is None or not inode.le16(0) or not inode.le16(26):
            return None
        inside = _INODE_BASE_BYTES + inode.le16(128) if len(inode) > _INODE_BASE_BYTES else len(inode)
        return bool(inode.le32(104) or inode.le16(118) or inode.le32(inside) == _XATTR_MAGIC)

    def link_target(self, number: int) -> bytes | None:
        """Where a short symbolic link leads, empty for what is none; None for a long one, or not certain."""
        inode = self.inodes.inode(number)
        if inode is None or not inode.le16(0) or not inode.le16(26):
            return None
        if inode.le16(0) & 0xF000 != SYMLINK:
            return b""
        if inode.le32(32) & 0x10080804:
            return None  # in extents, encrypted, compressed or inline
        size = inode.le32(4)
        target = inode.bytes_at(40, size) if 0 < size < _FAST_LINK_BYTES else b""
        return target if target and b"\0" not in target else None

    def deletion_times(self, directory: int) -> Mapping[bytes, int] | None:
        """Deleted names that still stand in a directory's gaps, and when their inodes last changed.

        Only those whose inodes were not used again. Linux 5.13 and newer wipe such names. None: not certain.
        """
        layout = self._layout(directory)
        blocks = None if layout is None else self._blocks(directory, layout)
        if blocks is None:
            return None
        found: dict[bytes, int] = {}
        for block in blocks:
            for name, number in deleted_entries(block, self.inodes.count):
                inode = self.inodes.inode(number)
                if inode is not None and inode.le32(20) and not inode.le16(26):
                    found[name] = _with_epoch(
                        inode, int.from_bytes(inode.bytes_at(12, 4), "little", signed=True), 132
                    )
        return found

    def _read(self, directory: int) -> _Directory | None:
        layout = self._layout(directory)
        blocks = None if layout is None else self._blocks(directory, layout)
        if layout is None or not blocks:
            return None
        names: dict[bytes, int] = {}
        if not all(parse_block(block, self.inodes.count, names) for block in blocks):
            return None
        return _Directory(names, layout)

    def _layout(self, directory: int) -> Layout | None:
        layout, inode = self.inodes.layout(directory, kind=DIRECTORY), self.inodes.inode(directory)
        if layout is None or inode is None or inode.le32(32) & _FLAG_CASEFOLD:
            return None
        if layout.size_bytes > _MAX_DIRECTORY_BYTES or layout.size_bytes % self.inodes.block_bytes:
            return None
        return None if layout.hole_bytes else layout

    def _blocks(self, directory: int, layout: Layout) -> list[bytes] | None:
        """The blocks of a directory, all of them intact; None when that is not certain."""
        inode, block_bytes = self.inodes.inode(directory), self.inodes.block_bytes
        if inode is None:
            return None
        seed = self.inodes.seed(directory, inode)
        blocks: list[bytes] = []
        for extent in layout.extents:
            data = self.inodes.read(extent.physical, min(extent.length, layout.size_bytes - extent.logical))
            blocks += (data[at : at + block_bytes] for at in range(0, len(data), block_bytes))
        whole = sum(map(len, blocks)) == layout.size_bytes
        return blocks if whole and all(seed is None or is_block_intact(b, seed) for b in blocks) else None


def is_block_intact(data: bytes, seed: int) -> bool:
    """Whether the checksum of a directory block is right: of a leaf, or of a node of the hash tree."""
    block, end = Block(data), len(data) - _LEAF_TAIL_BYTES
    if data[end : end + 8] == _LEAF_TAIL:
        return crc32c(data[:end], seed) == block.le32(end + 8)
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
    block, at = Block(data), 0
    while at < len(data):
        number, length, name_bytes = block.le32(at), block.le16(at + 4), block.u8(at + 6)
        length = length or 65536  # of a block of 64 KiB
        if length < _ENTRY_HEAD_BYTES + name_bytes or length % 4 or at + length > len(data):
            return False
        name = block.bytes_at(at + _ENTRY_HEAD_BYTES, name_bytes)
        if number > inodes or (number and (not name or b"/" in name or b"\0" in name or name in into)):
            return False
        if number and name not in {b".", b".."}:
            into[name] = number
        at += length
    return at == len(data)


def deleted_entries(data: bytes, inodes: int) -> Iterator[tuple[bytes, int]]:
    """Names and inode numbers of entries that a longer one before them covers, as unlink(2) leaves them."""
    block, at = Block(data), 0
    while at + _ENTRY_HEAD_BYTES <= len(data):
        end = at + max(block.le16(at + 4), _ENTRY_HEAD_BYTES)
        gap = at + _entry_bytes(block.u8(at + 6))
        while gap + _ENTRY_HEAD_BYTES < end:
            number, length, name_bytes = block.le32(gap), block.le16(gap + 4), block.u8(gap + 6)
            name = block.bytes_at(gap + _ENTRY_HEAD_BYTES, name_bytes)
            fits = _entry_bytes(name_bytes) <= length and gap + _entry_bytes(name_bytes) <= end
            if not (name and fits and 0 < number <= inodes) or b"/" in name or b"\0" in name:
                gap += 4
                continue
            yield name, number
            gap += _entry_bytes(name_bytes)
        at = end


def _entry_bytes(name_bytes: int) -> int:
    return (_ENTRY_HEAD_BYTES + name_bytes + 3) // 4 * 4


def _with_epoch(inode: Block, seconds: int, extra_at: int) -> int:
    """A time (signed, 32 bits) with the bits that carry it beyond 2038, where the inode has room for them."""
    if len(inode.data) > _INODE_BASE_BYTES and _INODE_BASE_BYTES + inode.le16(128) >= extra_at + 4:
        seconds += (inode.data[extra_at] & 3) << 32
    return seconds

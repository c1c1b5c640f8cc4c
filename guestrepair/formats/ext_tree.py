"""Names, attributes and short links of an ext4 filesystem, read from the device's bytes.

Only what is certain is answered, as in :mod:`guestrepair.formats.ext_inodes`; for everything else
(encrypted, inline or very large directories, ext2's block lists, damaged entries) the answer is None.

Source: Documentation/filesystems/ext4 (directory.rst, inodes.rst, special_inodes.rst).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guestrepair.formats.ext_inodes import DIRECTORY, SYMLINK, Inodes
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.model import Block

_FLAG_CASEFOLD = 0x40000000
_MAX_DIRECTORY_BYTES = 8 << 20
"""Larger directories (some 200,000 names) are left to the filesystem itself."""

_KEPT_NAMES = 200_000
_ENTRY_HEAD_BYTES = 8
_LEAF_TAIL_BYTES = 12
_LEAF_TAIL = b"\0\0\0\0\x0c\0\0\xde"
"""An entry without a name that ends a leaf and holds its checksum (struct ext4_dir_entry_tail)."""

_FAST_LINK_BYTES = 60
_INODE_BASE_BYTES = 128


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


@dataclass(slots=True)
class Tree:
    """The directories of one filesystem; what they hold is kept as far as there is room."""

    inodes: Inodes
    _kept: dict[int, Mapping[bytes, int]] = field(init=False, default_factory=dict)
    _names: int = field(init=False, default=0)

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their inode numbers, ``.`` and ``..`` left out; None: not certain."""
        if directory not in self._kept:
            found = self._read(directory)
            if found is None:
                return None
            while self._kept and self._names + len(found) > _KEPT_NAMES:
                self._names -= len(self._kept.pop(next(iter(self._kept))))
            self._kept[directory] = found
            self._names += len(found)
        return self._kept[directory]

    def attributes(self, number: int) -> Attributes | None:
        """The attributes of an inode that is in use; None: not certain."""
        inode = self.inodes.inode(number)
        if inode is None or not inode.le16(0) or not inode.le16(26):
            return None
        return Attributes(
            inode=number,
            mode=inode.le16(0),
            uid=inode.le16(2) | inode.le16(120) << 16,
            gid=inode.le16(24) | inode.le16(122) << 16,
            size_bytes=inode.le32(4) | inode.le32(108) << 32,
            links=inode.le16(26),
            mtime=_seconds(inode, 16, 136),
            ctime=_seconds(inode, 12, 132),
        )

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

    def _read(self, directory: int) -> Mapping[bytes, int] | None:
        layout = self.inodes.layout(directory, kind=DIRECTORY)
        inode, block_bytes = self.inodes.inode(directory), self.inodes.block_bytes
        if layout is None or inode is None or inode.le32(32) & _FLAG_CASEFOLD:
            return None
        if layout.size_bytes > _MAX_DIRECTORY_BYTES or layout.hole_bytes or layout.size_bytes % block_bytes:
            return None
        names: dict[bytes, int] = {}
        seed = self.inodes.seed(directory, inode)
        for extent in layout.extents:
            data = self.inodes.read(extent.physical, min(extent.length, layout.size_bytes - extent.logical))
            for at in range(0, len(data), block_bytes):
                block = data[at : at + block_bytes]
                if seed is not None and not is_block_intact(block, seed):
                    return None
                if not parse_block(block, self.inodes.count, names):
                    return None
        return names


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


def _seconds(inode: Block, at: int, extra_at: int) -> int:
    """A time with the two bits that carry it beyond 2038, where the inode has room for them."""
    seconds = inode.le32(at)
    seconds -= (seconds & 1 << 31) << 1
    if len(inode.data) > _INODE_BASE_BYTES and _INODE_BASE_BYTES + inode.le16(128) >= extra_at + 4:
        seconds += (inode.le32(extra_at) & 3) << 32
    return seconds

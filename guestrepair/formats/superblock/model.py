"""What a superblock says, and the window through which probers look at a device."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Read: TypeAlias = Callable[[int, int], bytes]
"""``read(offset_bytes, size_bytes)``: the device's bytes, short at its end."""

HEAD_BYTES = 128 * 1024
"""Read at once from the start: every common superblock lies in it (btrfs at 64 KiB is the last)."""
TAIL_BYTES = 128 * 1024
"""Read at once from the end: md 0.90 lies between 64 and 128 KiB before it, BIOS RAID within 32 KiB."""
MAX_EXTRA_READS = 64
"""Reads beyond head and tail that one device may cost: a bound for chains in hostile filesystems."""
MAX_READ_BYTES = 1024 * 1024
"""The largest single read."""


class Usage(enum.StrEnum):
    """What the content is used for, in blkid(8)'s words (ID_FS_USAGE)."""

    FILESYSTEM = "filesystem"
    RAID = "raid"
    CRYPTO = "crypto"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ExtDetails:
    """Fields of an ext2/3/4 superblock that say where it belongs and how it fares (ext4(5), ext4.h).

    Times are seconds since the epoch, 0 where never set.
    """

    last_mounted: str
    state: int
    has_journal_to_replay: bool
    error_count: int
    first_error_time: int
    last_error_time: int
    mount_time: int
    write_time: int
    block_count: int
    block_size_bytes: int
    last_orphan: int = 0
    """First inode of those that were deleted while in use, which the next mount frees; 0: none."""
    backup_superblock: int = 0
    """Block number of the copy these values were read from; 0: the primary."""
    has_journal: bool = True
    default_data: str = ""
    """The journal mode that the superblock asks for (tune2fs -o journal_data_writeback); empty: none."""
    mount_options: str = ""
    """Mount options that the superblock holds (tune2fs -E mount_opts=), which come before all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superblock:
    """What is on a device, in blkid(8)'s words and formats; ``content`` is empty when nothing is known.

    ``ambivalent`` names the contents whose signatures were all found where
    blkid refuses to choose; ``content`` is empty then. ``size_bytes`` is what
    the content itself says it spans, 0 where it does not say.
    """

    content: str = ""
    usage: Usage = Usage.FILESYSTEM
    uuid: str = ""
    label: str = ""
    version: str = ""
    sub_uuid: str = ""
    block_size_bytes: int = 0
    size_bytes: int = 0
    ext: ExtDetails | None = None
    ambivalent: tuple[str, ...] = ()


class Block:
    """Bytes with accessors that never raise: what lies outside reads as zero."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def bytes_at(self, offset: int, length: int) -> bytes:
        """``length`` bytes at ``offset``, short where the block ends."""
        return self.data[offset : offset + length] if offset >= 0 else b""

    def has(self, magic: bytes, offset: int = 0) -> bool:
        """True where ``magic`` stands at ``offset``."""
        return offset >= 0 and self.data[offset : offset + len(magic)] == magic

    def _number(self, layout: struct.Struct, offset: int) -> int:
        if offset < 0 or offset + layout.size > len(self.data):
            return 0
        value: int = layout.unpack_from(self.data, offset)[0]
        return value

    def u8(self, offset: int) -> int:
        """One byte."""
        return self.data[offset] if 0 <= offset < len(self.data) else 0

    def le16(self, offset: int) -> int:
        """Little-endian, 16 bits."""
        return self._number(_LE16, offset)

    def le32(self, offset: int) -> int:
        """Little-endian, 32 bits."""
        return self._number(_LE32, offset)

    def le64(self, offset: int) -> int:
        """Little-endian, 64 bits."""
        return self._number(_LE64, offset)

    def be16(self, offset: int) -> int:
        """Big-endian, 16 bits."""
        return self._number(_BE16, offset)

    def be32(self, offset: int) -> int:
        """Big-endian, 32 bits."""
        return self._number(_BE32, offset)

    def be64(self, offset: int) -> int:
        """Big-endian, 64 bits."""
        return self._number(_BE64, offset)


_LE16, _LE32, _LE64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_BE16, _BE32, _BE64 = struct.Struct(">H"), struct.Struct(">I"), struct.Struct(">Q")


class Device:
    """The window on one device: head and tail are read once, the rest in a bounded number of reads."""

    def __init__(self, read: Read, size_bytes: int) -> None:
        self.size_bytes = max(0, size_bytes)
        self._read = read
        self._head: bytes | None = None
        self._tail: bytes | None = None
        self._extra: dict[tuple[int, int], bytes] = {}

    @property
    def head(self) -> bytes:
        """The first 128 KiB (less on a smaller device)."""
        if self._head is None:
            self._head = self._read(0, min(HEAD_BYTES, self.size_bytes)) if self.size_bytes else b""
        return self._head

    @property
    def tail(self) -> bytes:
        """The last 128 KiB (less on a smaller device)."""
        if self._tail is None:
            start = self.size_bytes - TAIL_BYTES
            self._tail = self.head if start <= 0 else self._read(start, TAIL_BYTES)
        return self._tail

    def get(self, offset: int, size: int) -> bytes:
        """Bytes at ``offset``, short at the device's end; empty when out of range or over the budget."""
        size = min(size, MAX_READ_BYTES, self.size_bytes - offset)
        if offset < 0 or size <= 0:
            return b""
        if offset + size <= min(HEAD_BYTES, self.size_bytes):
            return self.head[offset : offset + size]
        tail_start = max(0, self.size_bytes - TAIL_BYTES)
        if offset >= tail_start:
            return self.tail[offset - tail_start : offset - tail_start + size]
        key = (offset, size)
        if key not in self._extra:
            if len(self._extra) >= MAX_EXTRA_READS:
                return b""
            self._extra[key] = self._read(offset, size)
        return self._extra[key]

    def block(self, offset: int, size: int) -> Block:
        """As :meth:`get`, with accessors."""
        return Block(self.get(offset, size))

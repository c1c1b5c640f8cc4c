"""The content of a btrfs file, as its kernel gives it: inline, in extents, compressed, with holes.

Each sector that is read is held against the checksum tree; where one is wrong, or has none, the kernel
gives an error, and nothing is given here. What was written without checksums (nodatacow) is given as it lies
there, as the kernel does.

Source: Linux fs/btrfs/inode.c (btrfs_get_extent), file-item.c (btrfs_lookup_bio_sums), compression.c.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_items import (
    CSUM_OBJECTS,
    CSUM_TREE,
    EXTENT_CSUM,
    EXTENT_DATA,
    INLINE,
    INLINE_AT,
    LZO,
    NO_COMPRESSION,
    PREALLOCATED,
    ZLIB,
    ZSTD,
    FileExtent,
    Inode,
    parse_extent,
)
from guestrepair.formats.btrfs_lzo import Lzo, verify_inline
from guestrepair.formats.btrfs_nodes import key_of, split
from guestrepair.formats.btrfs_subvolumes import Roots
from guestrepair.formats.btrfs_superblock import SECTOR_BYTES
from guestrepair.formats.btrfs_volume import Tree
from guestrepair.formats.unpackers import zstd

MAX_HOLE_BYTES = 64 << 20
"""A file with more holes than that is left to the kernel: zeros, too, take their time."""

MOST_UNPACKED_BYTES = 128 << 10
"""In one compressed extent."""

_MAX_PIECES = 200_000
"""Extents that are passed in one read."""


@dataclass(slots=True)
class Content:
    """Reads the content of files. Its methods raise FormatError for what is not certain."""

    roots: Roots
    _unpacked: tuple[tuple[int, int], bytes] = field(init=False, default=((0, 0), b""))
    """The last compressed extent, by address and size: a read goes on where the last one ended."""
    _sums: tuple[int, bytes] = field(init=False, default=(0, b""))
    """The last checksums, and the address of their first sector."""

    def get(self, tree: Tree, number: int, inode: Inode, offset: int, size: int) -> bytes:
        """Bytes of a regular file, short at its end."""
        end = min(offset + size, inode.size)
        if inode.has_verity or inode.size - inode.bytes_used > MAX_HOLE_BYTES:
            raise FormatError("a file with more holes than are read, or that verifies itself")
        pieces: list[bytes] = []
        at = offset
        for start, extent, data in self._extents(tree, number, offset, end) if offset < end else ():
            last = min(start + _length(extent), end)
            if last <= at:
                continue
            if start > at:
                pieces.append(bytes(start - at))
                at = start
            pieces.append(self._part(extent, data, inode, at - start, last - start))
            at = last
        return b"".join(pieces) + bytes(max(0, end - at))

    def _extents(
        self, tree: Tree, number: int, offset: int, end: int
    ) -> Iterator[tuple[int, FileExtent, bytes]]:
        """The extents that a part of a file may lie in, from the last that begins before it."""
        lowest, volume = key_of(number, EXTENT_DATA, 0), self.roots.volume
        before = volume.last_until(tree, lowest, key_of(number, EXTENT_DATA, offset))
        first = lowest if before is None else before[0]
        covered = 0
        items = volume.items(tree, first, key_of(number, EXTENT_DATA, end - 1))
        for count, (key, data) in enumerate(items):
            start, extent = split(key)[2], parse_extent(data)
            if start < covered or count > _MAX_PIECES:
                raise FormatError("extents that lie over each other, or too many of them")
            covered = start + _length(extent)
            yield start, extent, data

    def _part(self, extent: FileExtent, data: bytes, inode: Inode, first: int, end: int) -> bytes:
        """Bytes of one extent, from its begin."""
        if extent.kind == INLINE:
            return _inline(extent, data).ljust(SECTOR_BYTES, b"\0")[first:end]
        if extent.kind == PREALLOCATED or not extent.address:
            return bytes(end - first)
        whole = extent.disk_bytes if extent.compression == NO_COMPRESSION else extent.ram_bytes
        if extent.offset + extent.length > whole:
            raise FormatError("an extent that goes beyond what is stored")
        first, end = first + extent.offset, end + extent.offset
        if extent.compression != NO_COMPRESSION:
            return self._unpack(extent, inode)[first:end]
        low, high = first - first % SECTOR_BYTES, -(-end // SECTOR_BYTES) * SECTOR_BYTES
        stored = self._stored(extent, low, high - low, inode)
        return stored if high - low == end - first else stored[first - low : end - low]

    def _unpack(self, extent: FileExtent, inode: Inode) -> bytes:
        key = (extent.address, extent.ram_bytes)
        if self._unpacked[0] != key:
            if max(extent.ram_bytes, extent.disk_bytes) > MOST_UNPACKED_BYTES:
                raise FormatError("a compressed extent larger than any")
            stored = self._stored(extent, 0, extent.disk_bytes, inode)
            self._unpacked = key, unpack(extent.compression, stored, extent.ram_bytes)
        return self._unpacked[1]

    def _stored(self, extent: FileExtent, offset: int, size: int, inode: Inode) -> bytes:
        """Bytes of an extent as they lie on the device, whole sectors, verified."""
        volume = self.roots.volume
        copies = volume.copies(extent.address, extent.disk_bytes)
        sums = self._checksums(extent.address + offset, size) if inode.has_checksums else None
        if sums is None and len(copies) > 1:
            raise FormatError("two copies without checksums: which of them is read is not certain")
        for at in copies:
            data = volume.pieces.get(at + offset, size)
            if len(data) == size and (sums is None or self._is_whole(data, sums)):
                return data
        raise FormatError("a file's content with a wrong checksum")

    def _is_whole(self, data: bytes, sums: bytes) -> bool:
        geometry = self.roots.volume.geometry
        checksum, size = geometry.checksum, geometry.checksum_bytes
        return all(
            checksum(data[at : at + SECTOR_BYTES]) == sums[index : index + size]
            for at, index in zip(range(0, len(data), SECTOR_BYTES), range(0, len(sums), size), strict=True)
        )

    def _checksums(self, address: int, size: int) -> bytes:
        """Those of the sectors in a range of addresses."""
        unit, found, end = self.roots.volume.geometry.checksum_bytes, list[bytes](), address + size
        while address < end:
            start, sums = self._sums
            if not start <= address < start + len(sums) // unit * SECTOR_BYTES:
                start, sums = self._sums = self._item_of(address, unit)
            first = (address - start) // SECTOR_BYTES
            last = min((end - start) // SECTOR_BYTES, len(sums) // unit)
            found.append(sums[first * unit : last * unit])
            address = start + last * SECTOR_BYTES
        return b"".join(found)

    def _item_of(self, address: int, unit: int) -> tuple[int, bytes]:
        """The checksums among which those of a sector are."""
        keys = (key_of(CSUM_OBJECTS, EXTENT_CSUM, at) for at in (0, address))
        item = self.roots.volume.last_until(self.roots.tree(CSUM_TREE), *keys)
        if item is not None:
            start, sums = split(item[0])[2], item[1]
            if address < start + len(sums) // unit * SECTOR_BYTES and not len(sums) % unit:
                return start, sums
        raise FormatError("a file's content without a checksum")


def _length(extent: FileExtent) -> int:
    """How many bytes of a file an extent stands for; an inline one for a sector, filled up with zeros."""
    return SECTOR_BYTES if extent.kind == INLINE else extent.length


def _inline(extent: FileExtent, data: bytes) -> bytes:
    if extent.ram_bytes > SECTOR_BYTES:
        raise FormatError("an inline extent larger than any")
    held = data[INLINE_AT:]
    if extent.compression == LZO:
        verify_inline(held)
    return (
        held if extent.compression == NO_COMPRESSION else unpack(extent.compression, held, extent.ram_bytes)
    )


def unpack(kind: int, data: bytes, size: int) -> bytes:
    """Compressed bytes unpacked to that size.

    Newer kernels compress no more than the file has; what is missing in its last sector reads as zeros.

    Raises:
        FormatError: they hold less, or do not unpack.
    """
    unpacker = _UNPACKERS[kind]()
    try:
        found = unpacker.decompress(data, size)
    except MemoryError:
        raise
    except Exception as error:  # each of the libraries has an error of its own
        raise FormatError(f"a compressed extent does not unpack: {error}") from error
    missing = size - len(found)
    if missing and (missing >= SECTOR_BYTES or not unpacker.eof):
        raise FormatError("a compressed extent that holds less than it says")
    return found + bytes(missing)


class _Unpacker(Protocol):
    """What all of them give alike."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most so many bytes of what the data holds."""


_UNPACKERS: Mapping[int, Callable[[], _Unpacker]] = {
    ZLIB: zlib.decompressobj,
    LZO: Lzo,
    ZSTD: zstd,
}

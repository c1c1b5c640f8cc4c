"""The journal of an ext4 filesystem: older copies of its metadata blocks.

A journal that was replayed, or closed in order, keeps what was written to it until that is written over.
Each copy is in the log of one transaction; a checksum, or the transaction's end, shows that it is whole.

Source: Documentation/filesystems/ext4/journal.rst; Linux include/linux/jbd2.h, fs/jbd2/recovery.c.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from guestrepair.formats.superblock.checksums import crc32c

MAGIC = 0xC03B3998
_DESCRIPTOR, _COMMIT, _SUPERBLOCKS = 1, 2, frozenset({3, 4})
_64BIT, _CSUM_V2, _CSUM_V3 = 0x2, 0x8, 0x10
_ESCAPED, _SAME_UUID, _LAST = 0x1, 0x2, 0x8
_HEAD = struct.Struct(">III")
_UUID_BYTES = _TAIL_BYTES = 16
MAX_BLOCKS = 1 << 19
"""2 GiB of 4 KiB blocks; of a larger journal, so much is looked at."""
_PIECE_BLOCKS = 256


class Copy(NamedTuple):
    """One block of the filesystem as a transaction wrote it: which, and where in the journal it stands."""

    sequence: int
    place: int
    checksum: int
    is_escaped: bool


class Shape(NamedTuple):
    """What the journal's superblock says."""

    block_bytes: int
    blocks: int
    first: int
    incompat: int
    seed: int


def parse_shape(data: bytes) -> Shape | None:
    """The superblock in the journal's first block; None for what is none."""
    if len(data) < 1024:
        return None
    magic, kind, _ = _HEAD.unpack_from(data)
    block_bytes, blocks, first = _HEAD.unpack_from(data, 12)
    (incompat,) = struct.unpack_from(">I", data, 40)
    possible = 1024 <= block_bytes <= 65536 and not block_bytes & (block_bytes - 1) and 0 < first < blocks
    if magic != MAGIC or kind not in _SUPERBLOCKS or not possible:
        return None
    return Shape(block_bytes, min(blocks, MAX_BLOCKS), first, incompat, crc32c(data[48:64]))


class Journal:
    """The copies in a journal; ``read`` gives bytes of it, and nothing where it has a hole."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self.shape = parse_shape(read(0, 1024))
        self._copies: dict[int, list[Copy]] = {}
        self._claims: dict[int, int] = {}
        self._ended: set[int] = set()
        if self.shape is not None:
            self._scan(self.shape)

    @property
    def blocks(self) -> Collection[int]:
        """The numbers of the filesystem's blocks that there are copies of."""
        return self._copies.keys()

    def copies(self, block: int) -> Iterator[tuple[int, bytes]]:
        """The copies of a block that are whole, the oldest first: its transaction's number, and its bytes."""
        shape = self.shape
        for copy in sorted(self._copies.get(block, ())):
            data = b"" if shape is None else self._read(copy.place * shape.block_bytes, shape.block_bytes)
            if shape is not None and len(data) == shape.block_bytes and self._is_whole(copy, data, shape):
                yield copy.sequence, (MAGIC.to_bytes(4, "big") + data[4:] if copy.is_escaped else data)

    def _is_whole(self, copy: Copy, data: bytes, shape: Shape) -> bool:
        if shape.incompat & (_CSUM_V2 | _CSUM_V3):
            found = crc32c(data, crc32c(copy.sequence.to_bytes(4, "big"), shape.seed))
            return copy.checksum == (found if shape.incompat & _CSUM_V3 else found & 0xFFFF)
        return copy.sequence in self._ended and self._claims.get(copy.place) == copy.sequence

    def _scan(self, shape: Shape) -> None:
        size = shape.block_bytes
        for start in range(shape.first, shape.blocks, _PIECE_BLOCKS):
            piece = self._read(start * size, min(_PIECE_BLOCKS, shape.blocks - start) * size)
            for at in range(0, len(piece) - size + 1, size):
                magic, kind, sequence = _HEAD.unpack_from(piece, at)
                if magic != MAGIC:
                    continue
                if kind == _COMMIT:
                    self._ended.add(sequence)
                elif kind == _DESCRIPTOR:
                    self._describe(start + at // size, sequence, piece[at : at + size], shape)

    def _describe(self, place: int, sequence: int, data: bytes, shape: Shape) -> None:
        for block, checksum, flags in _tags(data, shape):
            place += 1
            if place >= shape.blocks:
                place = shape.first
            self._copies.setdefault(block, []).append(
                Copy(sequence, place, checksum, is_escaped=bool(flags & _ESCAPED))
            )
            self._claims[place] = max(sequence, self._claims.get(place, 0))


def _tags(data: bytes, shape: Shape) -> Iterator[tuple[int, int, int]]:
    """Block, checksum and flags of each tag in a descriptor block."""
    at, incompat = _HEAD.size, shape.incompat
    end = len(data) - (4 if incompat & (_CSUM_V2 | _CSUM_V3) else 0)
    wide = bool(incompat & _64BIT)
    size = 16 if incompat & _CSUM_V3 else 8 + 4 * wide + (2 if incompat & _CSUM_V2 else 0)
    while at + size <= end:
        if incompat & _CSUM_V3:
            block, flags, high, checksum = struct.unpack_from(">IIII", data, at)
        else:
            block, checksum, flags = struct.unpack_from(">IHH", data, at)
            high = int.from_bytes(data[at + 8 : at + 12], "big") if wide else 0
        yield block | (high << 32 if wide else 0), checksum, flags
        at += size + (0 if flags & _SAME_UUID else _UUID_BYTES)
        if flags & _LAST:
            return

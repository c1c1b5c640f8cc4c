"""The index at the end of an xz file: of which blocks it consists, so that parts of it can be read alone.

Source: *The .xz File Format*, version 1.1.0: 2.1.2 (stream footer), 4 (index), 1.2 (multibyte integers).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from guestrepair.errors import FormatError

FOOTER_BYTES = 12
HEADER_BYTES = 12
MOST_INDEX_BYTES = 16 << 20
_MAGIC = b"YZ"


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its bytes in the file (padding not counted), and those that it holds."""

    stored_bytes: int
    size_bytes: int

    @property
    def padded_bytes(self) -> int:
        """What it takes in the file."""
        return -(-self.stored_bytes // 4) * 4


def index_bytes(footer: bytes) -> int:
    """How long the index is that lies before the last twelve bytes of a file.

    Raises:
        FormatError: they are no footer of an xz stream (it may have padding after it).
    """
    if len(footer) != FOOTER_BYTES or footer[10:] != _MAGIC:
        raise FormatError("it does not end as an xz file does")
    checksum, words, _flags = struct.unpack("<IIH", footer[:10])
    if zlib.crc32(footer[4:10]) != checksum:
        raise FormatError("the footer of its last stream is damaged")
    return (int(words) + 1) * 4


def parse_index(data: bytes) -> tuple[Block, ...]:
    """The blocks that an index lists, in the order in which they lie in the stream.

    Raises:
        FormatError: it is none, or is damaged.
    """
    if len(data) < 8 or len(data) % 4 or data[0] != 0:
        raise FormatError("no index of an xz stream")
    body = data[:-4]
    if zlib.crc32(body) != struct.unpack("<I", data[-4:])[0]:
        raise FormatError("the index is damaged")
    count, at = _number(body, 1)
    if count > len(body) // 2:
        raise FormatError("the index lists more blocks than it has room for")
    blocks = []
    for _ in range(count):
        stored, at = _number(body, at)
        size, at = _number(body, at)
        blocks.append(Block(stored, size))
    if body[at:].strip(b"\0") or len(body) - at > 3:
        raise FormatError("the index has more in it than it lists")
    return tuple(blocks)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A multibyte integer, and where the next one begins."""
    value = 0
    for shift in range(0, 63, 7):
        if at >= len(data):
            raise FormatError("the index ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            if not byte and shift:
                raise FormatError("a number of the index is longer than it needs to be")
            return value, at
    raise FormatError("a number of the index is too large")

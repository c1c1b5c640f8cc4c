"""Content that btrfs has compressed with lzo: one piece for each sector, each with its length before it.

All lengths are little-endian and have four bytes; the first is that of the whole. One does not reach over the
end of a sector: where it would, it stands at the begin of the next.

Source: Linux fs/btrfs/lzo.c (lzo_decompress_bio, lzo_decompress).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_superblock import SECTOR_BYTES

_LENGTH_BYTES = 4
_PIECE_MOST_BYTES = SECTOR_BYTES + SECTOR_BYTES // 16 + 64 + 3
"""What a sector takes that does not get smaller; so what is unpacked is at most 255 times that."""


@dataclass(slots=True)
class Lzo:
    """One extent, unpacked in one go."""

    eof: bool = field(init=False, default=False)
    """Whether the end was reached."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most so many bytes of what the data holds.

        Raises:
            FormatError: something of it is not as it should be.
        """
        unpack = _unpacker()
        end, at, found, size = _length(data, 0), _LENGTH_BYTES, list[bytes](), 0
        if not _LENGTH_BYTES < end <= len(data) or len(data) - end >= SECTOR_BYTES:
            raise FormatError("lzo of another length")
        while at < end and size < max_length:
            length = _length(data, at)
            at += _LENGTH_BYTES
            if not 0 < length <= _PIECE_MOST_BYTES or at + length > end or size % SECTOR_BYTES:
                raise FormatError("a piece of lzo of another length")
            found.append(unpack(data[at : at + length], SECTOR_BYTES))
            size += len(found[-1])
            if len(found[-1]) > SECTOR_BYTES:
                raise FormatError("a piece of lzo that holds more than a sector")
            at += length
            left = SECTOR_BYTES - at % SECTOR_BYTES
            at += left if left < _LENGTH_BYTES else 0
        self.eof = at >= end
        return b"".join(found)[:max_length]


def _unpacker() -> Callable[[bytes, int], bytes]:
    """lzo's own, imported where there is something to unpack: Debian and Fedora have no package of it.

    Raises:
        FormatError: it is not there; the appliance's kernel then reads the file.
    """
    try:
        from lzallright import LZOCompressor
    except ImportError as error:
        raise FormatError("lzo, which this Python lacks lzallright for") from error
    unpack: Callable[[bytes, int], bytes] = LZOCompressor.decompress
    return unpack


def verify_inline(data: bytes) -> None:
    """That what stands beside its inode is one piece, and no more.

    Raises:
        FormatError: it is not.
    """
    if _length(data, 0) != len(data) or _length(data, _LENGTH_BYTES) != len(data) - 2 * _LENGTH_BYTES:
        raise FormatError("lzo of another length")


def _length(data: bytes, at: int) -> int:
    if at + _LENGTH_BYTES > len(data):
        raise FormatError("lzo that is cut short")
    return int.from_bytes(data[at : at + _LENGTH_BYTES], "little")

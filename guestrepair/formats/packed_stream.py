"""Compressed logs (gzip, xz, bzip2, zstd, lz4, lzma), piece by piece: however long, little is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guestrepair.errors import FormatError
from guestrepair.formats.unpackers import UNPACKERS, Unpacker

PIECE_BYTES = 1 << 20
_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4-frame"),
    (b"\x5d\0\0", "lzma"),
)
_SKIPPABLE = b"\x2a\x4d\x18"
"""What follows 0x50 to 0x5f where a frame of zstd or lz4 holds nothing (RFC 8878, 3.1.2), as pzstd begins."""


def is_packed(head: bytes) -> bool:
    """Whether a file that begins so is compressed in a way that is read here."""
    return bool(_kind(head))


def _kind(head: bytes) -> str:
    if head[1:4] == _SKIPPABLE and head[0] & 0xF0 == 0x50:
        return "zstd"
    return next((name for magic, name in _MAGICS if head.startswith(magic)), "")


def unpacked(pieces: Iterable[bytes], *, limit_bytes: int) -> Iterator[bytes]:
    """What a compressed file holds, in pieces of a mebibyte at most; several members follow each other.

    Raises:
        FormatError: damaged, cut short, or larger than the limit, after all before that was given.
    """
    unpacker: Unpacker | None = None
    given, begun = 0, False
    for piece in pieces:
        data = piece
        while data or (unpacker is not None and not unpacker.eof and not unpacker.needs_input):
            if unpacker is None:
                data = data.lstrip(b"\0") if begun else data  # padding between members
                if begun and not data:
                    break
                unpacker, begun = _begun(data, begun=begun), True
            out = _step(unpacker, data)
            room = limit_bytes - given
            given += len(out)
            if out and room:
                yield out[:room]
            if given > limit_bytes:
                raise FormatError(f"it unpacks to more than the {limit_bytes} bytes that are read")
            data = b""
            if unpacker.eof:
                data, unpacker = unpacker.unused_data or b"", None
    if unpacker is not None:
        raise FormatError("cut short: its end is missing")


def _begun(data: bytes, *, begun: bool) -> Unpacker:
    kind = _kind(data)
    if not kind:
        raise FormatError("what follows is not compressed" if begun else "not compressed")
    return UNPACKERS[kind]()


def _step(unpacker: Unpacker, data: bytes) -> bytes:
    try:
        return unpacker.decompress(data, PIECE_BYTES)
    except MemoryError:
        raise
    except Exception as error:  # each of the libraries has an error of its own
        raise FormatError(f"does not decompress: {error}") from error

"""Logs that are compressed (gzip, xz, bzip2), piece by piece: however long they are, little is in memory."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from guestrepair.errors import FormatError

PIECE_BYTES = 1 << 20
_LZMA_MEMORY = 128 * 1024 * 1024
ZSTD = b"\x28\xb5\x2f\xfd"


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def step(self, data: bytes) -> bytes:
        """At most a piece of what the data holds; call with nothing for more."""

    def waits(self) -> bool:
        """Whether it takes in more before it gives more."""


class _Gzip:
    def __init__(self) -> None:
        self._real = zlib.decompressobj(wbits=31)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._real.eof

    @property
    def unused_data(self) -> bytes:
        return self._real.unused_data

    def step(self, data: bytes) -> bytes:
        out = self._real.decompress(self._real.unconsumed_tail + data, PIECE_BYTES)
        self._full = len(out) == PIECE_BYTES
        return out

    def waits(self) -> bool:
        return not self._full and not self._real.unconsumed_tail


class _Other:
    """xz and bzip2: their modules are alike."""

    def __init__(self, real: lzma.LZMADecompressor | bz2.BZ2Decompressor) -> None:
        self._real = real

    @property
    def eof(self) -> bool:
        return self._real.eof

    @property
    def unused_data(self) -> bytes:
        return self._real.unused_data

    def step(self, data: bytes) -> bytes:
        return self._real.decompress(data, PIECE_BYTES)

    def waits(self) -> bool:
        return self._real.needs_input


def is_packed(head: bytes) -> bool:
    """Whether a file that begins so is compressed in a way that is read here."""
    return _unpacker(head) is not None


def _unpacker(head: bytes) -> _Unpacker | None:
    if head.startswith(b"\x1f\x8b"):
        return _Gzip()
    if head.startswith(b"\xfd7zXZ\0"):
        return _Other(lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY))
    return _Other(bz2.BZ2Decompressor()) if head.startswith(b"BZh") else None


def unpacked(pieces: Iterable[bytes], *, limit_bytes: int) -> Iterator[bytes]:
    """What a compressed file holds, in pieces of a mebibyte at most; several members follow each other.

    Raises:
        FormatError: damaged, cut short, or larger than the limit, after all before that was given.
    """
    unpacker: _Unpacker | None = None
    given, begun = 0, False
    for piece in pieces:
        data = piece
        while data or (unpacker is not None and not unpacker.eof and not unpacker.waits()):
            if unpacker is None:
                data = data.lstrip(b"\0") if begun else data  # padding between members
                unpacker = _unpacker(data)
                if unpacker is None:
                    if begun and not data:
                        break
                    raise FormatError("what follows is not compressed" if begun else "not compressed")
                begun = True
            out = _step(unpacker, data)
            given += len(out)
            if given > limit_bytes:
                raise FormatError(f"it unpacks to more than the {limit_bytes} bytes that are read")
            if out:
                yield out
            data = b""
            if unpacker.eof:
                data, unpacker = unpacker.unused_data, None
    if unpacker is not None:
        raise FormatError("cut short: its end is missing")


def _step(unpacker: _Unpacker, data: bytes) -> bytes:
    try:
        return unpacker.step(data)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise FormatError(f"does not decompress: {error}") from error

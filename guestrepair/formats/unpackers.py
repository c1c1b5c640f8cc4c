"""Decompressors that give a piece at a time, all in one manner: of logs, journals and initramfs images.

Whatever a stream claims, its window is 128 MiB at most: zstd's own default, and what the kernel has.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

ZSTD_WINDOW_LOG = 27
LZMA_MEMORY = 128 * 1024 * 1024


class Unpacker(Protocol):
    """What bz2, lzma, zstd and lz4 give alike. Each raises an error of its own for what is damaged."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether it takes in more before it gives more."""

    @property
    def unused_data(self) -> bytes | None:
        """What came after that end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most so many bytes of what the data holds; with nothing, more of it."""


class Gzip:
    """zlib's, in the manner of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """See :class:`Unpacker`."""
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        """See :class:`Unpacker`."""
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """See :class:`Unpacker`."""
        out = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = len(out) < max_length
        return out


def zstd() -> Unpacker:
    """One frame of zstd."""
    module: Any
    if sys.version_info >= (3, 14):
        from compression import zstd as module
    else:
        from backports import zstd as module
    options = {module.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    unpacker: Unpacker = module.ZstdDecompressor(options=options)
    return unpacker


def _lz4() -> Unpacker:
    import lz4.frame

    unpacker: Unpacker = lz4.frame.LZ4FrameDecompressor()
    return unpacker


UNPACKERS: Mapping[str, Callable[[], Unpacker]] = {
    "zstd": zstd,
    "xz": partial(lzma.LZMADecompressor, format=lzma.FORMAT_XZ, memlimit=LZMA_MEMORY),
    "lzma": partial(lzma.LZMADecompressor, format=lzma.FORMAT_ALONE, memlimit=LZMA_MEMORY),
    "bzip2": bz2.BZ2Decompressor,
    "gzip": Gzip,
    "lz4-frame": _lz4,
}
"""How each is made, by the compression's name; the kernel's own lz4 is no frame, and not among them."""

"""Decompressors that give a piece at a time, all in one manner: of logs, journals and initramfs images.

Whatever a stream claims, its window is 128 MiB at most: zstd's own default, and what the kernel has.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from guestrepair.errors import FormatError

ZSTD_WINDOW_LOG = 27
_STEP_BYTES = 1024
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


class SmallSteps:
    """zstandard's, in the manner of the others. It is fed in small steps: nothing else bounds what it gives.

    Four bytes of a frame can stand for a block of 128 KiB, and no fewer for more (RFC 8878, 3.1.1.2): one
    gives at most 32 MiB. The second best: some hosts have no other (docs/hosts.md).
    """

    def __init__(self) -> None:
        import zstandard

        self._frame = zstandard.ZstdDecompressor(max_window_size=1 << ZSTD_WINDOW_LOG).decompressobj()
        self._waiting, self._ready = memoryview(b""), memoryview(b"")

    @property
    def eof(self) -> bool:
        """See :class:`Unpacker`."""
        return bool(self._frame.eof) and not self._ready

    @property
    def needs_input(self) -> bool:
        """See :class:`Unpacker`."""
        return not (self._ready or self._waiting or self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        """See :class:`Unpacker`."""
        return bytes(self._frame.unused_data) + bytes(self._waiting) if self._frame.eof else b""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """See :class:`Unpacker`."""
        if data:
            self._waiting = memoryview(bytes(self._waiting) + data)
        given = bytearray()
        while len(given) < max_length:
            if not self._ready:
                if not self._waiting or self._frame.eof:
                    break
                step, self._waiting = self._waiting[:_STEP_BYTES], self._waiting[_STEP_BYTES:]
                self._ready = memoryview(self._frame.decompress(step))
            room = max_length - len(given)
            given += self._ready[:room]
            self._ready = self._ready[room:]
        return bytes(given)


def zstd() -> Unpacker:
    """One frame of zstd, by whichever library this Python has.

    Raises:
        FormatError: it has none.
    """
    unpacker: Unpacker
    try:
        module = _standard_zstd()
        unpacker = module.ZstdDecompressor(
            options={module.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
        )
    except ImportError:
        try:
            unpacker = SmallSteps()
        except ImportError as error:
            missing = "neither backports.zstd nor zstandard is here"
            raise FormatError(f"compressed by zstd, which this Python cannot read ({missing})") from error
    return unpacker


def _standard_zstd() -> Any:
    """The standard library's from Python 3.14 on, or its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd as module
    else:
        from backports import zstd as module
    return module


def lz4_library(name: str) -> Any:
    """lz4's module for a block (``block``) or a frame (``frame``).

    Raises:
        FormatError: this Python has none.
    """
    try:
        return importlib.import_module(f"lz4.{name}")
    except ImportError as error:
        raise FormatError("compressed by lz4, which this Python cannot read (lz4 is not here)") from error


def _lz4() -> Unpacker:
    unpacker: Unpacker = lz4_library("frame").LZ4FrameDecompressor()
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

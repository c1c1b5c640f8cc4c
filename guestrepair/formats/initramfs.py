"""An initramfs image: is it whole?

An image is a row of cpio archives in ``newc`` format, plain or compressed, with
zeros between (Documentation/driver-api/early-userspace/buffer-format.rst). The
plain ones (microcode) are walked header by header; of a compressed one its frame is
walked, or its end is looked at, without unpacking where the format allows that.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from guestrepair.errors import FormatError

Read = Callable[[int, int], bytes]
"""``read(offset_bytes, size_bytes)``, short at the end of the file."""

_HEADER = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
"""A header: magic, then thirteen numbers of eight hexadecimal digits, without signs or blanks."""
_MAX_STEPS = 500_000
"""Headers, frames and blocks that are looked at in one image; an image of a gigabyte has a tenth of them."""
_MAX_READ_BYTES = 1 << 30
_MAX_UNPACKED_BYTES = 2 << 30
_WINDOW_BYTES = 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_TRUNCATED = "it is cut off"


class _Window:
    """Small reads served from larger ones."""

    def __init__(self, read: Read, size_bytes: int) -> None:
        self.size = size_bytes
        self._read = read
        self._start = 0
        self._data = b""
        self._steps = 0
        self._bytes = 0

    def step(self) -> None:
        """Count one more part of the image.

        Raises:
            FormatError: more than any real image has: to go on could take for ever.
        """
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise FormatError(f"more than {_MAX_STEPS} parts, not all of them were looked at")

    def get(self, offset: int, size: int) -> bytes:
        inside = self._start <= offset and offset + size <= self._start + len(self._data)
        if not inside:
            self._start = offset
            self._data = self._read(offset, max(size, min(_WINDOW_BYTES, self.size - offset)))
            self._bytes += len(self._data)
            if self._bytes > _MAX_READ_BYTES:
                raise FormatError(f"more than {_MAX_READ_BYTES} bytes, not all of them were looked at")
        begin = offset - self._start
        return self._data[begin : begin + size]


_COMPRESSIONS = (
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("xz", b"\xfd7zXZ\0"),
    ("gzip", b"\x1f\x8b"),
    ("lz4", b"\x02\x21\x4c\x18"),
    ("bzip2", b"BZh"),
    ("lzma", b"\x5d\0\0"),
    ("lzo", b"\x89LZO"),
)
"""What the kernel unpacks, by its first bytes (lib/decompress.c)."""


@dataclass(frozen=True, slots=True)
class Image:
    """What an image is made of, and what is wrong with it ("" when nothing is).

    ``compression`` is that of its main archive, which begins at ``packed_at``: "" and None where all of
    it is plain. The plain archives before it are microcode, and whatever else must be found early.
    """

    problem: str = ""
    compression: str = ""
    packed_at: int | None = None


def problem(read: Read, size_bytes: int) -> str:
    """What is wrong with an image; empty when nothing is: :func:`examine`."""
    return examine(read, size_bytes).problem


def examine(read: Read, size_bytes: int) -> Image:
    """Walk an image. What ``read`` raises passes through.

    Raises:
        FormatError: it has more parts or bytes than are looked at.
    """
    if size_bytes == 0:
        return Image("it is empty")
    window = _Window(read, size_bytes)
    offset = _skip_zeros(window, 0)
    if offset >= size_bytes:
        return Image("it holds nothing but zeros")
    while offset < size_bytes:
        magic = window.get(offset, 6)
        if magic in (b"070701", b"070702"):
            offset, trouble = _plain(window, offset)
            if trouble:
                return Image(trouble)
            offset = _skip_zeros(window, offset)
            continue
        kind = next((name for name, start in _COMPRESSIONS if magic.startswith(start)), "")
        if not kind:
            return Image("it is neither a cpio archive nor compressed as the kernel knows it")
        return Image(_compressed(window, offset, kind), kind, offset)
    return Image()


def _skip_zeros(window: _Window, offset: int) -> int:
    while offset < window.size:
        piece = window.get(offset, min(64 * 1024, window.size - offset))
        rest = piece.lstrip(b"\0")
        offset += len(piece) - len(rest)
        if rest or not piece:
            break
    return offset


def _plain(window: _Window, offset: int) -> tuple[int, str]:
    """Walk one archive: where it ends, and what is wrong."""
    while True:
        window.step()
        header = window.get(offset, 110)
        if len(header) < 110:
            return offset, _TRUNCATED
        if not _HEADER.fullmatch(header):
            return offset, "a cpio header in it is damaged"
        size, name_size = int(header[54:62], 16), int(header[94:102], 16)
        name = window.get(offset + 110, min(name_size, 32))
        data = offset + (110 + name_size + 3 & ~3)
        offset = data + (size + 3 & ~3)
        if name.startswith(b"TRAILER!!!"):
            return offset, ""
        if data + size > window.size:
            return offset, _TRUNCATED


def _compressed(window: _Window, offset: int, kind: str) -> str:
    if kind == "zstd":
        return _zstd(window, offset)
    if kind == "xz":
        return _xz(window)
    if kind == "gzip":
        return _gzip(window, offset)
    if kind == "lz4":
        return _lz4(window, offset)
    return ""  # no structure to walk: not judged


def _zstd(window: _Window, offset: int) -> str:
    """Walk frames and blocks (RFC 8878, section 3.1.1)."""
    while True:
        window.step()
        head = window.get(offset, 18)
        if head[:4] != b"\x28\xb5\x2f\xfd" or len(head) < 6:
            return ""
        flags = head[4]
        single, dictionary, content = flags >> 5 & 1, (0, 1, 2, 4)[flags & 3], (0, 2, 4, 8)[flags >> 6]
        offset += 5 + (not single) + dictionary + (1 if single and not content else content)
        trouble, offset = _zstd_blocks(window, offset)
        if trouble:
            return trouble
        offset += 4 * (flags >> 2 & 1)
        if offset > window.size:
            return _TRUNCATED


def _zstd_blocks(window: _Window, offset: int) -> tuple[str, int]:
    while True:
        window.step()
        head = window.get(offset, 3)
        if len(head) < 3:
            return _TRUNCATED, offset
        value = int.from_bytes(head, "little")
        kind, size = value >> 1 & 3, value >> 3
        if kind == 3:
            return "its zstd data is damaged", offset
        offset += 3 + (1 if kind == 1 else size)
        if offset > window.size:
            return _TRUNCATED, offset
        if value & 1:
            return "", offset


def _xz(window: _Window) -> str:
    # The stream footer ends in "YZ"; padding of zeros may follow (the .xz file format, 2.1.2).
    end = window.size
    for _ in range(64):
        piece = window.get(max(0, end - 4096), min(4096, end)).rstrip(b"\0")
        if piece:
            return "" if piece.endswith(b"YZ") else _TRUNCATED
        end -= 4096
        if end <= 0:
            break
    return _TRUNCATED


def _lz4(window: _Window, offset: int) -> str:
    """Walk the blocks of the legacy frame that the kernel uses (LZ4 frame format, legacy frame)."""
    offset += 4
    while True:
        window.step()
        raw = window.get(offset, 4)
        if len(raw) < 4:
            return "" if offset == window.size else _TRUNCATED
        (size,) = struct.unpack("<I", raw)
        if size in (0, 0x184C2102):  # padding; another frame
            offset += 4
            continue
        offset += 4 + size
        if offset > window.size:
            return _TRUNCATED


def _gzip(window: _Window, offset: int) -> str:
    # Nothing but unpacking tells a whole deflate stream. Its length field is looked at first: in
    # an image that is cut off it is a random number, and only then the image is unpacked. cpio
    # pads its archives to blocks of 512 bytes, which hardly a random number is a multiple of.
    end = window.get(window.size - 4, 4)
    packed = window.size - offset
    claimed = int.from_bytes(end, "little")
    if packed <= claimed <= packed * 12 and claimed % 512 == 0:
        return ""
    return _unpacks(window, offset, zlib.decompressobj(wbits=31))


def _unpacks(window: _Window, offset: int, unpacker: zlib._Decompress) -> str:
    total = 0
    while offset < window.size and total < _MAX_UNPACKED_BYTES:
        piece = window.get(offset, min(_PIECE_BYTES, window.size - offset))
        if not piece:
            break
        offset += len(piece)
        try:
            while piece and not unpacker.eof:
                total += len(unpacker.decompress(piece, _PIECE_BYTES * 16))
                piece = unpacker.unconsumed_tail
        except zlib.error:
            return "its gzip data is damaged"
        if unpacker.eof:
            return ""
    return _TRUNCATED if total < _MAX_UNPACKED_BYTES else ""

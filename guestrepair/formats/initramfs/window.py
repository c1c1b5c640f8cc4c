"""The bytes of an image, with a limit on how much of it is looked at."""

from __future__ import annotations

from collections.abc import Callable

from guestrepair.errors import FormatError

Read = Callable[[int, int], bytes]
"""``read(offset_bytes, size_bytes)``, short at the end of the file."""

CUT_OFF = "it is cut off"
MAX_STEPS = 500_000
"""Headers, frames and blocks that are looked at in one image; an image of a gigabyte has a tenth of them."""
FEW_ZEROS, MANY_ZEROS = 4096, 64 * 1024
"""Bytes that are looked at for the end of the zeros between archives: at first, and where there are more."""
_MAX_READ_BYTES = 1 << 30
_WINDOW_BYTES = 1024 * 1024


class Window:
    """Small reads served from larger ones."""

    def __init__(self, read: Read, size_bytes: int) -> None:
        self.size = size_bytes
        self._read = read
        self._start = 0
        self._data = b""
        self._steps = 0
        self._bytes = 0

    def step(self, cost: int = 1) -> None:
        """Count one more part of the image.

        Raises:
            FormatError: more than any real image has: to go on could take for ever.
        """
        self._steps += cost
        if self._steps > MAX_STEPS:
            raise FormatError("more parts than any real image has, not all of them were looked at")

    def get(self, offset: int, size: int) -> bytes:
        """Bytes of the image; short at its end."""
        inside = self._start <= offset and offset + size <= self._start + len(self._data)
        if not inside:
            self._start = offset
            self._data = self._read(offset, max(size, min(_WINDOW_BYTES, self.size - offset)))
            self._bytes += len(self._data)
            if self._bytes > _MAX_READ_BYTES:
                raise FormatError(f"more than {_MAX_READ_BYTES} bytes, not all of them were looked at")
        begin = offset - self._start
        return self._data[begin : begin + size]


class Damaged(Exception):  # noqa: N818  (what an image is, not what went wrong with us)
    """What is wrong with an image, in words."""


class Plain:
    """A part of the image that is as it stands: what is passed over is never read."""

    def __init__(self, window: Window, offset: int) -> None:
        self._window = window
        self.offset = offset

    def take(self, size: int) -> bytes:
        """The next bytes; short at the end."""
        data = self._window.get(self.offset, size)
        self.offset += size
        return data

    def skip(self, size: int) -> bool:
        """Pass over bytes; false where there are not as many."""
        self.offset += size
        return self.offset <= self._window.size

    def skip_zeros(self) -> bytes:
        """Pass over NUL bytes; the first six bytes after them, fewer at the end."""
        window, size = self._window, FEW_ZEROS
        while self.offset < window.size:
            piece = window.get(self.offset, min(size, window.size - self.offset))
            rest = piece.lstrip(b"\0")
            self.offset += len(piece) - len(rest)
            if rest or not piece:
                break
            size = MANY_ZEROS
        return window.get(self.offset, 6) if self.offset < window.size else b""

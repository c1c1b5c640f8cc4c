"""A compressed archive in an image, unpacked piece by piece.

Sources: Linux lib/decompress.c and lib/decompress_unlz4.c (the legacy frame), RFC 1952, RFC 8878, the
.xz file format.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.errors import FormatError
from guestrepair.formats.initramfs.window import CUT_OFF, FEW_ZEROS, MANY_ZEROS, MAX_STEPS, Damaged, Window
from guestrepair.formats.unpackers import UNPACKERS, lz4_library

MAX_UNPACKED_BYTES = 1 << 30
"""Of one archive. With all its firmware a real one has half of that."""
_MAX_ARCHIVES = 4096
_IN_BYTES = 64 * 1024
_OUT_BYTES = 256 * 1024
_LZ4_MAGIC = b"\x02\x21\x4c\x18"
_LZ4_BLOCK_BYTES = 8 * 1024 * 1024
_LZ4_PACKED_BYTES = _LZ4_BLOCK_BYTES + _LZ4_BLOCK_BYTES // 255 + 16

COMPRESSIONS = (
    ("zstd", b"\x28\xb5\x2f\xfd"),
    ("xz", b"\xfd7zXZ\0"),
    ("gzip", b"\x1f\x8b"),
    ("lz4", _LZ4_MAGIC),
    ("bzip2", b"BZh"),
    ("lzma", b"\x5d\0\0"),
    ("lzo", b"\x89LZO"),
)
"""What the kernel unpacks, by its first bytes (lib/decompress.c)."""


def kind_of(magic: bytes) -> str:
    """The name of a compression by its first bytes; "" where they are of none."""
    return next((name for name, start in COMPRESSIONS if magic.startswith(start)), "")


def can_unpack(kind: str) -> bool:
    """True for every compression but lzo, which nothing has been seen to use for years."""
    return kind == "lz4" or kind in UNPACKERS


class Packed:
    """What one compressed archive holds; ``end`` is where in the image it ends, once all of it was read.

    Each method raises:
        Damaged: it does not unpack, or the image ends before it does.
        FormatError: it is larger than any real image.
    """

    def __init__(self, window: Window, offset: int, kind: str) -> None:
        self.end = offset
        self._window = window
        self._kind = kind
        self._pieces = self._counted(self._lz4_pieces() if kind == "lz4" else self._unpacked())
        self._buffer = b""
        self._at = 0
        window.step(MAX_STEPS // _MAX_ARCHIVES)

    def take(self, size: int) -> bytes:
        """The next bytes; short at the end."""
        while len(self._buffer) - self._at < size and self._more():
            pass
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def skip(self, size: int) -> bool:
        """Pass over bytes; false where there are not as many."""
        while size > len(self._buffer) - self._at:
            size -= len(self._buffer) - self._at
            self._at = len(self._buffer)
            if not self._more():
                return False
        self._at += size
        return True

    def skip_zeros(self) -> bytes:
        """Pass over NUL bytes; the first six bytes after them, fewer at the end."""
        size = FEW_ZEROS
        while True:
            piece = self._buffer[self._at : self._at + size]
            rest = piece.lstrip(b"\0")
            self._at += len(piece) - len(rest)
            if rest or (not piece and not self._more()):
                break
            size = MANY_ZEROS
        found = self.take(6)
        self._at -= len(found)
        return found

    def drain(self) -> None:
        """Unpack the rest, to see whether it is whole."""
        self._buffer, self._at = b"", 0
        for _ in self._pieces:
            pass

    def _more(self) -> bool:
        piece = next(self._pieces, None)
        if piece is not None:
            self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return piece is not None

    @staticmethod
    def _counted(pieces: Iterator[bytes]) -> Iterator[bytes]:
        total = 0
        for piece in pieces:
            total += len(piece)
            if total > MAX_UNPACKED_BYTES:
                raise FormatError(
                    f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes, not all of them were looked at"
                )
            yield piece

    def _unpacked(self) -> Iterator[bytes]:
        unpacker = UNPACKERS[self._kind]()
        while not unpacker.eof:
            data = b""
            if unpacker.needs_input:
                data = self._window.get(self.end, min(_IN_BYTES, max(self._window.size - self.end, 0)))
                self.end += len(data)
                if not data:
                    raise Damaged(CUT_OFF)
            try:
                out = unpacker.decompress(data, _OUT_BYTES)
            except MemoryError:
                raise
            except Exception as error:  # each of the libraries has an error of its own
                if "memory" in str(error).lower():
                    raise FormatError(f"its {self._kind} data takes more memory than it is given") from error
                raise Damaged(f"its {self._kind} data is damaged") from error
            if out:
                yield out
        self.end -= len(unpacker.unused_data or b"")

    def _lz4_pieces(self) -> Iterator[bytes]:
        """The blocks of the legacy frame, the only one that the kernel knows."""
        lz4 = lz4_library("block")
        window = self._window
        self.end += len(_LZ4_MAGIC)
        while True:
            window.step()
            raw = window.get(self.end, 4)
            size = int.from_bytes(raw, "little")
            if len(raw) < 4 and any(raw):
                raise Damaged(CUT_OFF)
            if len(raw) < 4 or size == 0:
                return
            if raw == _LZ4_MAGIC:  # another frame
                self.end += 4
                continue
            if size > _LZ4_PACKED_BYTES:
                raise Damaged("its lz4 data is damaged")
            block = window.get(self.end + 4, size)
            if len(block) < size:
                raise Damaged(CUT_OFF)
            self.end += 4 + size
            try:
                yield lz4.decompress(block, uncompressed_size=_LZ4_BLOCK_BYTES)
            except lz4.LZ4BlockError as error:
                raise Damaged("its lz4 data is damaged") from error

"""A disk that is delivered inside a tar archive: what can be told of it from its first bytes.

The disk itself is not opened there: its bytes stand at no fixed place of a compressed file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guestrepair.errors import FormatError, ImageAccessError, ImageError
from guestrepair.formats.packed_stream import is_packed, unpacked
from guestrepair.formats.tar_header import NEEDED_BYTES, TarMember, parse_first_member

_READ_BYTES = 64 * 1024
_MOST_BYTES = 4 * 1024 * 1024
"""Of the compressed file; what does not begin within them is no archive of a disk."""
_GZIP = b"\x1f\x8b"
_MAGIC_AT = slice(257, 262)


@dataclass(frozen=True, slots=True)
class Tarred:
    """A tar archive: its first member, and whether gzip, something else or nothing compresses it."""

    member: TarMember
    compression: str


def read_tarred(path: Path) -> Tarred | None:
    """What an archive that may hold a disk is; None for a file that is neither compressed nor a tar archive.

    Raises:
        ImageAccessError: the file cannot be read.
        ImageError: it is compressed, and no tar archive is inside, or it is damaged.
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            head = file.read(_READ_BYTES)
            if not is_packed(head):
                return None if head[_MAGIC_AT] != b"ustar" else Tarred(_member(path, head), "nothing")
            file.seek(0)
            data = _beginning(iter(lambda: file.read(_READ_BYTES), b""), path)
    except OSError as error:
        raise ImageAccessError(f"{path}: cannot be read: {error.strerror or error}") from error
    return Tarred(_member(path, data), "gzip" if head.startswith(_GZIP) else "something else than gzip")


def _beginning(pieces: Iterator[bytes], path: Path) -> bytes:
    data = b""
    try:
        for piece in unpacked(_few(pieces), limit_bytes=_MOST_BYTES):
            data += piece
            if len(data) >= NEEDED_BYTES:
                break
    except FormatError as error:
        if len(data) < NEEDED_BYTES:  # a small archive that is cut off says nothing for certain
            raise ImageError(f"{path}: {error.message}", hint="is the copy complete?") from error
    return data


def _few(pieces: Iterator[bytes]) -> Iterator[bytes]:
    left = _MOST_BYTES
    for piece in pieces:
        if left <= 0:
            raise FormatError("it unpacks to too little to be an archive of a disk")
        left -= len(piece)
        yield piece


def _member(path: Path, data: bytes) -> TarMember:
    try:
        return parse_first_member(data)
    except FormatError as error:
        hint = "unpack the disk from it first, or, if it is a raw disk all the same, say --input-format raw"
        raise ImageError(f"{path}: {error.message}", hint=hint) from error

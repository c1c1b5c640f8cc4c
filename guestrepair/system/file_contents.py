"""What a file holds, asked for by whoever knows no format of it: its digest, a text in it, a line in it.

Patterns take time by the length of the file: ``*`` is the only character of them that means anything.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath


class FileContents:
    """The content of regular files, links followed.

    Every question raises GuestReadError where there is no regular file, or it cannot be read; those about
    texts also where it is larger than a configuration file is.
    """

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._kept: tuple[GuestPath, bytes] | None = None

    def sha256(self, path: GuestPath, expected: str) -> str:
        """Its digest in hexadecimal digits; one other than expected is what the filesystem gives out."""
        real = self._guest.resolve(path)
        if real is not None and self._guest.digests("sha256", [real]).get(real) == expected:
            return expected
        sure = {} if real is None else self._guest.digests("sha256", [real], through_filesystem=True)
        if real is None or real not in sure:
            raise GuestReadError(path, "its content cannot be read")
        return sure[real]

    def has_text(self, path: GuestPath, text: str) -> bool:
        """True when the text stands in it somewhere, to the byte (UTF-8)."""
        return _bytes(text) in self._content(path)

    def has_line(self, path: GuestPath, pattern: str) -> bool:
        """True when one whole line fits, without the blanks at its ends.

        ``*`` fits anything, and nothing; every other character fits itself.
        """
        pieces = [_bytes(piece) for piece in pattern.split("*")]
        return any(_fits(line, pieces) for line in _lines_with(self._content(path), max(pieces, key=len)))

    def _content(self, path: GuestPath) -> bytes:
        if self._kept is None or self._kept[0] != path:
            self._kept = (path, self._guest.read(path))
        return self._kept[1]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _lines_with(data: bytes, piece: bytes) -> Iterator[bytes]:
    """The lines that hold a piece, which has no line end in it; each of them once."""
    at = 0
    while at <= len(data):
        found = data.find(piece, at)
        if found < 0:
            return
        begin = data.rfind(b"\n", at, found) + 1 or at
        end = data.find(b"\n", found)
        end = len(data) if end < 0 else end
        yield data[begin:end].strip()
        at = end + 1


def _fits(line: bytes, pieces: list[bytes]) -> bool:
    """Whether the pieces stand in a line in order, the first at its beginning and the last at its end."""
    first, *inner = pieces
    if not inner:
        return line == first
    last = inner.pop()
    if len(line) < len(first) + len(last) or not line.startswith(first) or not line.endswith(last):
        return False
    at, end = len(first), len(line) - len(last)
    for piece in inner:  # the earliest place of each leaves most to those after it
        at = line.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True

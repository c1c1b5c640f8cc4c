"""Other bytes in the place of some of a text, and all that is around them as it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Splice(NamedTuple):
    """Bytes in the place of ``length`` bytes at an offset in the file."""

    offset: int
    length: int
    text: bytes


def spliced(text: bytes, changes: Iterable[Splice], *, start: int = 0) -> bytes:
    """The text after splices that do not overlap; ``start`` is where in the file it begins."""
    pieces: list[bytes] = []
    position = 0
    for offset, length, new in sorted(changes, key=lambda change: change[:2]):
        pieces += [text[position : offset - start], new]
        position = offset - start + length
    return b"".join([*pieces, text[position:]])

"""Edits of whole lines of a configuration file."""

from __future__ import annotations

from collections.abc import Mapping

from guestrepair.formats.lines import byte_lines
from guestrepair.formats.splice import Splice, spliced
from guestrepair.model import Edit


def line_at(data: bytes, number: int) -> tuple[int, bytes] | None:
    """(offset, bytes without the newline) of a 1-based line; None where there is no such line."""
    offset = 0
    for at, line in enumerate(byte_lines(data), 1):
        if at == number:
            return offset, line
        offset += len(line) + 1
    return None


def line_edits(data: bytes, changes: Mapping[int, bytes | None]) -> tuple[Edit, ...] | None:
    """Other text in the place of lines; None for the text takes the line away, with its newline.

    None where one of them is not there.
    """
    edits = []
    for number, text in sorted(changes.items()):
        found = line_at(data, number)
        if found is None:
            return None
        offset, line = found
        has_newline = data[offset + len(line) : offset + len(line) + 1] == b"\n"
        length = len(line) + (1 if text is None and has_newline else 0)
        edits.append(Edit(offset=offset, length=length, text=text or b""))
    return tuple(edits)


def edited(data: bytes, edits: tuple[Edit, ...]) -> bytes:
    """The content after edits."""
    return spliced(data, (Splice(e.offset, e.length, e.text) for e in edits))

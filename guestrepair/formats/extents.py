"""Where the content of files lies on their filesystem, as filefrag(8) prints it.

Only what can be read without the filesystem counts as a layout: every extent has
a place, and none is compressed, encrypted, packed into metadata, not written yet
or of an unknown kind (linux/fiemap.h).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.formats.lines import byte_lines

MAX_EXTENTS = 20_000
"""A file in more pieces has no layout here: each takes memory, and a read of its own."""

_PLAIN = frozenset({"last", "eof", "merged", "shared"})
_FILE = re.compile(rb"File size of (.*) is (\d{1,20}) \(\d+ blocks? of (\d{1,20}) bytes\)", re.DOTALL)
_NUMBERS = re.compile(
    rb" *(\d+): *(\d{1,20})\.\. *(\d+): *(\d{1,20})\.\. *(\d+): *(\d{1,20}): *+(?:\d+: *+)?([a-z0-9_,]*)",
)
_END = re.compile(rb"(.*): (\d{1,20}) extents? found", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of a file's bytes: from ``logical`` in the file, from ``physical`` on its filesystem's device."""

    logical: int
    physical: int
    length: int


@dataclass(frozen=True, slots=True)
class Layout:
    """A file's size in bytes, and its extents in order; what lies between them reads as zeros."""

    size_bytes: int
    extents: tuple[Extent, ...]

    @property
    def hole_bytes(self) -> int:
        """How many bytes of the file lie in no extent."""
        return self.size_bytes - sum(min(e.length, self.size_bytes - e.logical) for e in self.extents)

    @property
    def is_sound(self) -> bool:
        """True when the extents are in order, none over another, none empty, none behind the file's end."""
        at = 0
        for extent in self.extents:
            if extent.logical < at or extent.length <= 0 or extent.logical >= self.size_bytes:
                return False
            at = extent.logical + extent.length
        return True

    def lies_within(self, size_bytes: int) -> bool:
        """True when every extent lies on a device of that size."""
        return all(e.physical + e.length <= size_bytes for e in self.extents)


def parse_layouts(output: bytes) -> Iterator[tuple[bytes, Layout]]:
    """Name and layout of each file in the output of ``filefrag -v``; one without a plain layout is left out.

    Names must hold no newline, or one could pass for a line of the output.
    """
    name, size, unit = b"", 0, 0
    extents: list[Extent] | None = None
    for line in byte_lines(output):
        begins, ends = _FILE.fullmatch(line), _END.fullmatch(line)
        if begins:
            name, size, unit, extents = begins[1], int(begins[2]), int(begins[3]), []
        elif ends and ends[1] == name:
            layout = Layout(size, tuple(extents or ()))
            if extents is not None and len(extents) == int(ends[2]) and layout.is_sound:
                yield name, layout
            extents = None
        elif extents is not None and b".." in line:
            extent = _extent(line, unit)
            if extent is None or len(extents) >= MAX_EXTENTS:
                extents = None
            else:
                extents.append(extent)


def _extent(line: bytes, unit: int) -> Extent | None:
    numbers = _NUMBERS.fullmatch(line)
    if numbers is None or not set(numbers[7].decode().split(",")) - {""} <= _PLAIN:
        return None
    logical, physical, length = (int(numbers[index]) * unit for index in (2, 4, 6))
    return Extent(logical, physical, length)

"""Where the bytes of a volume lie: pieces of disks, and what is put together of other volumes.

A logical volume or an array is a row of stretches; each lies on one device below it, or in turn on several
(stripes). What is below may be put together itself. :func:`places` follows that down to the disks.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from guestrepair.errors import FormatError

MAX_DEPTH = 8
"""Volumes upon volumes: a logical volume on an array on a partition is three."""


@dataclass(frozen=True, slots=True)
class Leg:
    """Where one stripe begins: a device below, by its name or its identity, and the byte in it."""

    source: str
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a volume that lies on one leg, or on all of its legs in turn, ``chunk_bytes`` on each.

    With several legs ``size_bytes`` is a multiple of the chunk's size.
    """

    start_bytes: int
    size_bytes: int
    legs: tuple[Leg, ...]
    chunk_bytes: int = 0

    def size_of_leg(self) -> int:
        """Bytes on each leg.

        Raises:
            FormatError: that is nothing, or no whole number of chunks.
        """
        length, rest = divmod(self.size_bytes, max(len(self.legs), 1))
        unit = self.chunk_bytes if len(self.legs) > 1 else 1
        if not self.legs or length <= 0 or rest or unit <= 0 or length % unit:
            raise FormatError("a piece of a volume without bytes, or stripes of different lengths")
        return length

    def pieces(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """What makes up a part of it (from its own start): number of the leg, byte in its source, length."""
        if len(self.legs) == 1:
            yield 0, self.legs[0].offset_bytes + start, end - start
            return
        while start < end:
            chunk, inside = divmod(start, self.chunk_bytes)
            row, number = divmod(chunk, len(self.legs))
            length = min(self.chunk_bytes - inside, end - start)
            yield number, self.legs[number].offset_bytes + row * self.chunk_bytes + inside, length
            start += length


@dataclass(frozen=True, slots=True)
class DiskPart:
    """A disk, or a part of one."""

    disk: str
    start_bytes: int
    size_bytes: int

    @property
    def depth(self) -> int:
        """Nothing lies below it."""
        return 0


@dataclass(frozen=True, slots=True)
class Mapped:
    """A volume that is put together: its stretches, one after the other, and what they lie on."""

    stretches: tuple[Stretch, ...]
    below: Mapping[str, Volume]
    size_bytes: int
    depth: int

    @classmethod
    def of(cls, stretches: Sequence[Stretch], below: Mapping[str, Volume]) -> Mapped:
        """A volume of stretches in their order, on the devices named in them.

        Raises:
            FormatError: a gap, a device that is not there or is too small, or too many upon each other.
        """
        at = 0
        used: dict[str, Volume] = {}
        for stretch in stretches:
            if stretch.start_bytes != at:
                raise FormatError("the pieces of a volume do not follow each other")
            at += stretch.size_bytes
            length = stretch.size_of_leg()
            for leg in stretch.legs:
                found = below.get(leg.source)
                if found is None or not 0 <= leg.offset_bytes <= found.size_bytes - length:
                    raise FormatError("a piece of a volume lies where nothing is")
                used[leg.source] = found
        depth = 1 + max((volume.depth for volume in used.values()), default=0)
        if depth > MAX_DEPTH:
            raise FormatError("too many volumes upon each other")
        return cls(tuple(stretches), used, at, depth)


Volume: TypeAlias = DiskPart | Mapped


def disks(volume: Volume) -> frozenset[str]:
    """The disks that a volume lies on."""
    if isinstance(volume, DiskPart):
        return frozenset({volume.disk})
    return frozenset().union(*(disks(below) for below in volume.below.values()))


def places(volume: Volume, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """What makes up a part of a volume, up to its end: the disk, the byte in it, the length."""
    end = min(end, volume.size_bytes)
    if not 0 <= start < end:
        return
    if isinstance(volume, DiskPart):
        yield volume.disk, volume.start_bytes + start, end - start
        return
    index = bisect.bisect_right(volume.stretches, start, key=lambda each: each.start_bytes) - 1
    while start < end:
        stretch = volume.stretches[index]
        last = min(end, stretch.start_bytes + stretch.size_bytes)
        for leg, at, length in stretch.pieces(start - stretch.start_bytes, last - stretch.start_bytes):
            yield from places(volume.below[stretch.legs[leg].source], at, at + length)
        start, index = last, index + 1

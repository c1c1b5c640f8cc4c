"""Where two states of a qcow2 file, or a state and nothing, name other clusters: told by its tables alone.

Two entries that are the same name the same bytes of the file: what the guest reads there is the same.

Source: qemu's docs/interop/qcow2.txt, "Cluster mapping" and "Snapshots".
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from guestrepair import fence
from guestrepair.disk.headers.common import Source
from guestrepair.disk.headers.qcow2 import INCOMPATIBLE_EXTENDED_L2, MAX_L1_BYTES, Header
from guestrepair.errors import FormatError

MAX_TABLE_BYTES = 256 << 20
"""L2 tables that are read: they map 2 TiB at the default cluster size. What others map counts as other."""
MAX_PIECES = 500_000
_OFFSET_MASK = 0x00FF_FFFF_FFFF_FE00
_NOT_COPIED = ~(1 << 63)
"""Without the bit that says whether a cluster is of this state alone, and not where it lies."""
_SNAPSHOT = struct.Struct(">QIHHIIQII")
_SNAPSHOT_BYTES = _SNAPSHOT.size  # 40


@dataclass(frozen=True, slots=True)
class ClusterMap:
    """A state's table of tables (L1): the offset of the L2 table of each part of the disk, 0 for none."""

    tables: Sequence[int]


NOTHING = ClusterMap(())
"""A state that holds no cluster: all is as it lies below."""


def active_map(header: Header, source: Source) -> ClusterMap:
    """The state as it is now.

    Raises:
        FormatError: its table is cut off.
    """
    return _map(source, header.l1_offset, header.l1_entries)


def snapshot_map(header: Header, source: Source, identifier: str, name: str) -> ClusterMap:
    """The state as it was at a snapshot, by its number and name.

    Raises:
        FormatError: there is not exactly one snapshot that is called so, or its table is damaged.
    """
    found = [
        (offset, entries)
        for each, called, offset, entries in _snapshots(header, source)
        if (each, called) == (identifier, name)
    ]
    if len(found) != 1:
        raise FormatError(f"{len(found)} snapshots are called so")
    return _map(source, *found[0])


def _map(source: Source, offset: int, entries: int) -> ClusterMap:
    if entries * 8 > MAX_L1_BYTES:
        raise FormatError(f"absurd L1 table of {entries} entries")
    data = source.exactly(offset, entries * 8, "L1 table") if entries else b""
    return ClusterMap([entry & _OFFSET_MASK for entry in _numbers(data)])


def _snapshots(header: Header, source: Source) -> Iterator[tuple[str, str, int, int]]:
    """Number, name, and place and length of the L1 table of each."""
    at = header.snapshots_offset
    for _ in range(header.snapshots):
        fence.check()
        fields = _SNAPSHOT.unpack(source.exactly(at, _SNAPSHOT_BYTES, "snapshot table"))
        offset, entries, identifier_bytes, name_bytes, *_, extra_bytes = fields
        at += _SNAPSHOT_BYTES + extra_bytes
        text = source.exactly(at, identifier_bytes + name_bytes, "snapshot table")
        yield (
            text[:identifier_bytes].decode("utf-8", "replace"),
            text[identifier_bytes:].decode("utf-8", "replace"),
            offset,
            entries,
        )
        at = (at + identifier_bytes + name_bytes + 7) // 8 * 8


def other_clusters(
    header: Header, source: Source, one: ClusterMap, other: ClusterMap
) -> list[tuple[int, int]]:
    """First byte and end of each part of the disk whose clusters are not the same in both, in order.

    Raises:
        FormatError: a table is cut off, or there are too many parts.
    """
    wide = bool(header.incompatible & INCOMPATIBLE_EXTENDED_L2)
    clusters = header.cluster_size // (16 if wide else 8)
    found = _Pieces()
    left = MAX_TABLE_BYTES
    for number, (a, b) in enumerate(zip_longest(one.tables, other.tables, fillvalue=0)):
        if a == b:
            continue
        fence.check()
        first = number * clusters
        left -= header.cluster_size * (bool(a) + bool(b))
        if left < 0:
            found.add(first * header.cluster_size, (first + clusters) * header.cluster_size)
            continue
        for index in _differing(*(_entries(header, source, table) for table in (a, b)), wide=wide):
            found.add((first + index) * header.cluster_size, (first + index + 1) * header.cluster_size)
    return found.pieces


class _Pieces:
    """Parts that follow each other are one."""

    def __init__(self) -> None:
        self.pieces: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> None:
        if self.pieces and self.pieces[-1][1] == start:
            self.pieces[-1] = self.pieces[-1][0], end
            return
        if len(self.pieces) >= MAX_PIECES:
            raise FormatError(f"more than {MAX_PIECES} parts differ")
        self.pieces.append((start, end))


def _entries(header: Header, source: Source, table: int) -> Sequence[int]:
    if not table:
        return array("Q", bytes(header.cluster_size))
    return _numbers(source.exactly(table, header.cluster_size, "L2 table"))


def _numbers(data: bytes) -> Sequence[int]:
    """Big-endian numbers of 64 bits."""
    return struct.unpack(f">{len(data) // 8}Q", data)


def _differing(one: Sequence[int], other: Sequence[int], *, wide: bool) -> Iterator[int]:
    """The clusters that are not the same in two tables; a wide entry has a second word, of subclusters."""
    step = 2 if wide else 1
    for index, (a, b) in enumerate(zip(one[::step], other[::step], strict=True)):
        if (a ^ b) & _NOT_COPIED or (wide and one[2 * index + 1] != other[2 * index + 1]):
            yield index

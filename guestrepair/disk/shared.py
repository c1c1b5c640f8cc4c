"""Which bytes of their disks two images may hold differently, told by the files that they are made of.

Two images on one backing file, an image and its own snapshot, an image before and after a repair: most of
their clusters are one and the same in some file. The tables of what lies above that tell which are not.
Nothing of the disks is read for it.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk.headers import Source, qcow2, qcow2_clusters
from guestrepair.disk.headers.qcow2_clusters import ClusterMap
from guestrepair.disk.image import Format, Layer
from guestrepair.disk.source import opened
from guestrepair.errors import FormatError, ImageError


@dataclass(frozen=True, slots=True)
class State:
    """A file of a chain: as it is now, or as it was at one of its internal snapshots (number and name)."""

    layer: Layer
    snapshot: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[Path, tuple[str, str] | None]:
        """What is the same of one state, whoever looked at it."""
        return self.layer.path, self.snapshot


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a disk by their first bytes and ends: in order, none over another."""

    pieces: Sequence[tuple[int, int]]

    def meet(self, offset: int, size: int) -> bool:
        """Whether one of them has a byte of a range."""
        index = bisect.bisect_left(self.pieces, offset + size, key=lambda piece: piece[0]) - 1
        return size > 0 and index >= 0 and self.pieces[index][1] > offset


def may_differ(one: Sequence[State], other: Sequence[State]) -> Parts | None:
    """Where two chains, each from its top to its last file, may show other bytes.

    None: that is not known, because they share no file, or one is of a kind that does not tell.
    """
    above, below = list(one), list(other)
    shared: Layer | None = None
    while above and below and above[-1].key == below[-1].key:
        shared = above.pop().layer
        below.pop()
    try:
        pieces: list[tuple[int, int]] = []
        if above and below and above[-1].layer.path == below[-1].layer.path:
            last, other_last = above.pop(), below.pop()
            pieces += _between(last.layer, last.snapshot, other_last.snapshot)
            shared = shared or last.layer
        if shared is None:
            return None
        for state in (*above, *below):
            if state.snapshot is not None or not _covers(state.layer, shared):
                return None
            pieces += _held(state.layer)
    except (FormatError, ImageError):
        return None
    return Parts(_merged(pieces))


def holds_nothing(layer: Layer) -> bool:
    """Whether all of the disk that a file shows is that of what lies under it.

    Raises:
        FormatError: its format does not tell.
        ImageError: it cannot be read.
    """
    return not _held(layer)


def held_by(layer: Layer, below: Layer) -> Parts | None:
    """Where a file holds other bytes than the one under it; None where that does not show through as it is.

    Raises:
        FormatError: its format does not tell.
        ImageError: it cannot be read.
    """
    return Parts(_merged(_held(layer))) if _covers(layer, below) else None


def _covers(layer: Layer, below: Layer) -> bool:
    """Whether all of a disk can shine through what lies above it: behind a shorter file's end are zeros."""
    size, least = layer.virtual_size_bytes, below.virtual_size_bytes
    return size is not None and least is not None and size >= least


def _held(layer: Layer) -> list[tuple[int, int]]:
    """What a file holds itself."""
    with _tables(layer) as (header, source):
        now = qcow2_clusters.active_map(header, source)
        return qcow2_clusters.other_clusters(header, source, now, qcow2_clusters.NOTHING)


def _between(
    layer: Layer, one: tuple[str, str] | None, other: tuple[str, str] | None
) -> list[tuple[int, int]]:
    """Where two states of one file differ."""
    with _tables(layer) as (header, source):

        def found(snapshot: tuple[str, str] | None) -> ClusterMap:
            if snapshot is None:
                return qcow2_clusters.active_map(header, source)
            return qcow2_clusters.snapshot_map(header, source, *snapshot)

        return qcow2_clusters.other_clusters(header, source, found(one), found(other))


@contextmanager
def _tables(layer: Layer) -> Iterator[tuple[qcow2.Header, Source]]:
    """The header of a qcow2 file that holds its clusters itself.

    Raises:
        FormatError: it is none.
        ImageError: it cannot be read.
    """
    if layer.format is not Format.QCOW2 or layer.data_file is not None:
        raise FormatError("a format that does not tell what it holds")
    with opened(layer.path) as (source, _):
        yield qcow2.parse(source), source


def _merged(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(pieces):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found

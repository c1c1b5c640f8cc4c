"""Digests of many files at once: on the host where it can read their bytes, else in the appliance.

Under software emulation the appliance hashes some ten times slower than the
host. So where it is known at which bytes of the disk a file lies, the host reads
them through the overlay. That is known for plain files on partitions and whole
disks: of ext4 and XFS from the inodes; of those that are not certain there, from filefrag in the appliance.
btrfs is read on the host as a filesystem, with all that it verifies. Everything else is hashed in the
appliance (``hash_programs.py``).
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from guestrepair.disk.known_digests import Key, KnownDigests
from guestrepair.errors import GuestReadError
from guestrepair.formats.extents import Layout
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.file_records import ContentPlace
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath
from guestrepair.session.host.filesystem import pieces

MAX_FILE_BYTES = 4 << 30
"""A larger file is not hashed: no package has one, and a sparse file of terabytes would take days."""

MAX_HOLE_BYTES = 64 << 20
"""A file with more holes than that is read by the appliance."""

MAX_TOTAL_BYTES = 64 << 30
"""What is hashed of a guest in one launch, on the host and in the appliance. A healthy one has less."""

MAX_VERIFIED_BYTES = 2 << 30
"""Of that, what is hashed once more through the filesystem, which is slow: where a difference was found."""

_READ_COST_BYTES = 64 << 10
"""What one read of the disk costs beside its bytes: a file of many small pieces takes time, too."""

_MAX_EXTENTS = 100_000
"""Extents of files that are hashed together; each takes some 150 bytes of memory."""

_PIECE_BYTES = 1 << 20
_SMALL_BYTES, _GAP_BYTES = 128 << 10, 32 << 10
"""Extents up to that size are read together with those that lie no farther away."""

ASK_FROM_BYTES = 48 << 20
"""Below, hashing in the appliance takes less time than asking it where the files lie."""


class HashInAppliance(Protocol):
    """What hashes through the filesystem, and what knows where that has the files."""

    def hashed(self, algorithm: str, files: Mapping[GuestPath, Stat]) -> Mapping[GuestPath, str]:
        """Hex digests of regular files, read through the filesystem; what cannot be read is left out."""
        ...

    def layouts(self, files: Mapping[GuestPath, Stat]) -> Iterator[tuple[GuestPath, Layout]]:
        """Where files lie on their filesystem's device, as the kernel says.

        Raises:
            GuestReadError: it cannot be asked.
        """
        ...


class LayoutsOnHost(Protocol):
    """Where files lie on the disks, for real paths."""

    def reads(self, path: str) -> bool:
        """Whether a path lies on a filesystem that is read on the host."""
        ...

    def located(self, path: str, stat: Stat) -> tuple[Layout, Read] | None:
        """Where a file of such a filesystem lies, and what reads its device; None: not certain."""
        ...

    def reader(self, path: str, stat: Stat) -> Callable[[int, int], bytes | None] | None:
        """What reads a file there that has no plain layout, as its filesystem does; None: not certain."""
        ...

    def mount_point(self, path: str) -> str:
        """The mount point that a path lies below."""
        ...

    def place(self, path: str, inode: int, size_bytes: int) -> ContentPlace | None:
        """Where the content of a regular file of that inode and size lies on the disks; None: not certain."""
        ...

    def mappable(self) -> Mapping[str, tuple[Read, int]]:
        """By mount point: readers and sizes of the devices of which the kernel can tell where files lie."""
        ...


@dataclass(slots=True)
class Hasher:
    """Hashes files of one mounted guest by their real paths; without ``host``, in the appliance alone."""

    appliance: HashInAppliance
    host: LayoutsOnHost | None = None
    left_bytes: int = MAX_TOTAL_BYTES
    """What may still be read for digests."""
    known: KnownDigests | None = None
    """Digests of files in what this image shares with others."""
    _verifiable: int = field(init=False, default=MAX_VERIFIED_BYTES)

    def digests(
        self, algorithm: str, files: Mapping[GuestPath, Stat], *, through_filesystem: bool = False
    ) -> dict[GuestPath, str]:
        """Hex digests; a file that cannot be hashed, or is beyond what may be hashed in all, is left out.

        A file of several names is hashed once. With ``through_filesystem`` no byte is read
        behind the filesystem's back.
        """
        names = _by_inode(files)
        once = {same[0]: files[same[0]] for same in names}
        found = self._once(algorithm, dict(self._within_limits(once, through_filesystem)), through_filesystem)
        return {path: found[same[0]] for same in names if same[0] in found for path in same}

    def _once(
        self, algorithm: str, left: dict[GuestPath, Stat], through_filesystem: bool
    ) -> dict[GuestPath, str]:
        answer: dict[GuestPath, str] = {}
        if self.host is not None and not through_filesystem:
            with contextlib.suppress(GuestReadError):
                answer |= self._on_the_host(self.host, algorithm, left)
            left = {path: stat for path, stat in left.items() if path not in answer}
        self.left_bytes -= sum(stat.size_bytes for stat in left.values())
        if left and self.left_bytes >= 0:
            answer |= self.appliance.hashed(algorithm, left)
        return answer

    # --- on the host --------------------------------------------------------------------

    def _on_the_host(
        self, host: LayoutsOnHost, algorithm: str, files: Mapping[GuestPath, Stat]
    ) -> dict[GuestPath, str]:
        shared = dict(self._in_shared(host, algorithm, files))
        answer = self._known_already(shared)
        read = self._read_on_the_host(host, algorithm, {p: s for p, s in files.items() if p not in answer})
        if self.known is not None:
            for path in shared.keys() & read.keys():
                self.known.keep(shared[path], read[path])
        return answer | read

    def _in_shared(
        self, host: LayoutsOnHost, algorithm: str, files: Mapping[GuestPath, Stat]
    ) -> Iterator[tuple[GuestPath, Key]]:
        """The files that lie in what is shared, and what they are known by."""
        if self.known is None:
            return
        for path, stat in sorted(files.items(), key=lambda item: item[1].inode):
            place = host.place(str(path), stat.inode, stat.size_bytes) if host.reads(str(path)) else None
            if place is None:
                continue
            key = self.known.key(place.disk, algorithm, place.size_bytes, place.pieces)
            if key is not None:
                yield path, key

    def _known_already(self, shared: Mapping[GuestPath, Key]) -> dict[GuestPath, str]:
        if self.known is None:
            return {}
        found = ((path, self.known.find(key)) for path, key in shared.items())
        return {path: digest for path, digest in found if digest is not None}

    def _read_on_the_host(
        self, host: LayoutsOnHost, algorithm: str, files: Mapping[GuestPath, Stat]
    ) -> dict[GuestPath, str]:
        answer: dict[GuestPath, str] = {}
        for batch in _together(self._located(host, files)):
            for whole in {id(read): read for _, _, read in batch}.values():
                there = [(path, layout) for path, layout, read in batch if read is whole]
                there.sort(key=lambda each: _first_byte(each[1]))
                ahead = ReadAhead(self._counted(whole), [layout for _, layout in there])
                for path, layout in there:
                    # What cannot be read here is hashed in the appliance, which may fare better.
                    with contextlib.suppress(GuestReadError):
                        answer[path] = _digest(algorithm, ahead.read, layout)
        return answer | self._unpacked(host, algorithm, {p: s for p, s in files.items() if p not in answer})

    def _unpacked(
        self, host: LayoutsOnHost, algorithm: str, files: Mapping[GuestPath, Stat]
    ) -> dict[GuestPath, str]:
        """Of files that do not lie on the disk as they are: compressed, or to be verified."""
        answer: dict[GuestPath, str] = {}
        for path, stat in sorted(files.items(), key=lambda item: item[1].inode):
            read = host.reader(str(path), stat) if host.reads(str(path)) else None
            digest = None if read is None else self._read_through(algorithm, read, stat.size_bytes)
            if digest is not None:
                answer[path] = digest
        return answer

    def _read_through(
        self, algorithm: str, read: Callable[[int, int], bytes | None], size_bytes: int
    ) -> str | None:
        state = hashlib.new(algorithm, usedforsecurity=False)
        for offset in range(0, size_bytes, _PIECE_BYTES):
            size = min(_PIECE_BYTES, size_bytes - offset)
            self.left_bytes -= size + _READ_COST_BYTES
            piece = read(offset, size) if self.left_bytes >= 0 else None
            if piece is None or len(piece) != size:
                return None
            state.update(piece)
        return state.hexdigest()

    def _counted(self, read: Read) -> Read:
        """What reads as ``read`` does, until what may be read in all is used up."""

        def counted(offset: int, size: int) -> bytes:
            self.left_bytes -= size + _READ_COST_BYTES
            if self.left_bytes < 0:
                raise GuestReadError("files to be hashed", "more than is hashed in all")
            return read(offset, size)

        return counted

    def _located(
        self, host: LayoutsOnHost, files: Mapping[GuestPath, Stat]
    ) -> Iterator[tuple[GuestPath, Layout, Read]]:
        """Where files lie, in the order of their inodes, which is about that of the disk."""
        elsewhere: dict[GuestPath, Stat] = {}
        for path, stat in sorted(files.items(), key=lambda item: item[1].inode):
            if not host.reads(str(path)):
                elsewhere[path] = stat
                continue
            found = host.located(str(path), stat)
            if found is not None and found[0].hole_bytes <= MAX_HOLE_BYTES:
                yield path, *found
        with contextlib.suppress(GuestReadError):
            yield from self._mapped_by_appliance(host, elsewhere)

    def _mapped_by_appliance(
        self, host: LayoutsOnHost, files: Mapping[GuestPath, Stat]
    ) -> Iterator[tuple[GuestPath, Layout, Read]]:
        for target, (read, size_bytes) in host.mappable().items() if files else ():
            there = {p: s for p, s in files.items() if host.mount_point(str(p)) == target}
            if sum(stat.size_bytes for stat in there.values()) <= ASK_FROM_BYTES:
                continue
            for path, layout in self.appliance.layouts(there):
                if path in there and _is_usable(layout, there[path], size_bytes):
                    yield path, layout, read

    def _within_limits(
        self, files: Mapping[GuestPath, Stat], through_filesystem: bool
    ) -> Iterator[tuple[GuestPath, Stat]]:
        total = 0
        for path, stat in files.items():
            size = stat.size_bytes
            if size > MAX_FILE_BYTES or total + size > self.left_bytes:
                continue
            if through_filesystem:
                if size > self._verifiable:
                    continue
                self._verifiable -= size
            total += size
            yield path, stat


def _by_inode(files: Mapping[GuestPath, Stat]) -> list[list[GuestPath]]:
    """The names of each file together; one whose inode is not known is by itself."""
    names: dict[object, list[GuestPath]] = {}
    for path, stat in files.items():
        names.setdefault((stat.device, stat.inode) if stat.inode else path, []).append(path)
    return list(names.values())


def _together(
    found: Iterable[tuple[GuestPath, Layout, Read]],
) -> Iterator[list[tuple[GuestPath, Layout, Read]]]:
    """Files in batches of as many extents as are held at a time."""
    batch: list[tuple[GuestPath, Layout, Read]] = []
    extents = 0
    for each in found:
        if batch and extents + len(each[1].extents) > _MAX_EXTENTS:
            yield batch
            batch, extents = [], 0
        batch.append(each)
        extents += len(each[1].extents)
    if batch:
        yield batch


def _is_usable(layout: Layout, stat: Stat, size_bytes: int) -> bool:
    plain = layout.lies_within(size_bytes) and layout.hole_bytes <= MAX_HOLE_BYTES
    return plain and layout.size_bytes == stat.size_bytes


def _first_byte(layout: Layout) -> int:
    """Files in the order of the disk: fewer seeks, and the host reads ahead."""
    return layout.extents[0].physical if layout.extents else 0


class ReadAhead:
    """Reads the small ones of these files together where they lie beside each other.

    Each read of the disk costs a tenth of a millisecond, and there may be some hundred thousand files.
    """

    def __init__(self, read: Read, layouts: Iterable[Layout]) -> None:
        self._read = read
        places = ((at, size) for layout in layouts for at, size in pieces(layout, 0, layout.size_bytes))
        self._spans = list(_spans({place for place in places if place[0] >= 0}))
        self._held: tuple[int, bytes] = (0, b"")

    def read(self, offset: int, size: int) -> bytes:
        """As the device reads."""
        start, data = self._held
        if not start <= offset <= offset + size <= start + len(data):
            index = bisect.bisect_right(self._spans, offset, key=lambda span: span[0]) - 1
            first, end = self._spans[index] if index >= 0 else (offset, offset)
            if not first <= offset <= offset + size <= end:
                return self._read(offset, size)
            start, data = self._held = first, self._read(first, end - first)
        return data[offset - start : offset - start + size]


def _spans(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """First byte and end of what is read at once: small pieces with no wide gap between them."""
    small = sorted((at, at + length) for at, length in places if length <= _SMALL_BYTES)
    start = end = -1
    for at, last in small:
        if start >= 0 and at - end <= _GAP_BYTES and last - start <= _PIECE_BYTES:
            end = max(end, last)
            continue
        if start >= 0:
            yield start, end
        start, end = at, last
    if start >= 0:
        yield start, end


def _digest(algorithm: str, read: Read, layout: Layout) -> str:
    """Hex digest of a file's content.

    Raises:
        GuestReadError: a part of it cannot be read.
    """
    state = hashlib.new(algorithm, usedforsecurity=False)
    for at, length in pieces(layout, 0, layout.size_bytes):
        for offset in range(0, length, _PIECE_BYTES):
            size = min(_PIECE_BYTES, length - offset)
            state.update(bytes(size) if at < 0 else read(at + offset, size))
    return state.hexdigest()

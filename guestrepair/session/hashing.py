"""Digests of many files at once: on the host where it can read their bytes, else in the appliance.

Under software emulation the appliance hashes some ten times slower than the
host. So where it is known at which bytes of the disk a file lies, the host reads
them through the overlay. That is known for plain files on partitions and whole
disks: of ext4 from the inodes, of XFS and other ext from filefrag in the appliance. Everything
else is hashed in the appliance, in one run of the host's own sha256sum or its like.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from guestrepair.appliance.handle import Handle, reading
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.errors import GuestReadError
from guestrepair.formats.extents import Layout, parse_layouts
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath
from guestrepair.session.host.filesystem import pieces
from guestrepair.session.host.tree import HostTree

T = TypeVar("T")
DIRECTORY = "/hashing"
PROGRAMS = {
    "xargs": "findutils",
    "filefrag": "e2fsprogs",
    "md5sum": "coreutils",
    "sha1sum": "coreutils",
    "sha224sum": "coreutils",
    "sha256sum": "coreutils",
    "sha384sum": "coreutils",
    "sha512sum": "coreutils",
}
FEW = 4
"""Up to so many files are asked for one by one (15 ms each), which beats bringing programs in."""

MAX_FILE_BYTES = 4 << 30
"""A larger file is not hashed: no package has one, and a sparse file of terabytes would take days."""

MAX_HOLE_BYTES = 64 << 20
"""A file with more holes than that is read by the appliance."""

MAX_TOTAL_BYTES = 64 << 30
"""What is hashed of a guest in one launch, on the host and in the appliance. A healthy one has less."""

MAX_CONFIRMED_BYTES = 2 << 30
"""Of that, what is hashed once more through the filesystem, which is slow: where a difference was found."""

_READ_COST_BYTES = 64 << 10
"""What one read of the disk costs beside its bytes: a file of many small pieces takes time, too."""

_MAX_EXTENTS = 100_000
"""Extents of files that are hashed together; each takes some 150 bytes of memory."""

_LIST_BYTES = 1 << 20
"""Names in one run: libguestfs's messages hold 4 MB at most."""

_MAX_ANSWER_BYTES = 128 << 20
_PIECE_BYTES = 1 << 20
_SMALL_BYTES, _GAP_BYTES = 128 << 10, 32 << 10
"""Extents up to that size are read together with those that lie no farther away."""

TELLING = frozenset({"ext2", "ext3", "ext4", "xfs"})
"""Filesystems whose extents lie where FIEMAP says; btrfs answers in addresses of its own."""

ASK_FROM_BYTES = 48 << 20
"""Below, hashing in the appliance takes less time than asking it where the files lie."""


@dataclass(slots=True)
class Hasher:
    """Hashes files of a guest that is mounted read-only under ``prefix``; its parents' links are resolved.

    ``host`` knows where the files of ext4 lie. ``told`` gives, by the real mount point, what reads the
    devices of those filesystems of which the appliance can tell it (XFS), and their sizes.
    """

    handle: Handle
    prefix: str
    toolbox: Toolbox
    host: HostTree
    told: Callable[[], Mapping[str, tuple[Read, int]]] = dict
    left_bytes: int = MAX_TOTAL_BYTES
    """What may still be read for digests."""
    _confirmable: int = field(init=False, default=MAX_CONFIRMED_BYTES)

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
        if not through_filesystem:
            with contextlib.suppress(GuestReadError):
                answer |= self._on_the_host(algorithm, left)
            left = {path: stat for path, stat in left.items() if path not in answer}
        self.left_bytes -= sum(stat.size_bytes for stat in left.values())
        if self.left_bytes < 0:
            return answer
        if len(left) > FEW and f"{algorithm}sum" in PROGRAMS:
            with contextlib.suppress(GuestReadError):
                answer |= self._in_the_appliance(algorithm, left)
                left = {path: left[path] for path in left if "\n" in str(path)}
        for path in sorted(left.keys() - answer.keys()):
            with contextlib.suppress(GuestReadError), reading(self.handle, path):
                answer[path] = self.handle.checksum(algorithm, f"{self.prefix}{path}")
        return answer

    # --- on the host --------------------------------------------------------------------

    def _on_the_host(self, algorithm: str, files: Mapping[GuestPath, Stat]) -> dict[GuestPath, str]:
        answer: dict[GuestPath, str] = {}
        for batch in _together(self._places(files)):
            for whole in {id(read): read for _, _, read in batch}.values():
                there = [(path, layout) for path, layout, read in batch if read is whole]
                there.sort(key=lambda each: _first_byte(each[1]))
                ahead = Ahead(self._counted(whole), [layout for _, layout in there])
                for path, layout in there:
                    # What cannot be read here is hashed in the appliance, which may fare better.
                    with contextlib.suppress(GuestReadError):
                        answer[path] = _digest(algorithm, ahead.read, layout)
        return answer

    def _counted(self, read: Read) -> Read:
        """What reads as ``read`` does, until what may be read in all is used up."""

        def counted(offset: int, size: int) -> bytes:
            self.left_bytes -= size + _READ_COST_BYTES
            if self.left_bytes < 0:
                raise GuestReadError("files to be hashed", "more than is hashed in all")
            return read(offset, size)

        return counted

    def _places(self, files: Mapping[GuestPath, Stat]) -> Iterator[tuple[GuestPath, Layout, Read]]:
        """Where files lie, in the order of their inodes, which is about that of the disk."""
        elsewhere: dict[GuestPath, Stat] = {}
        for path, stat in sorted(files.items(), key=lambda item: item[1].inode):
            filesystem = self.host.filesystem(str(path))
            if filesystem is None:
                elsewhere[path] = stat
                continue
            layout = self.host.layout(str(path), stat)
            if layout is not None and layout.hole_bytes <= MAX_HOLE_BYTES:
                yield path, layout, filesystem.read
        with contextlib.suppress(GuestReadError):
            yield from self._told_by_the_appliance(elsewhere)

    def _told_by_the_appliance(
        self, files: Mapping[GuestPath, Stat]
    ) -> Iterator[tuple[GuestPath, Layout, Read]]:
        for target, (read, size_bytes) in self.told().items() if files else ():
            there = {p: s for p, s in files.items() if self.host.mount_point(str(p)) == target}
            if sum(stat.size_bytes for stat in there.values()) <= ASK_FROM_BYTES:
                continue
            for path, layout in self._run("{filefrag} -v -b1", there, parse_layouts):
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
                if size > self._confirmable:
                    continue
                self._confirmable -= size
            total += size
            yield path, stat

    # --- in the appliance -----------------------------------------------------------------

    def _in_the_appliance(self, algorithm: str, paths: Iterable[GuestPath]) -> dict[GuestPath, str]:
        return dict(self._run(f"{{{algorithm}sum}} -z --", paths, _sums))

    def _run(
        self, command: str, paths: Iterable[GuestPath], parse: Callable[[bytes], Iterator[tuple[bytes, T]]]
    ) -> Iterator[tuple[GuestPath, T]]:
        """Run a program of the toolbox over files, and what it said about each of them.

        Raises:
            GuestReadError: it cannot be run, or its answer cannot be read.
        """
        skip = len(os.fsencode(self.prefix))
        names = (os.fsencode(f"{self.prefix}{path}") for path in paths if "\n" not in str(path))
        for batch in _batches(names):
            self.toolbox.prepare(self.prefix)
            listed, answer = f"{self.toolbox.directory}/list", f"{self.toolbox.directory}/answer"
            with reading(self.handle, listed):
                self.handle.write(listed, b"\0".join(batch) + b"\0")
            # A file that fails has no line in the answer; how many failed the status does not say.
            self.toolbox.run(
                self.prefix, f"{{xargs}} -0 {command} <{listed} >{answer} 2>/dev/null", needs=PROGRAMS
            )
            asked = set(batch)
            for name, value in parse(self._answer(answer)):
                if name in asked:
                    yield GuestPath(os.fsdecode(name[skip:])), value

    def _answer(self, path: str) -> bytes:
        pieces: list[bytes] = []
        while len(pieces) * _PIECE_BYTES < _MAX_ANSWER_BYTES:
            with reading(self.handle, path):
                piece = self.handle.pread(path, _PIECE_BYTES, len(pieces) * _PIECE_BYTES)
            pieces.append(piece)
            if len(piece) < _PIECE_BYTES:
                break
        return b"".join(pieces)


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


def _batches(names: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    held = 0
    for name in names:
        if batch and held + len(name) >= _LIST_BYTES:
            yield batch
            batch, held = [], 0
        batch.append(name)
        held += len(name) + 1
    if batch:
        yield batch


def _sums(output: bytes) -> Iterator[tuple[bytes, str]]:
    """Lines of ``sha256sum -z``; one that is cut off is left out."""
    for line in output.split(b"\0")[:-1]:
        digest, _, name = line.partition(b"  ")
        yield name, digest.decode(errors="replace")


def _is_usable(layout: Layout, stat: Stat, size_bytes: int) -> bool:
    plain = layout.lies_within(size_bytes) and layout.hole_bytes <= MAX_HOLE_BYTES
    return plain and layout.size_bytes == stat.size_bytes


def _first_byte(layout: Layout) -> int:
    """Files in the order of the disk: fewer seeks, and the host reads ahead."""
    return layout.extents[0].physical if layout.extents else 0


class Ahead:
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

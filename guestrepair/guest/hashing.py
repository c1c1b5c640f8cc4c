"""Digests of many files at once: on the host where it can read their bytes, else in the appliance.

Under software emulation the appliance hashes some ten times slower than the
host. So where it is known at which bytes of the disk a file lies, the host reads
them through the overlay. That is known for plain files on partitions and whole
disks: of ext4 from the inodes, of XFS from filefrag in the appliance. Everything
else is hashed in the appliance, in one run of the host's own sha256sum or its like.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from guestrepair.disk.device import Device, open_shared
from guestrepair.errors import GuestReadError, ImageError
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.extents import Layout, parse_layouts
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.guest.handle import Handle, reading
from guestrepair.guest.toolbox import Toolbox
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath

if TYPE_CHECKING:
    from hashlib import _Hash

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

MAX_TOTAL_BYTES = 64 << 30
MAX_HOLE_BYTES = 64 << 20
_LIST_BYTES = 1 << 20
"""Names in one run: libguestfs's messages hold 4 MB at most."""

_MAX_ANSWER_BYTES = 128 << 20
_PIECE_BYTES = 1 << 20
_EXT = frozenset({"ext2", "ext3", "ext4"})
_FILESYSTEMS = _EXT | {"xfs"}
"""Those whose extents lie where FIEMAP says; btrfs answers in addresses of its own."""

ASK_FROM_BYTES = 48 << 20
"""Below, hashing in the appliance takes less time than asking it where the files lie."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the host finds a filesystem: from ``start_bytes`` of the disk that an overlay shows."""

    overlay: Path
    start_bytes: int
    size_bytes: int
    content: str


def place_of(device: BlockDevice, overlays: Mapping[str, Path]) -> Place | None:
    """The place of a filesystem that lies in one piece on one disk; None for every other."""
    overlay = overlays.get(device.disk)
    plain = device.kind in (DeviceKind.DISK, DeviceKind.PARTITION)
    if overlay is None or not plain or device.content not in _FILESYSTEMS:
        return None
    return Place(overlay, device.start_bytes, device.size_bytes, device.content)


@dataclass(slots=True)
class Hasher:
    """Hashes files of a guest that is mounted read-only under ``prefix``; its parents' links are resolved.

    ``places`` are by the device number (st_dev) of the mounted filesystem.
    """

    handle: Handle
    prefix: str
    toolbox: Toolbox
    places: Mapping[int, Place] = field(default_factory=dict)

    def digests(
        self, algorithm: str, files: Mapping[GuestPath, Stat], *, through_filesystem: bool = False
    ) -> dict[GuestPath, str]:
        """Hex digests; a file that cannot be hashed is left out.

        With ``through_filesystem`` no byte is read behind the filesystem's back.
        """
        left = dict(_within_limits(files))
        answer: dict[GuestPath, str] = {}
        if len(left) > FEW and f"{algorithm}sum" in PROGRAMS:
            with contextlib.suppress(GuestReadError):
                if not through_filesystem:
                    answer |= self._on_the_host(algorithm, left)
                answer |= self._in_the_appliance(algorithm, [p for p in left if p not in answer])
                left = {path: left[path] for path in left if "\n" in str(path)}
        for path in sorted(left.keys() - answer.keys()):
            with contextlib.suppress(GuestReadError), reading(self.handle, path):
                answer[path] = self.handle.checksum(algorithm, f"{self.prefix}{path}")
        return answer

    # --- on the host --------------------------------------------------------------------

    def _on_the_host(self, algorithm: str, files: Mapping[GuestPath, Stat]) -> dict[GuestPath, str]:
        by_place: dict[Place, dict[GuestPath, Stat]] = defaultdict(dict)
        for path, stat in files.items():
            if stat.device in self.places:
                by_place[self.places[stat.device]][path] = stat
        answer: dict[GuestPath, str] = {}
        for place, there in by_place.items():
            if len(there) <= FEW:
                continue
            with reading(self.handle, "sync"):
                # After a flush the overlay's file holds its tables too, which qemu may keep back.
                self.handle.sync()
            # Whatever cannot be read here is hashed in the appliance, which may fare better.
            with contextlib.suppress(ImageError), open_shared(place.overlay) as device:
                read = partial(read_within, device, place)
                for path, layout in sorted(self._layouts(place, read, there), key=_first_byte):
                    answer[path] = _digest(algorithm, read, layout)
        return answer

    def _layouts(
        self, place: Place, read: Read, files: Mapping[GuestPath, Stat]
    ) -> list[tuple[GuestPath, Layout]]:
        found: dict[GuestPath, Layout] = {}
        if place.content in _EXT:
            layouts = dict(Inodes(read).layouts(stat.inode for stat in files.values()))
            found = {path: layouts[stat.inode] for path, stat in files.items() if stat.inode in layouts}
        left = {path: stat for path, stat in files.items() if path not in found}
        if sum(stat.size_bytes for stat in left.values()) > ASK_FROM_BYTES:
            found |= self._run("{filefrag} -v -b1", left, parse_layouts)
        return [(path, found[path]) for path in found if _is_usable(found[path], files[path], place)]

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


def _within_limits(files: Mapping[GuestPath, Stat]) -> Iterator[tuple[GuestPath, Stat]]:
    total = 0
    for path, stat in files.items():
        if stat.size_bytes <= MAX_FILE_BYTES and total + stat.size_bytes <= MAX_TOTAL_BYTES:
            total += stat.size_bytes
            yield path, stat


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


def _is_usable(layout: Layout, stat: Stat, place: Place) -> bool:
    plain = layout.lies_within(place.size_bytes) and layout.hole_bytes <= MAX_HOLE_BYTES
    return plain and layout.size_bytes == stat.size_bytes


def _first_byte(found: tuple[GuestPath, Layout]) -> int:
    """Files in the order of the disk: fewer seeks, and the host reads ahead."""
    return found[1].extents[0].physical if found[1].extents else 0


def read_within(device: Device, place: Place, offset: int, size: int) -> bytes:
    """Bytes of a filesystem, short at its end.

    Raises:
        ImageError: the disk cannot be read there.
    """
    end = min(offset + size, place.size_bytes, device.size_bytes - place.start_bytes)
    return device.read(place.start_bytes + offset, end - offset) if 0 <= offset < end else b""


def _digest(algorithm: str, read: Read, layout: Layout) -> str:
    state = hashlib.new(algorithm, usedforsecurity=False)
    at = 0
    for extent in layout.extents:
        _add_zeros(state, extent.logical - at)
        at = min(extent.logical + extent.length, layout.size_bytes)
        for offset in range(0, at - extent.logical, _PIECE_BYTES):
            length = min(_PIECE_BYTES, at - extent.logical - offset)
            state.update(read(extent.physical + offset, length))
    _add_zeros(state, layout.size_bytes - at)
    return state.hexdigest()


def _add_zeros(state: _Hash, count: int) -> None:
    while count > 0:
        state.update(bytes(min(count, _PIECE_BYTES)))
        count -= _PIECE_BYTES

"""SHA-256 of an image: of each of its files as they are stored, and of the disk as its guest sees it.

A qcow2 file changes when it is compressed, and a snapshot when its backing file is committed, though the
disk in them stays the same. So both are wanted to prove that an image is what it was.

Bytes that the host cannot read count as zeros, and are listed: a failing disk has a digest, too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from guestrepair.disk.attach.location import ImageName, Location
from guestrepair.disk.device import open_image
from guestrepair.disk.image import Format, Image
from guestrepair.errors import ImageAccessError, ImageError

CHUNK = 4 << 20
SMALLEST = 4096
"""Bytes that are given up together where the host cannot read."""
MAX_BAD = 1000
"""Places that may be unreadable before the whole is given up."""
_ASKED = 1 << 30
_ZEROS = bytes(CHUNK)

Read = Callable[[int, int], bytes]
Parts = Iterator[tuple[int, bool]]
"""Lengths, one after the other, and whether each holds only zeros."""
Told = Callable[[int, int], None]
"""Is told how many bytes are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Bad:
    """Bytes that could not be read and count as zeros: of which file, or of the disk seen through it."""

    of: str
    offset: int
    length: int
    reason: str


@dataclass(frozen=True, slots=True)
class FileDigest:
    """One file of a chain as it is stored."""

    path: ImageName
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ImageDigests:
    """An image at one moment: its files, the image itself first, and the disk that a guest sees."""

    stored: tuple[FileDigest, ...]
    visible_bytes: int
    visible_sha256: str
    bad: tuple[Bad, ...] = ()


def image_digests(image: Image, progress: Callable[[str], None]) -> ImageDigests:
    """Read all of an image twice: as it is stored, and as its guest sees it. It is only read.

    Raises:
        ImageError: and its kinds: it cannot be read, or became shorter while it was.
    """
    bad: list[Bad] = []
    stored = _all_stored(image, bad, progress)
    if len(stored) == 1 and image.format is Format.RAW and stored[0].size_bytes == image.virtual_size_bytes:
        return ImageDigests(stored, stored[0].size_bytes, stored[0].sha256, tuple(bad))  # the same bytes
    with open_image(image) as device:
        whole = _Hashing(f"{image.path} as its guest sees it", device.read, bad)
        size = device.size_bytes
        told = _percent(progress, whole.of)
        for start in range(0, size, _ASKED):
            length = min(_ASKED, size - start)
            whole.take(start, device.zero_ranges(start, length), lambda done: told(done, size))
        return ImageDigests(stored, size, whole.state.hexdigest(), tuple(bad))


def _all_stored(image: Image, bad: list[Bad], progress: Callable[[str], None]) -> tuple[FileDigest, ...]:
    if not isinstance(image.path, Location):
        files = list(dict.fromkeys(file for layer in image.layers for file in layer.files))
        return tuple(_stored(file, bad, progress) for file in files)
    # What was attached is one file, under the name that it has there; its bytes are read as they are.
    raw = replace(image, format=Format.RAW, layers=(replace(image.top, format=Format.RAW),))
    with open_image(raw) as device:
        whole = _Hashing(str(image.path), device.read, bad)
        told = _percent(progress, whole.of)
        size = device.size_bytes
        for start in range(0, size, _ASKED):
            length = min(_ASKED, size - start)
            whole.take(start, iter([(length, False)]), lambda done: told(done, size))
        return (FileDigest(image.path, size, whole.state.hexdigest()),)


def _stored(path: Path, bad: list[Bad], progress: Callable[[str], None]) -> FileDigest:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ImageAccessError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        whole = _Hashing(str(path), _reader(descriptor, path), bad)
        told = _percent(progress, str(path))
        whole.take(0, _data_and_holes(descriptor, size), lambda done: told(done, size))
        return FileDigest(path, size, whole.state.hexdigest())
    finally:
        os.close(descriptor)


def _reader(descriptor: int, path: Path) -> Read:
    def read(offset: int, length: int) -> bytes:
        try:
            data = os.pread(descriptor, length, offset)
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}") from error
        if len(data) < length:
            rest = read(offset + len(data), length - len(data)) if data else b""
            if not rest:
                raise ImageAccessError(f"{path}: it became shorter while it was read", hint="who uses it?")
            data += rest
        return data

    return read


def _data_and_holes(descriptor: int, size: int) -> Parts:
    """The parts of a file; holes are zeros that need no reading (lseek(2), SEEK_HOLE)."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        yield size, False
        return
    at = 0
    while at < size:
        data = min(_seek(descriptor, at, os.SEEK_DATA, size), size)
        if data > at:
            yield data - at, True
        at = min(_seek(descriptor, data, os.SEEK_HOLE, size), size) if data < size else size
        if at > data:
            yield at - data, False


def _seek(descriptor: int, at: int, whence: int, size: int) -> int:
    try:
        return os.lseek(descriptor, at, whence)
    except OSError as error:  # nothing but a hole is left; or this filesystem does not tell, and all is data
        return size if whence == os.SEEK_HOLE or error.errno == errno.ENXIO else at


@dataclass(slots=True)
class _Hashing:
    """A digest that is being made of parts, one after the other."""

    of: str
    read: Read
    bad: list[Bad]
    state: hashlib._Hash = field(default_factory=hashlib.sha256)

    def take(self, at: int, parts: Parts, done: Callable[[int], None]) -> None:
        """Go on with the parts that begin at an offset."""
        for length, zeros in parts:
            end = at + length
            while at < end:
                size = min(CHUNK, end - at)
                self.state.update(_ZEROS[:size] if zeros else self._read(at, size))
                at += size
                done(at)

    def _read(self, at: int, size: int) -> bytes:
        """Bytes; where they cannot be read, halves of them, down to what is given up."""
        try:
            return self.read(at, size)
        except ImageAccessError:
            raise
        except ImageError as error:
            if size > SMALLEST:
                half = size // 2 // SMALLEST * SMALLEST or SMALLEST
                return self._read(at, half) + self._read(at + half, size - half)
            self.bad.append(Bad(self.of, at, size, error.message))
            if len(self.bad) > MAX_BAD:
                raise ImageAccessError(
                    f"{self.of}: more than {MAX_BAD} places cannot be read",
                    hint="copy what can be read with ddrescue, and examine the copy",
                ) from error
            return bytes(size)


def _percent(progress: Callable[[str], None], what: str) -> Told:
    """Tell of each hundredth that is done."""
    last = -1

    def told(done: int, size: int) -> None:
        nonlocal last
        if (now := done * 100 // max(size, 1)) != last:
            last = now
            progress(f"SHA-256 of {what}: {now} %")

    return told

"""Opening an image file for our own reading, with every failure in one line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guestrepair.disk.headers import Source
from guestrepair.errors import ImageAccessError, ImageError

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
)


@contextmanager
def opened(path: Path) -> Iterator[tuple[Source, os.stat_result]]:
    """The bytes of a regular file or block device, open for reading while the block runs.

    Raises:
        ImageAccessError: not there, or no permission.
        ImageError: neither a regular file nor a block device, empty, or without a size.
    """
    with _descriptor(path) as fd:
        size = _size_bytes(path, fd)
        if size == 0:
            raise ImageError(f"{path}: empty", hint="is the copy complete?")
        yield Source(lambda offset, length: _pread(path, fd, offset, length), size), os.fstat(fd)


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    """A descriptor for reading of what the path names now.

    Asked what it is before it is opened: opening a named pipe would wait, opening some devices
    has effects. What was asked is what is opened, through the first descriptor and not by name again.
    """
    named = _open(path, path, os.O_PATH)
    try:
        mode = os.fstat(named).st_mode
        for is_kind, what in _KINDS:
            if is_kind(mode):
                hint = "give a disk image or a block device"
                raise ImageError(f"{path}: {what}, not a disk image", hint=hint)
        fd = _open(path, Path(f"/proc/self/fd/{named}"), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(named)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(path: Path, name: Path, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise access_error(path, error) from error


def _size_bytes(path: Path, fd: int) -> int:
    """Files of /proc and /sys call themselves regular, and some have no end to seek to."""
    try:
        return os.lseek(fd, 0, os.SEEK_END)
    except OSError as error:
        raise ImageError(
            f"{path}: has no size ({error.strerror}), so it is no disk image",
            hint="give a disk image or a block device",
        ) from error


def _pread(path: Path, fd: int, offset: int, length: int) -> bytes:
    if offset < 0 or length <= 0:
        return b""
    try:
        return os.pread(fd, length, offset)
    except (OSError, OverflowError) as error:
        raise ImageError(
            f"{path}: cannot be read at byte {offset}: {error}", hint="is the medium failing?"
        ) from error


def access_error(path: Path, error: OSError | ValueError) -> ImageAccessError:
    """The error that stands for a failed open or stat."""
    if isinstance(error, FileNotFoundError):
        return ImageAccessError(f"{path}: no such file", hint="check the path")
    if isinstance(error, PermissionError):
        return ImageAccessError(f"{path}: permission denied", hint="run as its owner or as root")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return ImageAccessError(f"{path}: cannot be opened: {reason}", hint="check the path")

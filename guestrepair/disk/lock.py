"""One repair or undo of an image at a time, whatever its state directory.

The lock is an open file description lock (fcntl(2), F_OFD_SETLK) on the image
itself, on one byte far behind any data and far from the bytes that qemu locks
(100-107, 200-207: qemu's block/file-posix.c). A block device is claimed besides: it, its
whole disk and its partitions have files of their own. The kernel frees both with the process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from guestrepair.disk.inuse import claimed, refuse_users
from guestrepair.disk.source import access_error
from guestrepair.errors import ImageInUseError

LOCK_BYTE = 0x6772_0000_0000
PATIENCE_SECONDS = 1.0
"""A killed process's child that had not yet started its program still holds the lock for a moment."""

_FLOCK = struct.Struct("@hhqqi4x")
"""struct flock of the 64-bit ABIs: l_type, l_whence, l_start, l_len, l_pid."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """True while the block runs: no other repair or undo works on the image, and nothing mounts or holds it.

    Raises:
        ImageInUseError: another one does, or something on this host uses it.
        ImageAccessError: the image cannot be opened for writing.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise access_error(path, error) from error
    try:
        _lock(fd, path)
        is_block_device = stat.S_ISBLK(os.fstat(fd).st_mode)
        refuse_users(path, is_block_device=is_block_device)
        with ExitStack() as stack:
            if is_block_device:
                stack.enter_context(claimed(path))
            yield
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _try(fd, path):
        if time.monotonic() > deadline:
            raise ImageInUseError(
                f"{path}: another repair or undo of this image is running", hint="wait until it has ended"
            )
        time.sleep(0.05)


def _try(fd: int, path: Path) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, LOCK_BYTE, 1, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise access_error(path, error) from error
    return True

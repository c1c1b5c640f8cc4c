"""Files and directories that a power cut does not take: fsync(2), in the order of what depends on what.

A file's content is synced before it gets its name, and the directory that holds the name
after it; a directory's own name is in its parent, and so on up to where the filesystem is mounted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL)
"""A directory above ours that we may not open or that cannot be synced: we have not made it."""


def sync_path(path: Path) -> None:
    """fsync(2) of a file, directory or block device.

    Raises:
        OSError: it cannot be opened, or what was written cannot be brought to stable storage.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file by rename, both on stable storage afterwards (fsync(2) of file and directory).

    Raises:
        OSError: it cannot be written; the old file is then still there.
    """
    write_synced(path.with_name(path.name + ".new"), data)
    rename_durably(path.with_name(path.name + ".new"), path)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file (0600) whose content is on stable storage afterwards; its name is not yet.

    Raises:
        OSError: it cannot be written.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def rename_durably(path: Path, to: Path) -> None:
    """Give a file of the same directory another name, on stable storage afterwards; takes no space.

    Raises:
        OSError: it cannot be renamed.
    """
    path.rename(to)
    sync_path(to.parent)


def sync_names(directory: Path) -> None:
    """True afterwards: the names of a directory and of all above it, up to its filesystem's root, are stable.

    Also those that a killed process made and did not live to sync.

    Raises:
        OSError: what was written cannot be brought to stable storage.
    """
    for above in _above(directory):
        try:
            sync_path(above)
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise


def _above(directory: Path) -> Iterator[Path]:
    """The parents of a directory that lie on the same filesystem, the nearest first."""
    device = directory.stat().st_dev
    for parent in directory.parents:
        if parent.stat().st_dev != device:
            return
        yield parent

"""Private directories for throw-away overlays, and the removal of those that a killed process left.

A directory in use holds a file ``lock`` with an flock(2) on it. The file gets its
name only after it is locked, so a directory whose ``lock`` can be locked
by somebody else has lost its owner, whatever killed that.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guestrepair.disk.signals import cleaned_up_on_termination
from guestrepair.errors import ImageAccessError

PREFIX = "guestrepair-"
UNLOCKED_GRACE_SECONDS = 60.0
"""Age after which a directory that never got its lock is taken for left behind."""


def default_parent() -> Path:
    """Where overlays go unless told: $TMPDIR, else /var/tmp (a disk, where /tmp may be memory)."""
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK | os.X_OK):  # noqa: S108 - private directory within
        return Path("/var/tmp")  # noqa: S108 - as above
    return Path(tempfile.gettempdir())


@contextmanager
def private_directory(parent: Path | None = None) -> Iterator[Path]:
    """A new directory (0700), gone when the block ends, also by Ctrl-C, SIGTERM and SIGHUP.

    Those that killed processes of this user left are removed first.

    Raises:
        ImageAccessError: it cannot be made.
    """
    where = parent or default_parent()
    remove_leftovers(where)
    with cleaned_up_on_termination():
        try:
            directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
        except OSError as error:
            raise ImageAccessError(
                f"{where}: no temporary directory can be made: {error.strerror}",
                hint="set TMPDIR to a directory with free space",
            ) from error
        try:
            fd = os.open(directory / "lock.new", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                (directory / "lock.new").rename(directory / "lock")
                yield directory
            finally:
                os.close(fd)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def remove_leftovers(parent: Path) -> list[Path]:
    """Remove this user's directories whose owner is gone; answers with those removed."""
    removed = []
    for directory in parent.glob(PREFIX + "*"):
        if _is_left_behind(directory):
            shutil.rmtree(directory, ignore_errors=True)
            removed.append(directory)
    return removed


def _is_left_behind(directory: Path) -> bool:
    try:
        status = directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return False
        fd = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return directory.is_dir() and time.time() - directory.stat().st_mtime > UNLOCKED_GRACE_SECONDS
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True

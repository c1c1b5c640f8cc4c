"""Private directories for overlays and copies, and the removal of those that a killed process left.

A directory of ours has a name that nobody else gives, and in it a file ``lock``: made
first, held by flock(2) as long as the directory is used, and with words in it that are
written once it is held. A directory is only removed by others than its maker when it carries that
file, with those words, and nobody holds it: then its maker is gone, whatever killed that.
Everything else that lies beside it is somebody's, whatever it is called, and stays.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from guestrepair.disk.signals import cleaned_up_on_termination
from guestrepair.errors import ImageAccessError

PREFIX = ".guestrepair-tmp-"
"""Short: a socket's name may have 107 bytes (unix(7)), and the parent may be deep."""

LOCK = "lock"
_WORDS = b"A private directory of guestrepair, to be removed when nobody holds a lock on this file.\n"
UNLOCKED_GRACE_SECONDS = 60.0
"""Age after which a directory with nothing in it but an empty lock, if that, is taken for left behind."""

_MODES = frozenset({0o700, 0o711})
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def default_parent() -> Path:
    """Where overlays go unless told: $TMPDIR, else /var/tmp (a disk, where /tmp may be memory)."""
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK | os.X_OK):  # noqa: S108 - private directory within
        return Path("/var/tmp")  # noqa: S108 - as above
    return Path(tempfile.gettempdir())


def passable_parent() -> Path:
    """The same, but where every user comes by: for a copy that a child of another user is to read.

    A $TMPDIR below a closed directory (pam_tmpdir makes such) is passed over for /var/tmp or /tmp.

    Raises:
        ImageAccessError: not even there.
    """
    usual = default_parent()
    fallbacks = (Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - private directories within
    found = next((parent for parent in (usual, *fallbacks) if _everybody_passes(parent)), None)
    if found is None:
        raise ImageAccessError(
            f"{usual}: a program without root's rights cannot enter it",
            hint="set TMPDIR to a directory that every user may enter",
        )
    return found


def _everybody_passes(path: Path) -> bool:
    try:
        real = path.resolve(strict=True)
        return all(part.stat().st_mode & stat.S_IXOTH for part in (real, *real.parents))
    except OSError:
        return False


@contextmanager
def private_directory(parent: Path | None = None) -> Iterator[Path]:
    """A new directory (0700), gone when the block ends, also by Ctrl-C, SIGTERM and SIGHUP.

    Those that killed processes of this user left are removed first. It holds a file ``lock``.

    Raises:
        ImageAccessError: it cannot be made.
    """
    where = parent or default_parent()
    remove_leftovers(where)
    with cleaned_up_on_termination():
        try:
            directory, lock = _made(where)
        except OSError as error:
            raise ImageAccessError(
                f"{where}: no temporary directory can be made: {error.strerror}",
                hint="set TMPDIR to a directory with free space",
            ) from error
        try:
            yield directory
        finally:
            _remove_own(directory)
            os.close(lock)


def _made(where: Path) -> tuple[Path, int]:
    """A new directory and its lock, held.

    Raises:
        OSError: one of them cannot be made; neither is there then.
    """
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
    lock = -1
    try:
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(lock, _WORDS)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        if lock >= 0:
            os.close(lock)
        raise
    return directory, lock


def _remove_own(directory: Path) -> None:
    """Remove our own; the lock last, so that what a kill leaves of it is known for ours."""
    with suppress(OSError):
        for entry in directory.iterdir():
            if entry.name != LOCK:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    shutil.rmtree(directory, ignore_errors=True)


def remove_leftovers(parent: Path) -> list[Path]:
    """Remove this user's private directories whose maker is gone; answers with those removed."""
    try:
        above = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        names = [entry.name for entry in os.scandir(above) if entry.name.startswith(PREFIX)]
        return [parent / name for name in names if _removed(above, name)]
    except OSError:
        return []
    finally:
        os.close(above)


def _removed(above: int, name: str) -> bool:
    """Remove a directory if its maker left it; all by open directories, so that no link is followed."""
    try:
        directory = os.open(name, _OPEN_DIRECTORY, dir_fd=above)
    except OSError:
        return False
    try:
        status = os.fstat(directory)
        if status.st_uid != os.geteuid() or status.st_mode & 0o777 not in _MODES:
            return False
        return _emptied(directory, status) and _without(above, name)
    except OSError:
        return False
    finally:
        os.close(directory)


def _emptied(directory: int, status: os.stat_result) -> bool:
    """True when the directory was left behind; then nothing is in it any more.

    Raises:
        OSError: something in it cannot be looked at or removed; its lock is there still.
    """
    content = [entry.name for entry in os.scandir(directory)]
    if LOCK not in content:
        return not content and _is_old(status)
    lock = os.open(LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not _is_left(lock, alone=content == [LOCK]):
            return False
        # What marks the directory as ours goes last: a kill in between leaves it to the next command.
        for name in content:
            if name != LOCK:
                _remove(directory, name)
        os.unlink(LOCK, dir_fd=directory)
    finally:
        os.close(lock)
    return True


def _is_left(lock: int, *, alone: bool) -> bool:
    """True when the lock is one of ours, and nobody holds it; it is held by us then."""
    status = os.fstat(lock)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    words = os.pread(lock, len(_WORDS) + 1, 0)
    # Killed between the making of the file and its words: there is nothing to lose.
    return words == _WORDS or (alone and not words and _is_old(status))


def _is_old(status: os.stat_result) -> bool:
    return time.time() - status.st_mtime > UNLOCKED_GRACE_SECONDS


def _remove(directory: int, name: str) -> None:
    if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        shutil.rmtree(name, dir_fd=directory)
    else:
        os.unlink(name, dir_fd=directory)


def _without(above: int, name: str) -> bool:
    with suppress(OSError):
        os.rmdir(name, dir_fd=above)
        return True
    return False

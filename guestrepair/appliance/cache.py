"""The cache directory: what it holds is run and believed, so nobody else may be able to write to it."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from guestrepair.disk.homes import base_directory
from guestrepair.ownership import is_ours_alone, own_path


def cache_directory() -> Path:
    """$XDG_CACHE_HOME/guestrepair or ~/.cache/guestrepair, made when it is not there; ours on all its way.

    Raises:
        PermissionError: it belongs to somebody else, or others can write to it or to a directory above;
            ``strerror`` says which.
        OSError: it cannot be made, or this user has no home.
    """
    try:
        wanted = base_directory("XDG_CACHE_HOME", ".cache") / "guestrepair"
    except RuntimeError as error:  # Path.home(): no $HOME, and nobody of this number in the user database
        raise FileNotFoundError(errno.ENOENT, "there is no home directory") from error
    directory = Path(own_path(str(wanted), make_directories=True))
    if directory.lstat().st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{directory} does not belong to us")
    return directory


def is_sound(path: Path) -> bool:
    """True for a file or directory of ours, no link, that nobody else may write to."""
    try:
        status = path.lstat()
    except OSError:
        return False
    ours = status.st_uid == os.geteuid() and is_ours_alone(status)
    return ours and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode))

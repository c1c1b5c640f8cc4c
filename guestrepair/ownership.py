"""Who can change what a path leads to: only root and we, or somebody else too.

What is run, believed or written to must not lie where another user can put something in its
place: not at the end of the path, nor on the way there, nor behind a link on the way.
Imports nothing that is not built into Python: the entry point asks it which imports are safe.
POSIX ACLs need no look of their own: their mask shows as the group's bits (acl(5)).
"""

from __future__ import annotations

import errno
import os
import stat

_MAX_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def is_ours(status: os.stat_result) -> bool:
    """True when it belongs to us, or to root."""
    return status.st_uid in {0, os.geteuid()}


def is_ours_alone(status: os.stat_result) -> bool:
    """True when it belongs to us or root, and nobody else may write to it."""
    return is_ours(status) and not status.st_mode & _OTHERS_WRITE


def own_path(path: str, *, make_directories: bool = False) -> str:
    """The absolute path without links, no part of which anybody but root and us can change.

    A directory like /tmp will do on the way (sticky: what is ours stays there), not at the end.
    Directories that are missing are made (0700) where that is asked for.

    Raises:
        PermissionError: somebody else can change a part; ``strerror`` says which, in words for a message.
        OSError: a part is not there, or cannot be looked at or made.
    """
    real, status, links = "/", os.lstat("/"), 0
    pending = _parts(path if path.startswith("/") else f"{os.getcwd()}/{path}")
    while pending:
        name = pending.pop()
        if name == "..":
            real = os.path.dirname(real)
            status = os.lstat(real)
            continue
        _refuse(_foreign(real, status, sticky=True))
        step = os.path.join(real, name)
        found = _status(step, make_directories=make_directories)
        if not stat.S_ISLNK(found.st_mode):
            real, status = step, found
            continue
        links += 1
        _refuse("" if is_ours(found) else f"{step} is a link of user {found.st_uid}")
        _refuse("" if links <= _MAX_LINKS else f"{path} leads through more than {_MAX_LINKS} links")
        target = os.readlink(step)
        real = "/" if target.startswith("/") else real
        status = os.lstat(real)
        pending += _parts(target)
    _refuse(_foreign(real, status))
    return real


def _parts(path: str) -> list[str]:
    """The names on the way, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]


def _status(path: str, *, make_directories: bool) -> os.stat_result:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        if not make_directories:
            raise
        os.mkdir(path, 0o700)
        return os.lstat(path)


def _foreign(path: str, status: os.stat_result, *, sticky: bool = False) -> str:
    """Who else can change the path, in words; a directory that is sticky may be allowed."""
    if not is_ours(status):
        return f"{path} belongs to user {status.st_uid}"
    if is_ours_alone(status) or (sticky and status.st_mode & stat.S_ISVTX):
        return ""
    return f"others than its owner can write to {path}"


def _refuse(reason: str) -> None:
    if reason:
        raise PermissionError(errno.EPERM, reason)

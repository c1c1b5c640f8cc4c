"""For kernels without Landlock, and root alone: a root directory in which only what is named exists.

The calling thread gets a mount namespace of its own (unshare(2)), a tmpfs as its root, and in that a bind
mount for each path, read-only unless it may be written. Once root's rights are dropped there is no way out
of it. Only the standard library is imported, since ``launcher.py`` starts with this.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from guestrepair.confine import landlock

_NEW_MOUNTS, _NEW_IPC, _NEW_NETWORK = 0x00020000, 0x08000000, 0x40000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_PLACE = "/tmp"  # noqa: S108 - a mount point of the new namespace alone; the real /tmp is not touched

_libc = ctypes.CDLL(None, use_errno=True)


def enter(rules: Iterable[landlock.Rule], *, network: bool = False) -> None:
    """From now on the calling thread, and all that it starts, sees those paths and nothing else.

    Raises:
        OSError: no right to (root alone may), or the kernel refuses.
    """
    # With the mounts comes a umask of the thread's own: other users than root must come by, too.
    _check(_libc.unshare(_NEW_MOUNTS | _NEW_IPC | (0 if network else _NEW_NETWORK)))
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    # Opened before the new root hides some of them, and after the namespace was made: others cannot be bound.
    usual = os.umask(0o022)
    wanted = [(path, _opened(path), rights) for path, rights in sorted(_strongest(rules).items())]
    try:
        _mount("tmpfs", _PLACE, "tmpfs", 0)
        for path, descriptor, rights in wanted:
            if descriptor is not None:
                _show(path, descriptor, writable=bool(rights & landlock.WRITE_FILE))
        _mount(None, _PLACE, None, _BIND | _REMOUNT | _READ_ONLY)
        os.chroot(_PLACE)
        os.chdir("/")
    finally:
        os.umask(usual)
        for _, descriptor, _ in wanted:
            if descriptor is not None:
                os.close(descriptor)


def _strongest(rules: Iterable[landlock.Rule]) -> dict[str, int]:
    found: dict[str, int] = {}
    for path, rights in rules:
        found[path] = found.get(path, 0) | rights
    return found


def _opened(path: str) -> int | None:
    """The path itself, a link not followed; None when it is not there."""
    try:
        return os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


def _show(path: str, descriptor: int, *, writable: bool) -> None:
    target = _PLACE + path
    os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120 - pathlib costs the launcher a third
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISLNK(kind):
        if not os.path.lexists(target):
            os.symlink(os.readlink("", dir_fd=descriptor), target)  # noqa: PTH211 - as above
        return
    if stat.S_ISDIR(kind):
        os.makedirs(target, exist_ok=True)  # noqa: PTH103 - as above
    elif not os.path.exists(target):  # noqa: PTH110 - as above
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    _mount(f"/proc/thread-self/fd/{descriptor}", target, None, _BIND | _RECURSIVE)
    if not writable:
        _mount(None, target, None, _BIND | _REMOUNT | _READ_ONLY)


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), None))


def _check(answer: int) -> None:
    if answer:
        code = ctypes.get_errno()
        raise OSError(code, f"a mount namespace: {os.strerror(code)}")

"""What libguestfs's Python bindings do not offer: names that are not UTF-8, and quiet threads.

The bindings raise for such a name, and end the whole process with a segmentation
fault where it is in a list (python/handle.c takes a conversion for granted). So
these few calls go to the C library itself, on the same handle. Source: guestfs(3).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
from collections.abc import Mapping
from typing import Any, cast

from guestrepair.appliance.handle import Handle, reading
from guestrepair.errors import GuestReadError

_FIELDS = (
    "st_dev", "st_ino", "st_mode", "st_nlink", "st_uid", "st_gid", "st_rdev", "st_size", "st_blksize",
    "st_blocks", "st_atime_sec", "st_atime_nsec", "st_mtime_sec", "st_mtime_nsec", "st_ctime_sec",
    "st_ctime_nsec", "st_spare1", "st_spare2", "st_spare3", "st_spare4", "st_spare5", "st_spare6",
)  # fmt: skip


class _StatNs(ctypes.Structure):
    """``struct guestfs_statns``."""

    _fields_ = tuple((name, ctypes.c_int64) for name in _FIELDS)


def is_utf8(name: str) -> bool:
    """True for a name that the bindings take."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def lstat(handle: Handle, path: str) -> Mapping[str, int] | None:
    """As the binding's ``lstatns``; None where nothing is there.

    Raises:
        ApplianceError, DamageError, GuestReadError: any other failure, as :func:`reading` tells them apart.
    """
    library, pointer = _library(), _pointer(handle)
    found = _watched(handle, "lstatns", library.guestfs_lstatns, pointer, path)
    if not found:
        if library.guestfs_last_errno(pointer) in (errno.ENOENT, errno.ENOTDIR):
            return None
        with reading(path):
            raise RuntimeError(_reason(library, pointer))
    try:
        return {name: int(getattr(found.contents, name)) for name in _FIELDS}
    finally:
        library.guestfs_free_statns(found)


def readlink(handle: Handle, path: str) -> str:
    """Target of a symbolic link, undecodable bytes as surrogates; "" for what is none.

    That is as in the binding's ``readlinklist``.

    Raises:
        ApplianceError: the appliance is gone.
    """
    library, pointer = _library(), _pointer(handle)
    found = _watched(handle, "readlink", library.guestfs_readlink, pointer, path)
    if not found:
        with contextlib.suppress(GuestReadError), reading(path):
            raise RuntimeError(_reason(library, pointer))
        return ""
    try:
        return os.fsdecode(ctypes.string_at(found))
    finally:
        library.free(found)


def keep_errors_quiet(handle: Handle) -> None:
    """In this thread, errors are raised only, and not printed on stderr as well.

    The bindings see to that for the thread that makes the handle; libguestfs keeps it by thread.
    """
    _library().guestfs_set_error_handler(_pointer(handle), None, None)


def _watched(handle: Handle, name: str, function: Any, pointer: ctypes.c_void_p, path: str) -> Any:
    """What the C function answers; under the same watch as the methods of the handle, where it has one."""
    watched = getattr(handle, "watched", None)
    arguments = (pointer, os.fsencode(path))
    return function(*arguments) if watched is None else watched(name, function, *arguments)


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libguestfs.so.0")
    library.guestfs_lstatns.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    library.guestfs_lstatns.restype = ctypes.POINTER(_StatNs)
    library.guestfs_free_statns.argtypes = (ctypes.POINTER(_StatNs),)
    library.guestfs_readlink.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    library.guestfs_readlink.restype = ctypes.c_void_p
    library.guestfs_last_errno.argtypes = (ctypes.c_void_p,)
    library.guestfs_last_error.argtypes = (ctypes.c_void_p,)
    library.guestfs_last_error.restype = ctypes.c_char_p
    library.guestfs_set_error_handler.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    library.guestfs_set_error_handler.restype = None
    library.free.argtypes = (ctypes.c_void_p,)
    return library


def _pointer(handle: Handle) -> ctypes.c_void_p:
    """The C handle inside the binding's object."""
    unwrap = ctypes.pythonapi.PyCapsule_GetPointer
    unwrap.argtypes = (ctypes.py_object, ctypes.c_char_p)
    unwrap.restype = ctypes.c_void_p
    held = cast("Any", handle)._o  # noqa: SLF001 — the bindings have no other way to it
    return ctypes.c_void_p(unwrap(held, b"guestfs_h"))


def _reason(library: ctypes.CDLL, pointer: ctypes.c_void_p) -> str:
    return os.fsdecode(library.guestfs_last_error(pointer) or b"cannot be examined")

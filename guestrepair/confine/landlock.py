"""Landlock: the kernel lets a process open nothing but what is named (landlock(7), Linux 5.13 and newer).

It needs no privilege, holds for the calling thread and all that it starts, and can never be
loosened again. Called by number through libc: no library wraps these three calls yet that
distributions ship. Nothing but the standard library is imported, since ``launcher.py`` starts with this.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIRECTORY = 1 << 3
_REMOVE_AND_MAKE = sum(1 << bit for bit in (4, 5, 7, 8, 9, 10, 12))
"""Remove directories and files; make directories, files, sockets, pipes and links: no device nodes."""

_REFER = 1 << 13
_TRUNCATE = 1 << 14
_IOCTL_DEVICE = 1 << 15

READ = READ_FILE | READ_DIRECTORY
RUN = READ | EXECUTE
WRITE = READ | WRITE_FILE | _REMOVE_AND_MAKE | _REFER | _TRUNCATE | _IOCTL_DEVICE

_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEVICE
"""The rights that a rule about something that is no directory may hold."""

_ALL_BY_VERSION = (0, (1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1, (1 << 15) - 1, (1 << 16) - 1)
"""The rights that each version of the interface knows; version 0: none at all."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_NETWORK_VERSION, _SCOPE_VERSION = 4, 6
_TCP_BIND_AND_CONNECT = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)

Rule = tuple[str, int]
"""A path and the rights beneath it."""


def version() -> int:
    """The version of the kernel's Landlock; 0 where it has none, or it is switched off."""
    answer: int = _libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION_FLAG))
    return max(0, answer)


def ruleset(rules: Iterable[Rule], *, network: bool = False) -> int:
    """A file descriptor of a ruleset that allows just that; close it after use.

    A path that is not there is left out: it cannot be opened anyway. Without ``network`` no TCP
    connection can be made or listened for (kernels from 6.7 on).

    Raises:
        OSError: the kernel has no Landlock, or refuses a rule.
    """
    known = version()
    if not known:
        raise OSError(errno.EOPNOTSUPP, "this kernel has no Landlock")
    handled = _ALL_BY_VERSION[min(known, len(_ALL_BY_VERSION) - 1)]
    attributes = struct.pack(
        "=QQQ",
        handled,
        0 if network or known < _NETWORK_VERSION else _TCP_BIND_AND_CONNECT,
        0 if known < _SCOPE_VERSION else _ABSTRACT_SOCKETS_AND_SIGNALS,
    )
    size = 24 if known >= _SCOPE_VERSION else 16 if known >= _NETWORK_VERSION else 8
    descriptor = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    try:
        for path, rights in rules:
            _allow(descriptor, path, rights & handled)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def restrict(descriptor: int) -> None:
    """From now on the calling thread, and all that it starts, is held by that ruleset, for good.

    Raises:
        OSError: the kernel refuses.
    """
    no_new_privileges()
    _call(_RESTRICT_SELF, ctypes.c_int(descriptor), ctypes.c_uint(0))


def no_new_privileges() -> None:
    """From now on no program that the calling thread starts gains rights by its file (setuid, capabilities).

    Raises:
        OSError: the kernel refuses.
    """
    zero = ctypes.c_ulong(0)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero):
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")


def _allow(descriptor: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _OF_FILES
        if rights:
            _call(
                _ADD_RULE,
                ctypes.c_int(descriptor),
                ctypes.c_int(_PATH_BENEATH),
                struct.pack("=Qi", rights, opened),
                ctypes.c_uint(0),
            )
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    answer: int = _libc.syscall(number, *arguments)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return answer


# --- root's rights ------------------------------------------------------------------------

_CAPSET = {"x86_64": 126, "aarch64": 91, "riscv64": 91, "ppc64le": 184, "s390x": 185}
_CAPABILITY_VERSION_3 = 0x20080522
_OPEN_FILES_OF_OTHERS = (1 << 1) | (1 << 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: the image may belong to another user; what may be
opened at all is the ruleset's to say."""

_BECOME_ANOTHER_USER = (1 << 5) | (1 << 6) | (1 << 7)
"""CAP_KILL, CAP_SETGID and CAP_SETUID: gone by themselves once the program runs as that user. Without the
first, the thread that started it could not end another user's process with itself (PR_SET_PDEATHSIG)."""


def can_drop_root_rights() -> bool:
    """False on a machine whose call number is not known here."""
    return os.uname().machine in _CAPSET


def drop_root_rights(*, becomes_another_user: bool = False) -> None:
    """The calling thread, and all that it starts, has none of root's rights but to open files of others.

    No privilege comes back at an exec, because of no_new_privs. Does nothing for who is not root.

    Raises:
        OSError: the kernel refuses.
    """
    if os.geteuid() != 0 or not can_drop_root_rights():
        return
    kept = _OPEN_FILES_OF_OTHERS | (_BECOME_ANOTHER_USER if becomes_another_user else 0)
    number = _CAPSET[os.uname().machine]
    header, sets = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), ctypes.create_string_buffer(24)
    _call(number - 1, header, sets)  # capget(2), everywhere the number before
    low = kept & struct.unpack_from("=I", sets, 4)[0]
    _call(number, header, struct.pack("=6I", low, low, 0, 0, 0, 0))

"""The programs and modules without which a guest does not boot or nobody logs in.

Sources: systemd(1), pam.conf(5), nsswitch.conf(5), passwd(5); FILES in login(1), agetty(8), sshd(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from guestrepair.formats.passwd import parse_passwd
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt

_BINARIES = (
    "init",
    "mount",
    "umount",
    "swapon",
    "fsck",
    "agetty",
    "getty",
    "mingetty",
    "login",
    "sulogin",
    "sudo",
    "su",
    "sshd",
    "udevadm",
    "udevd",
    "systemctl",
    "kmod",
    "modprobe",
    "sh",
    "bash",
    "dbus-daemon",
    "dbus-broker-launch",
    "unix_chkpwd",
    "openrc",
    "openrc-init",
    "runit-init",
    "busybox",
    "nologin",
    "ip",
    "dhclient",
)
_LIBRARY_PROGRAMS = (
    "systemd/systemd",
    "systemd/systemd-executor",
    "systemd/systemd-udevd",
    "systemd/systemd-journald",
    "systemd/systemd-logind",
    "systemd/systemd-fsck",
    "systemd/systemd-remount-fs",
    "systemd/systemd-networkd",
    "systemd/systemd-resolved",
    "systemd/systemd-sulogin-shell",
    "openssh/sshd-session",
    "openssh/sshd-auth",
    "openssh/sftp-server",
    "ssh/sshd-session",
    "ssh/sftp-server",
    "udev/udevd",
)
_LIBRARY_TOPS = ("/usr/lib", "/usr/libexec", "/lib")
_SECURITY = re.compile(r"lib(?:32|64)?|[a-z0-9_]+-linux-gnu[a-z0-9]*")
_PAM_WORD = re.compile(r"\[[^\]]*\]\S*|\S+")
_MAX_NAMED = 1_000
"""Shells, modules and services that are followed, the first ones."""
_NSS_SERVICE = re.compile(r"[a-z0-9_]+\Z")


@dataclass(frozen=True, slots=True)
class BootPrograms:
    """Programs and modules that are there (by their names, links unresolved), the most important first.

    ``unread`` are the files that name more of them and cannot be read: which those are is not known.
    ``names`` are all the paths under which they were looked for, there or not.
    """

    paths: tuple[GuestPath, ...]
    unread: tuple[Unreadable, ...]
    names: frozenset[GuestPath] = frozenset()


def find_boot_programs(guest: Guest) -> BootPrograms:
    """Look for each of them under all the names that it may have."""
    found: dict[GuestPath, GuestPath] = {}
    unread: list[Unreadable] = []
    names: set[GuestPath] = set()
    for name in _names(guest):
        if isinstance(name, Unreadable):
            unread.append(name)
            continue
        names.add(name)
        real = guest.resolve(name)
        if real is not None:
            found.setdefault(real, name)
    return BootPrograms(tuple(found.values()), tuple(unread), frozenset(names))


def _names(guest: Guest) -> Iterator[GuestPath | Unreadable]:
    for name in _BINARIES:
        yield from (GuestPath(f"{top}/{name}") for top in ("/sbin", "/usr/sbin", "/bin", "/usr/bin"))
    for name in _LIBRARY_PROGRAMS:
        yield from (GuestPath(f"{top}/{name}") for top in _LIBRARY_TOPS)
    yield from account_shells(guest)
    directories = module_directories(guest)
    yield from pam_modules(guest, directories)
    yield from nss_modules(guest, directories)


def account_shells(guest: Guest) -> Iterator[GuestPath | Unreadable]:
    """The shells that accounts of passwd name."""
    path = GuestPath("/etc/passwd")
    passwd = attempt(lambda: parse_passwd(guest.read_if_there(path) or b""), path)
    if isinstance(passwd, Unreadable):
        yield passwd
        return
    for shell in islice(dict.fromkeys(entry.shell for entry in passwd.entries), _MAX_NAMED):
        if shell.startswith("/") and "\0" not in shell:
            yield GuestPath(shell)


def module_directories(guest: Guest) -> tuple[GuestPath, ...]:
    """Where PAM modules and NSS libraries lie: /usr/lib64, /usr/lib/x86_64-linux-gnu and their like."""
    found = []
    for top in ("/usr/lib64", "/usr/lib", "/usr/lib32", "/lib64", "/lib"):
        directory = GuestPath(top)
        if not guest.is_directory(directory):
            continue
        found.append(directory)
        found += [
            directory / n for n in guest.listdir(directory) if "-linux-" in n and _SECURITY.fullmatch(n)
        ]
    return tuple(found)


def pam_modules(guest: Guest, directories: Sequence[GuestPath]) -> Iterator[GuestPath | Unreadable]:
    """The modules that the files of pam.d name, in each of these directories of libraries."""
    wanted: dict[str, None] = {}
    for folder in ("/etc/pam.d", "/usr/lib/pam.d"):
        for path in guest.glob(GuestPath(folder), "*"):
            text = attempt(partial(_text, guest, path))
            if isinstance(text, Unreadable):
                yield text
                continue
            for line in text.split("\n"):
                words = [word[0] for word in islice(_PAM_WORD.finditer(line.partition("#")[0]), 3)]
                if len(words) == 3 and words[2].endswith(".so") and "\0" not in words[2]:
                    wanted[words[2]] = None
    for module in islice(wanted, _MAX_NAMED):
        if module.startswith("/"):
            yield GuestPath(module)
        else:
            yield from (d / "security" / module for d in directories)


def nss_modules(guest: Guest, directories: Sequence[GuestPath]) -> Iterator[GuestPath | Unreadable]:
    """The NSS libraries that nsswitch.conf names for users and groups."""
    text = attempt(partial(_text, guest, GuestPath("/etc/nsswitch.conf")))
    if isinstance(text, Unreadable):
        yield text
        return
    services: dict[str, None] = {}
    for line in text.split("\n"):
        database, _, sources = line.partition("#")[0].partition(":")
        if database.strip() in {"passwd", "group", "shadow"}:
            services |= dict.fromkeys(word for word in sources.split() if _NSS_SERVICE.match(word))
    for service in islice(services, _MAX_NAMED):
        yield from (d / f"libnss_{service}.so.2" for d in directories)


def _text(guest: Guest, path: GuestPath) -> str:
    return (guest.read_if_there(path) or b"").decode("utf-8", "surrogateescape")

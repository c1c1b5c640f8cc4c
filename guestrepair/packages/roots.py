"""The programs and modules without which a guest does not boot or nobody logs in.

Sources: systemd(1), pam.conf(5), nsswitch.conf(5), passwd(5); FILES in login(1), agetty(8), sshd(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.passwd import parse_passwd
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

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


def boot_and_login_programs(guest: Guest, unread: list[str]) -> tuple[GuestPath, ...]:
    """Programs and modules that are there (by their names, links unresolved), the most important first.

    ``unread`` gets a sentence for each file that names more of them and cannot be read.
    """
    names = [
        GuestPath(f"{top}/{name}") for name in _BINARIES for top in ("/sbin", "/usr/sbin", "/bin", "/usr/bin")
    ]
    names += [GuestPath(f"{top}/{name}") for name in _LIBRARY_PROGRAMS for top in _LIBRARY_TOPS]
    names += list(account_shells(guest, unread))
    names += list(pam_modules(guest, unread))
    names += list(nss_modules(guest, unread))
    found: dict[GuestPath, GuestPath] = {}
    for name in names:
        real = guest.resolve(name)
        if real is not None and real not in found:
            found[real] = name
    return tuple(found.values())


def account_shells(guest: Guest, unread: list[str]) -> Iterator[GuestPath]:
    """The shells that accounts of passwd name."""
    data = _read(guest, GuestPath("/etc/passwd"), unread)
    try:
        entries = parse_passwd(data).entries
    except FormatError as error:
        unread.append(f"/etc/passwd: {error.message}")
        return
    for shell in islice(dict.fromkeys(entry.shell for entry in entries), _MAX_NAMED):
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


def pam_modules(guest: Guest, unread: list[str]) -> Iterator[GuestPath]:
    """The modules that the files of pam.d name, where they are there."""
    wanted: dict[str, None] = {}
    for directory in ("/etc/pam.d", "/usr/lib/pam.d"):
        for path in guest.glob(GuestPath(directory), "*"):
            for line in _read(guest, path, unread).decode("utf-8", "surrogateescape").split("\n"):
                words = [word[0] for word in islice(_PAM_WORD.finditer(line.partition("#")[0]), 3)]
                if len(words) == 3 and words[2].endswith(".so") and "\0" not in words[2]:
                    wanted[words[2]] = None
    directories = module_directories(guest)
    for module in islice(wanted, _MAX_NAMED):
        if module.startswith("/"):
            yield GuestPath(module)
        else:
            yield from (d / "security" / module for d in directories)


def nss_modules(guest: Guest, unread: list[str]) -> Iterator[GuestPath]:
    """The NSS libraries that nsswitch.conf names for users and groups."""
    directories = module_directories(guest)
    services: dict[str, None] = {}
    text = _read(guest, GuestPath("/etc/nsswitch.conf"), unread).decode("utf-8", "surrogateescape")
    for line in text.split("\n"):
        database, _, sources = line.partition("#")[0].partition(":")
        if database.strip() in {"passwd", "group", "shadow"}:
            services |= dict.fromkeys(word for word in sources.split() if _NSS_SERVICE.match(word))
    for service in islice(services, _MAX_NAMED):
        yield from (d / f"libnss_{service}.so.2" for d in directories)


def _read(guest: Guest, path: GuestPath, unread: list[str]) -> bytes:
    try:
        return guest.read_if_there(path) or b""
    except GuestReadError as error:
        unread.append(error.message)
        return b""

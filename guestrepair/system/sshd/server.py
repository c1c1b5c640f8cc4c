"""Which sshd this guest has: its binary, release, compiled-in paths and distribution family.

What the binary itself says comes first (its strings, read and never run), then
the package database, then a table per distribution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.base import PackageDatabase

BINARY_LIMIT_BYTES = 32 * 1024 * 1024
"""An sshd is 1 to 2 MB; a static debug build stays far below this."""

MAX_STRINGS = 200_000
"""Strings of one kind that are taken of a binary; the real ones have some thousands."""

BINARIES = tuple(
    GuestPath(p)
    for p in (
        "/usr/sbin/sshd",
        "/usr/bin/sshd",
        "/usr/local/sbin/sshd",
        "/sbin/sshd",
        "/opt/openssh/sbin/sshd",
    )
)
"""Where distributions put sshd; the first that is there is the one that the units start."""

PACKAGES = ("openssh-server", "openssh", "openssh-server-pam", "openssh-server-common")
"""Names of the package that brings sshd: Debian, Fedora, SUSE; Arch; Alpine."""

VERSION = re.compile(rb"OpenSSH_(\d{1,2})\.(\d{1,2})p\d[ -~]{0,80}")
WORD_STRING = re.compile(rb"(?<=\0)[a-z][a-z0-9@.-]{2,60}(?=\0)")
PATH_STRING = re.compile(rb"(?<=\0)/[!-~]{2,160}(?=\0)")

Release = tuple[int, int]
"""An OpenSSH release: (9, 2) is 9.2."""

FALLBACK_RELEASES: dict[tuple[str, str], Release] = {
    ("debian", "8"): (6, 7), ("debian", "9"): (7, 4), ("debian", "10"): (7, 9), ("debian", "11"): (8, 4),
    ("debian", "12"): (9, 2), ("debian", "13"): (10, 0), ("ubuntu", "16"): (7, 2), ("ubuntu", "18"): (7, 6),
    ("ubuntu", "20"): (8, 2), ("ubuntu", "22"): (8, 9), ("ubuntu", "24"): (9, 6), ("ubuntu", "25"): (9, 9),
    ("rhel", "6"): (5, 3), ("rhel", "7"): (7, 4), ("rhel", "8"): (8, 0), ("rhel", "9"): (8, 7),
    ("rhel", "10"): (9, 9),
    ("suse", "12"): (7, 2), ("suse", "15"): (8, 4), ("suse", "16"): (10, 0),
}  # fmt: skip
"""What a distribution's release shipped, by family and major version; used when the guest does not say."""

NEWEST_RELEASE: Release = (10, 2)
"""Taken for rolling distributions that do not say."""

FAMILIES = {
    "debian": "debian", "ubuntu": "ubuntu", "linuxmint": "ubuntu", "raspbian": "debian", "kali": "debian",
    "rhel": "rhel", "centos": "rhel", "rocky": "rhel", "almalinux": "rhel", "ol": "rhel",
    "scientific": "rhel",
    "eurolinux": "rhel", "cloudlinux": "rhel", "virtuozzo": "rhel", "redhat": "rhel", "fedora": "fedora",
    "amzn": "amazon", "opensuse": "suse", "opensuse-leap": "suse", "opensuse-tumbleweed": "suse",
    "sles": "suse", "sled": "suse", "sle-micro": "suse", "suse": "suse",
    "alpine": "alpine", "arch": "arch", "manjaro": "arch",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Server:
    """The sshd of a guest.

    ``binary`` is where it is, or where its package says that it should be;
    ``present`` tells which. ``release_source`` says where the release was read.
    ``paths`` are the absolute paths compiled in, ``words`` the lower-case words that can be keywords or
    names of algorithms; both are empty when the binary cannot be read.
    """

    binary: GuestPath
    present: bool
    release: Release
    release_source: str
    paths: frozenset[str]
    words: frozenset[str]
    links_libwrap: bool
    family: str
    major: int
    unread: str = ""
    """Why the binary, which is there, could not be read."""

    @property
    def is_known(self) -> bool:
        """True when the binary itself could be read."""
        return bool(self.paths)


def words_of(content: bytes) -> frozenset[str]:
    """The strings of a binary that can be keywords or names of algorithms."""
    return _strings(WORD_STRING, content)


def _strings(pattern: re.Pattern[bytes], content: bytes) -> frozenset[str]:
    return frozenset(m[0].decode("ascii") for m in islice(pattern.finditer(content), MAX_STRINGS))


def family_of(os: OperatingSystem) -> str:
    """The distribution's family by os-release's ID, else by its ID_LIKE; empty when unknown."""
    for name in (os.distro.lower(), *os.id_like):
        if name in FAMILIES:
            return FAMILIES[name]
    return ""


def major_of(os: OperatingSystem) -> int:
    """The leading number of the version, 0 when there is none."""
    found = re.match(r"\d{1,5}", os.version)
    return int(found[0]) if found else 0


def find_server(
    guest: Guest, packages: PackageDatabase | None, started: GuestPath | None = None
) -> Server | None:
    """The guest's sshd, or None when none is installed.

    A binary counts, and so does one that the package database lists but that is
    gone: then the rest of sshd's world can still be judged. ``started`` is the one that
    a unit starts at boot: it is meant to be there, whoever lists it.
    """
    if started is not None:
        started = guest.resolve(started) or started
    places = BINARIES if started is None else (started,)
    present = next((p for p in places if guest.is_file(p)), None)
    listed = (p for p in places if packages is not None and packages.lookup(str(p)))
    binary = present or next(listed, None) or started
    if binary is None:
        return None
    content, unread = _read_binary(guest, binary) if present else (b"", "")
    release, source = _release(guest.os, packages, content, binary)
    return Server(
        binary,
        present is not None,
        release,
        source,
        paths=_strings(PATH_STRING, content),
        words=words_of(content),
        links_libwrap=b"libwrap.so" in content,
        family=family_of(guest.os),
        major=major_of(guest.os),
        unread=unread,
    )


def _read_binary(guest: Guest, binary: GuestPath) -> tuple[bytes, str]:
    """The binary, or why it cannot be read: its package and the tables then serve as far as they can."""
    try:
        return guest.read(binary, limit_bytes=BINARY_LIMIT_BYTES), ""
    except GuestReadError as error:
        return b"", error.reason


def _release(
    os: OperatingSystem, packages: PackageDatabase | None, content: bytes, binary: GuestPath
) -> tuple[Release, str]:
    said = VERSION.search(content)
    if said is not None:
        return (int(said[1]), int(said[2])), f"{binary}: {said[0].decode('ascii')}"
    for version in _package_versions(packages):
        found = re.match(r"(?:\d+:)?(\d{1,2})\.(\d{1,2})", version)
        if found:
            return (int(found[1]), int(found[2])), f"package version {version}"
    key = (family_of(os), str(major_of(os)))
    name = f"{os.distro} {os.version}".strip() or "unknown distribution"
    return FALLBACK_RELEASES.get(key, NEWEST_RELEASE), name


def _package_versions(packages: PackageDatabase | None) -> Iterator[str]:
    if packages is None:
        return
    for name in PACKAGES:
        package = packages.package(name)
        if package is not None:
            yield package.version

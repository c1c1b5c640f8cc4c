"""The privilege separation directory: which one this sshd uses, and what makes it at boot.

Sources: sshd(8), FILES; OpenSSH sshd.c, main(); systemd.exec(5), RuntimeDirectory=; tmpfiles.d(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guestrepair.errors import GuestReadError
from guestrepair.formats.systemd_unit import Unit
from guestrepair.model import GuestPath, PackagedKind

if TYPE_CHECKING:
    from guestrepair.system.sshd.sshd import Sshd

KNOWN_DIRECTORIES = {
    "/run/sshd": 0o755,
    "/var/run/sshd": 0o755,
    "/var/empty/sshd": 0o711,
    "/usr/share/empty.sshd": 0o711,
    "/var/lib/empty": 0o755,
    "/var/empty": 0o755,
    "/usr/share/empty": 0o755,
    "/var/chroot/ssh": 0o755,
    "/var/lib/sshd": 0o755,
    "/var/run/sshd.empty": 0o755,
}
"""Directories that distributions compile in, with the mode that their packages give them."""

FAMILY_DIRECTORIES = {
    "debian": "/run/sshd",
    "ubuntu": "/run/sshd",
    "fedora": "/usr/share/empty.sshd",
    "suse": "/var/lib/empty",
    "alpine": "/var/empty",
    "arch": "/usr/share/empty.sshd",
}

LIKELY = re.compile(r"/(?:(?:run|var|usr/share|usr/lib|srv)/)(?:[\w.-]+/)*(?:sshd|empty|empty\.sshd|privsep)")
"""A compiled-in path that can only be this directory, where a build uses one of its own."""

UNSAFE_BITS = 0o022
FALLBACK_MODE = 0o755
_RUN = GuestPath("/run")


@dataclass(frozen=True, slots=True)
class PrivsepDirectory:
    """The directory, where that was read, and the mode that it should have."""

    path: GuestPath
    source: str
    mode: int


@dataclass(frozen=True, slots=True)
class Maker:
    """What makes a directory at boot: the file and line (0: all of it), and with which mode and owner."""

    file: GuestPath
    line: int = 0
    mode: int = 0o755
    owner: str = "root"
    setting: str = ""

    @property
    def is_safe(self) -> bool:
        """True when sshd takes what is made: it is root's, and nobody else may write."""
        return not self.mode & UNSAFE_BITS and self.owner in ("root", "0")


def find_directory(sshd: Sshd) -> PrivsepDirectory:
    """The directory that this sshd uses: its binary says, else its package, else the table.

    Raises:
        GuestReadError: the binary is there and could say, but cannot be read, and no package says it.
    """
    server = sshd.server
    found = _from_binary(sshd) or _from_package(sshd)
    if found is None and server.unread:
        raise GuestReadError(server.binary, server.unread)
    text, source = found or _from_table(sshd)
    path = GuestPath(text)
    packaged = _packaged_mode(sshd, path)
    if packaged is None or packaged & UNSAFE_BITS:
        packaged = 0o755 if server.family == "arch" else KNOWN_DIRECTORIES.get(text, FALLBACK_MODE)
    return PrivsepDirectory(path, source, packaged)


def _from_binary(sshd: Sshd) -> tuple[str, str] | None:
    paths = sshd.server.paths
    known = [p for p in KNOWN_DIRECTORIES if p in paths]
    likely = sorted(p for p in paths if LIKELY.fullmatch(p))
    table = _from_table(sshd)[0]
    for candidate in (*(p for p in known if p == table), *known, *likely):
        return candidate, f"strings of {sshd.server.binary}"
    return None


def _from_package(sshd: Sshd) -> tuple[str, str] | None:
    packages = sshd.system.packages
    if packages is None:
        return None
    for path in KNOWN_DIRECTORIES:
        for entry in packages.lookup(path):
            if entry.package.name.startswith("openssh"):
                return path, f"package {entry.package.name}"
    return None


def _from_table(sshd: Sshd) -> tuple[str, str]:
    server, os = sshd.server, sshd.system.os
    if server.family == "rhel":
        path = "/var/empty/sshd" if 0 < server.major <= 8 else "/usr/share/empty.sshd"
    elif server.family == "amazon":
        path = "/var/empty/sshd" if server.major == 2 or server.major < 2022 else "/usr/share/empty.sshd"
    else:
        path = FAMILY_DIRECTORIES.get(server.family, "/var/empty")
    return path, f"{os.distro or 'unknown distribution'} {os.version}".strip()


def _packaged_mode(sshd: Sshd, path: GuestPath) -> int | None:
    """The permission bits that the package database records for the directory; None where it does not."""
    packages = sshd.system.packages
    entries = packages.lookup(str(path)) if packages is not None else ()
    modes = (e.mode & 0o7777 for e in entries if e.mode is not None and e.kind is PackagedKind.DIRECTORY)
    return next(modes, None)


def normal_path(sshd: Sshd, path: GuestPath) -> GuestPath:
    """The path with the links of its parents followed (``/var/run/x`` is ``/run/x``)."""
    resolved = sshd.files.resolve_parent(path)
    if resolved is not None:
        return resolved
    text = str(path)
    return GuestPath(text.removeprefix("/var")) if text.startswith("/var/run/") else path


def is_volatile(place: GuestPath) -> bool:
    """True for what lies on the memory filesystem /run, which is empty at every boot."""
    return _RUN in place.parents


def makers(sshd: Sshd, wanted: GuestPath) -> Iterator[Maker]:
    """What makes that directory at boot: sshd's units, tmpfiles.d, and without units its init scripts.

    Raises:
        GuestReadError: a file that may do it cannot be read.
    """
    others = (service for peer in sshd.peers for service in peer.services_in_force)
    for service in (*sshd.services_in_force, *others):
        if _unit_makes(service.unit, wanted):
            text = service.unit.last("Service", "RuntimeDirectoryMode") or "0755"
            mode = int(text, 8) if re.fullmatch(r"[0-7]{1,5}", text) else 0o755
            yield Maker(service.path, 0, mode, setting=f"RuntimeDirectoryMode={text}")
    for each in sshd.system.tmpfiles.lines:
        if each.makes_directory and normal_path(sshd, each.path) == wanted:
            mode = 0o755 if each.line.mode is None else each.line.mode
            owner = each.line.user or "root"
            yield Maker(each.file, each.line.number, mode, owner, f"mode {mode:04o}, owner {owner}")
    if not sshd.services:
        for script, text in sshd.init_scripts:
            if _makes_directory(text, str(wanted)):
                yield Maker(script)


def _unit_makes(unit: Unit, wanted: GuestPath) -> bool:
    made = {_RUN / word.partition(":")[0] for word in unit.words("Service", "RuntimeDirectory")}
    commands = (*unit.values("Service", "ExecStartPre"), *unit.values("Service", "ExecStart"))
    return wanted in made or any(_makes_directory(command, str(wanted)) for command in commands)


def _makes_directory(text: str, wanted: str) -> bool:
    names_it = wanted in text or f"/var{wanted}" in text
    return names_it and re.search(r"\b(?:mkdir|checkpath|install\s+-\S*d|install_dir)\b", text) is not None

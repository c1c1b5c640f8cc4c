"""The privilege separation directory and user, without which sshd does not start.

sshd checks both before it listens (sshd.c, main()): the user ``sshd`` must be in
passwd, and the directory compiled in must be there, be owned by root and be
writable by nobody else. Each failure is fatal, and every login is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.analyzers.sshd.units import LoadedUnit
from guestrepair.errors import GuestReadError
from guestrepair.formats.systemd_unit import Unit
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Change,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeDirectory,
    PackagedKind,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    WriteFile,
)

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

FALLBACK_MODE = 0o755
UNSAFE_BITS = 0o022


@dataclass(frozen=True, slots=True)
class PrivsepDirectory:
    """The directory, where that was read, and the mode that it should have."""

    path: GuestPath
    source: str
    mode: int


def check_directory(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """privsep-dir-missing and privsep-dir-unsafe."""
    if facts.privsep_disabled:
        return
    directory = privsep_directory(facts)
    hidden = facts.unmounted_above(directory.path)
    if hidden:
        yield facts.inconclusive(
            f"the privilege separation directory {directory.path} was not examined: {hidden}"
        )
        return
    if is_volatile(facts, directory.path):
        loose = _loose_mode(facts, normal_path(facts, directory.path))
        if loose is not None:
            yield _made_loose(directory, *loose)
        elif not created_at_boot(facts, directory.path):
            yield _nothing_creates(directory)
        return
    found = facts.guest.stat(directory.path)
    if found is None or not found.is_directory:
        if not created_at_boot(facts, directory.path):
            yield _missing(facts, directory)
    elif found.uid != 0 or found.permissions & UNSAFE_BITS:
        yield _unsafe(facts, directory, found)


def privsep_directory(facts: SshdFacts) -> PrivsepDirectory:
    """The directory that this guest's sshd uses: its binary says, else its package, else the table."""
    server = facts.server
    path, source = _from_binary(facts) or _from_package(facts) or _guessed(facts)
    packaged = facts.packaged_mode(GuestPath(path), PackagedKind.DIRECTORY)
    mode = packaged if packaged is not None and not packaged & UNSAFE_BITS else None
    if mode is None:
        mode = 0o755 if server.family == "arch" else KNOWN_DIRECTORIES.get(path, FALLBACK_MODE)
    return PrivsepDirectory(GuestPath(path), source, mode)


def _guessed(facts: SshdFacts) -> tuple[str, str]:
    """What the table has.

    Raises:
        GuestReadError: the binary is there and could say, but cannot be read.
    """
    if facts.server.unread:
        raise GuestReadError(facts.server.binary, facts.server.unread)
    return _from_table(facts)


def _from_binary(facts: SshdFacts) -> tuple[str, str] | None:
    paths = facts.server.paths
    known = [p for p in KNOWN_DIRECTORIES if p in paths]
    likely = sorted(p for p in paths if LIKELY.fullmatch(p))
    table = _from_table(facts)[0]
    for candidate in (*(p for p in known if p == table), *known, *likely):
        return candidate, f"strings of {facts.server.binary}"
    return None


def _from_package(facts: SshdFacts) -> tuple[str, str] | None:
    if facts.context.packages is None:
        return None
    for path in KNOWN_DIRECTORIES:
        for entry in facts.context.packages.lookup(path):
            if entry.package.name.startswith("openssh"):
                return path, f"package {entry.package.name}"
    return None


def _from_table(facts: SshdFacts) -> tuple[str, str]:
    server, os = facts.server, facts.guest.os
    if server.family == "rhel":
        path = "/var/empty/sshd" if 0 < server.major <= 8 else "/usr/share/empty.sshd"
    elif server.family == "amazon":
        path = "/var/empty/sshd" if server.major == 2 or server.major < 2022 else "/usr/share/empty.sshd"
    else:
        path = FAMILY_DIRECTORIES.get(server.family, "/var/empty")
    return path, f"{os.distro or 'unknown distribution'} {os.version}".strip()


def normal_path(facts: SshdFacts, path: GuestPath) -> GuestPath:
    """The path with the links of its parents followed (``/var/run/x`` is ``/run/x``)."""
    resolved = facts.guest.resolve_parent(path)
    if resolved is not None:
        return resolved
    text = str(path)
    return GuestPath(text.removeprefix("/var")) if text.startswith("/var/run/") else path


def is_volatile(facts: SshdFacts, path: GuestPath) -> bool:
    """True for what lies on the memory filesystem /run, which is empty at every boot."""
    return GuestPath("/run") in normal_path(facts, path).parents


def created_at_boot(facts: SshdFacts, path: GuestPath) -> str:
    """What makes the directory at boot (a unit, a tmpfiles.d line, an init script); else empty."""
    wanted = normal_path(facts, path)
    for service in _units_in_force(facts):
        if _unit_makes(service.unit, wanted):
            return str(service.path)
    for file, line in facts.tmpfiles:
        if line.type in "dDvqQ" and normal_path(facts, GuestPath(line.path)) == wanted:
            return f"{file}:{line.number}"
    if not facts.services:
        return _init_script_makes(facts, path)
    return ""


def _units_in_force(facts: SshdFacts) -> tuple[LoadedUnit, ...]:
    """sshd's units with their overrides; for one that is masked, what it will be once that is undone."""
    masked = {service.name for service in facts.services if service.masked}
    return (
        *(service for service in facts.services if not service.masked),
        *(service for service in facts.vendor_services if service.name in masked),
    )


def _loose_mode(facts: SshdFacts, wanted: GuestPath) -> tuple[str, str] | None:
    """(who, mode) of what makes the directory at boot writable by others; None when nothing does."""
    for service in _units_in_force(facts):
        unit = service.unit
        mode = unit.last("Service", "RuntimeDirectoryMode") or "0755"
        if _unit_makes(unit, wanted):
            return (str(service.path), f"RuntimeDirectoryMode={mode}") if _is_loose(mode) else None
    for file, line in facts.tmpfiles:
        if line.type in "dDvqQ" and normal_path(facts, GuestPath(line.path)) == wanted:
            bits = 0o755 if line.mode is None else line.mode
            foreign = line.user not in {"", "root", "0"}
            how = f"mode {bits:04o}, owner {line.user or 'root'}"
            return (f"{file}:{line.number}", how) if bits & UNSAFE_BITS or foreign else None
    return None


def _is_loose(mode: str) -> bool:
    return re.fullmatch(r"[0-7]{1,5}", mode) is not None and bool(int(mode, 8) & UNSAFE_BITS)


def _made_loose(directory: PrivsepDirectory, who: str, how: str) -> Finding:
    return Finding(
        rule="sshd/privsep-dir-unsafe",
        severity=Severity.ERROR,
        subject=who,
        message=f'sshd will not start: "{directory.path} must be owned by root and not group or'
        f' world-writable." ({who} makes it at every boot with {how})',
        evidence=(Evidence(who, how, f"mode {directory.mode:04o}"),),
        repair=Repair(f"write mode {directory.mode:04o} in {who.partition(':')[0]} by hand", Safety.MANUAL),
    )


def _unit_makes(unit: Unit, wanted: GuestPath) -> bool:
    made = {GuestPath("/run") / word.partition(":")[0] for word in unit.words("Service", "RuntimeDirectory")}
    commands = (*unit.values("Service", "ExecStartPre"), *unit.values("Service", "ExecStart"))
    return wanted in made or any(_makes_directory(command, str(wanted)) for command in commands)


def _makes_directory(text: str, wanted: str) -> bool:
    names_it = wanted in text or f"/var{wanted}" in text
    return names_it and re.search(r"\b(?:mkdir|checkpath|install\s+-\S*d|install_dir)\b", text) is not None


def _init_script_makes(facts: SshdFacts, path: GuestPath) -> str:
    for name in ("ssh", "sshd"):
        script = GuestPath("/etc/init.d") / name
        if _makes_directory(facts.content(script).decode("utf-8", "replace"), str(path)):
            return str(script)
    return ""


def _nothing_creates(directory: PrivsepDirectory) -> Finding:
    path = directory.path
    line = f"d {path} {directory.mode:04o} root root -\n"
    return Finding(
        rule="sshd/privsep-dir-missing",
        severity=Severity.ERROR,
        subject=str(path),
        message=f"sshd will not start: nothing creates its privilege separation directory {path} at boot"
        f' ("Missing privilege separation directory: {path}")',
        evidence=(
            Evidence(directory.source, f"sshd uses {path}", ""),
            Evidence(
                "sshd's units, tmpfiles.d, init script",
                f"none of them makes {path}, and /run is empty at boot",
                f"RuntimeDirectory= of sshd's unit, or a tmpfiles.d line for {path}",
            ),
        ),
        repair=Repair(
            f"have systemd-tmpfiles make {path} at boot",
            Safety.SAFE,
            (
                WriteFile(
                    path=GuestPath("/etc/tmpfiles.d/sshd-privsep.conf"), before=None, after=line.encode()
                ),
            ),
        ),
    )


def _missing(facts: SshdFacts, directory: PrivsepDirectory) -> Finding:
    path = normal_path(facts, directory.path)
    there = facts.guest.lstat(path)
    if there is None:
        observed, replace = "no such directory", ""
    elif there.is_symlink:
        observed, replace = f"a link to {facts.guest.readlink(path)}, which leads to no directory", "file"
    else:
        observed, replace = "not a directory", "file"
    return Finding(
        rule="sshd/privsep-dir-missing",
        severity=Severity.ERROR,
        subject=str(directory.path),
        message=f'sshd will not start: "Missing privilege separation directory: {directory.path}"'
        f" ({observed})",
        evidence=(
            Evidence(directory.source, f"sshd uses {directory.path}", ""),
            Evidence(str(directory.path), observed, f"a directory, root:root {directory.mode:04o}"),
        ),
        repair=Repair(
            f"make {path} (root:root {directory.mode:04o})",
            Safety.SAFE,
            (*_parents(facts, path), MakeDirectory(path=path, mode=directory.mode, replace=replace)),
        ),
    )


def _parents(facts: SshdFacts, path: GuestPath) -> Iterator[Change]:
    # A parent that is there and no directory has to go first; one that lacks is made by MakeDirectory itself.
    for parent in [p for p in path.parents if p != GuestPath("/")][::-1]:
        found = facts.guest.lstat(parent)
        if found is None:
            return
        if not found.is_directory and not facts.guest.is_directory(parent):
            yield MakeDirectory(path=parent, mode=0o755, replace="file")
            return


def _unsafe(facts: SshdFacts, directory: PrivsepDirectory, found: Stat) -> Finding:
    target = facts.guest.resolve(directory.path) or directory.path
    changes: list[Change] = []
    if found.uid != 0 or found.gid != 0:
        changes.append(SetOwner(path=target, before=(found.uid, found.gid), after=(0, 0)))
    if found.permissions != directory.mode:
        changes.append(SetMode(path=target, before=found.permissions, after=directory.mode))
    observed = f"uid {found.uid}, gid {found.gid}, mode {found.permissions:04o}"
    return Finding(
        rule="sshd/privsep-dir-unsafe",
        severity=Severity.ERROR,
        subject=str(directory.path),
        message=f'sshd will not start: "{directory.path} must be owned by root and not group or'
        f' world-writable." (it has {observed})',
        evidence=(
            Evidence(directory.source, f"sshd uses {directory.path}", ""),
            Evidence(str(target), observed, f"uid 0, gid 0, mode {directory.mode:04o}"),
        ),
        repair=Repair(f"set {target} to root:root {directory.mode:04o}", Safety.SAFE, tuple(changes)),
    )

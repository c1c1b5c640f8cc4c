"""The rule on modes and owners that logins and privileges hang on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from guestrepair.analyzers.base import Context, Rule
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    Subject,
)
from guestrepair.system.account_files import SHADOW
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System

CRITICAL_MODES = Rule(
    name="system/critical-modes",
    summary="a directory or file that everything depends on has the wrong mode or owner",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE,),
    what="/, /etc, /usr, /var, /tmp, passwd, group, shadow, sudo, su: owner, write or setuid bits are wrong.",
    why="sshd refuses keys below directories that others can write; services cannot read passwd; sudo fails.",
    repair="root as owner, and the bits that are wrong; nothing below them.",
    example="chmod -R 777 / was interrupted early.",
    sources=("hier(7)", "sshd(8), StrictModes", "sudo(8)", "shadow(5)"),
)
RULES = (CRITICAL_MODES,)

_DEBIAN_SHADOW_GID = 42
"""Of base-passwd; counts where the group file is lost."""
_SETUID = ("/usr/bin/sudo", "/usr/bin/su", "/usr/bin/passwd")


@dataclass(frozen=True, slots=True)
class _Expected:
    """Bits that must be set and bits that must not; what missing or having them means.

    ``also_cleared`` goes with a repair but is no fault by itself: who ran ``chmod 777`` set these, too.
    """

    path: str
    needed: int
    forbidden: int
    severity: Severity
    also_cleared: int = 0


_EXPECTED = (
    *(_Expected(p, 0o555, 0o022, Severity.ERROR) for p in ("/", "/etc", "/usr", "/var")),
    _Expected("/tmp", 0o1777, 0, Severity.WARNING),  # noqa: S108 - a path of the guest
    _Expected("/var/tmp", 0o1777, 0, Severity.WARNING),  # noqa: S108 - a path of the guest
    _Expected("/root", 0o500, 0o022, Severity.WARNING),
    _Expected("/etc/passwd", 0o444, 0o022, Severity.ERROR, also_cleared=0o111),
    _Expected("/etc/group", 0o444, 0o022, Severity.ERROR, also_cleared=0o111),
    _Expected("/etc/shadow", 0, 0o027, Severity.WARNING),
)


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on critical modes and owners."""
    system = context.system
    stats = system.files.lstat_many(GuestPath(name) for name in (*(e.path for e in _EXPECTED), *_SETUID))
    for expected in _EXPECTED:
        path = GuestPath(expected.path)
        found = stats[path]
        if found is None or not (found.is_directory or found.is_file):
            continue
        wanted = attempt(partial(_wanted, system, expected, found))
        if isinstance(wanted, Unreadable):
            yield Inconclusive("system", f"the mode of {path} was not judged: {wanted.error.message}")
            continue
        if wanted != found.permissions:
            wanted &= ~expected.also_cleared
        yield from _judged(path, found, wanted, expected.severity)
    yield from _setuid(system, stats)


def _setuid(system: System, stats: Mapping[GuestPath, Stat | None]) -> Iterator[Finding]:
    there = [name for name in _SETUID if (s := stats[GuestPath(name)]) is not None and s.is_file]
    owners = system.packages.lookup_many(there) if there and system.packages is not None else {}
    for name in there:
        found = stats[GuestPath(name)]
        # Where the package database knows the mode, packages/wrong-mode is the judge.
        if found is not None and all(entry.mode is None for entry in owners.get(name, ())):
            wanted = (found.permissions | 0o4111) & ~0o022
            severity = Severity.WARNING if name == "/usr/bin/passwd" else Severity.ERROR
            yield from _judged(GuestPath(name), found, wanted, severity)


def _wanted(system: System, expected: _Expected, found: Stat) -> int:
    """The bits as they should be.

    Raises:
        GuestReadError: they hang on the number of a group, and the group file cannot be read.
    """
    wanted = (found.permissions | expected.needed) & ~expected.forbidden
    if expected.path != str(SHADOW):
        return wanted
    if found.permissions & 0o7 == 0:
        # Debian lets group shadow read it; a group that may write is wrong whatever its name.
        return wanted | found.permissions & 0o040
    file = system.account_files.group
    group = file.parsed.get("shadow") if file is not None else None
    return 0o640 if found.gid == (group.gid if group is not None else _DEBIAN_SHADOW_GID) else 0o600


def _judged(path: GuestPath, found: Stat, wanted: int, severity: Severity) -> Iterator[Finding]:
    changes: list[Change] = []
    wrong = []
    owner_wrong = found.uid != 0
    if owner_wrong:
        wrong.append(f"owner {found.uid}")
        # Changing the owner drops setuid bits, so it comes first.
        changes.append(SetOwner(path=path, before=(found.uid, found.gid), after=(0, found.gid)))
    if wanted != found.permissions:
        wrong.append(f"mode {found.permissions:04o}")
    if not wrong:
        return
    kept = found.permissions & 0o1777 if owner_wrong and found.is_file else found.permissions
    if wanted != kept:
        changes.append(SetMode(path=path, before=kept, after=wanted))
    if severity is Severity.WARNING and found.permissions & 0o002 and found.is_file:
        severity = Severity.ERROR
    yield CRITICAL_MODES.finding(
        Subject.of_path(path),
        f"{path} has {' and '.join(wrong)}; it must be root's with mode {wanted:04o}",
        severity=severity,
        evidence=(
            Evidence(
                str(path), f"{found.uid}:{found.gid} {found.permissions:04o}", f"0:{found.gid} {wanted:04o}"
            ),
        ),
        repair=Repair(f"owner root, mode {wanted:04o} for {path}", Safety.SAFE, tuple(changes)),
    )

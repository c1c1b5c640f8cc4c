"""Findings for modes and owners: against the database where it has them, else against what cannot be right.

dpkg records no modes. There the stat overrides, the known setuid programs and plain impossibilities decide
(a packaged path that everybody may write, a program that nobody may execute, one that belongs to a person);
the values to set come from the .deb or the donor.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.packages.places import is_documentation, is_program_place, matters_for_login
from guestrepair.analyzers.packages.restoring import described
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import (
    Evidence,
    Finding,
    GuestPath,
    PackagedKind,
    Repair,
    RestoreAttributes,
    Safety,
    Severity,
)
from guestrepair.packages.accounts import Accounts
from guestrepair.packages.base import PackageDatabase, PackagedFile

MANY = 25
"""From this many paths under one top directory on, one finding stands for all: one command hit them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One path whose mode (``rule`` wrong-mode) or owner (wrong-owner) is not what it should be."""

    rule: str
    file: PackagedFile
    severity: Severity
    observed: str
    expected: str


def attribute_findings(
    guest: Guest, database: PackageDatabase, wrong: list[tuple[PackagedFile, Stat]]
) -> Iterator[Finding]:
    """One finding a path and rule; one for a whole tree where very many differ."""
    accounts = Accounts(guest)
    groups: dict[tuple[str, str], list[Difference]] = defaultdict(list)
    for file, stat in wrong:
        for difference in _differences(accounts, file, stat):
            top = "/" + difference.file.path.split("/", 2)[1]
            groups[difference.rule, top].append(difference)
    for (rule, _top), differences in sorted(groups.items()):
        if len(differences) >= MANY:
            yield _mass(guest, database, rule, differences)
        else:
            yield from (_single(guest, database, d) for d in differences)


def _differences(accounts: Accounts, file: PackagedFile, stat: Stat) -> Iterator[Difference]:
    expected_mode = f"{file.mode:04o}" if file.mode is not None else "the packaged mode"
    if _mode_differs(file, stat):
        severity = _mode_severity(file, stat)
        yield Difference("packages/wrong-mode", file, severity, f"{stat.permissions:04o}", expected_mode)
    uid = accounts.uid(file.owner) if file.owner else None
    gid = accounts.gid(file.group) if file.group else None
    wrong_uid = "noowner" not in file.flags and (uid != stat.uid if file.owner else stat.uid >= FIRST_PERSON)
    wrong_gid = "nogroup" not in file.flags and bool(file.group) and gid != stat.gid
    if wrong_uid or wrong_gid:
        observed = f"{accounts.user(stat.uid)}:{accounts.group(stat.gid)}"
        yield Difference(
            "packages/wrong-owner",
            file,
            _owner_severity(file),
            observed,
            f"{file.owner or 'root'}:{file.group or 'root'}",
        )


FIRST_PERSON = 1000
"""Accounts from here on belong to people (login.defs(5), UID_MIN): no packaged program is theirs."""


def _mode_differs(file: PackagedFile, stat: Stat) -> bool:
    if stat.is_symlink or "nomode" in file.flags:
        return False
    return suspicious_mode(file, stat) if file.mode is None else stat.permissions != file.mode


def suspicious_mode(file: PackagedFile, stat: Stat) -> bool:
    """A mode that no package gives, where the database records none."""
    mode = stat.permissions
    if stat.is_directory:
        return bool(mode & 0o002) and not mode & 0o1000
    if not stat.is_file:
        return False
    if mode & 0o002 or not mode & 0o444:
        return True
    directory = file.path.rpartition("/")[0]
    return directory.endswith(("/bin", "/sbin")) and file.kind is PackagedKind.FILE and not mode & 0o111


def _mode_severity(file: PackagedFile, stat: Stat) -> Severity:
    opened = stat.permissions & 0o022 & ~(file.mode or 0o755)
    if file.flags & {"config", "ghost"}:
        login = matters_for_login(file.path)
        return Severity.WARNING if opened or (login and "ghost" not in file.flags) else Severity.NOTE
    if is_documentation(file):
        return Severity.NOTE
    lost = (file.mode if file.mode is not None else 0o555) & ~stat.permissions & 0o6555
    needed = is_program_place(file.path) or stat.is_directory
    if needed and (lost & 0o6111 or (lost & 0o444 and stat.is_file) or opened):
        return Severity.ERROR
    return Severity.WARNING


def _owner_severity(file: PackagedFile) -> Severity:
    if file.flags & {"config", "ghost"} or is_documentation(file):
        return Severity.WARNING if matters_for_login(file.path) else Severity.NOTE
    return Severity.ERROR if is_program_place(file.path) else Severity.WARNING


def _change(guest: Guest, file: PackagedFile) -> RestoreAttributes:
    path = GuestPath(file.path)
    return RestoreAttributes(
        path=guest.resolve_parent(path) or path,
        package=file.package.name,
        version=file.package.version,
        architecture=file.package.architecture,
        mode=file.mode,
        owner=file.owner,
        group=file.group,
        capabilities=file.capabilities if file.kind is PackagedKind.FILE else None,
    )


def _single(guest: Guest, database: PackageDatabase, difference: Difference) -> Finding:
    file = difference.file
    what = "mode" if difference.rule.endswith("mode") else "owner"
    configuration = bool(file.flags & {"config", "ghost"})
    return Finding(
        difference.rule,
        difference.severity,
        file.path,
        f"{file.path} of {described(file)} has the {what} {difference.observed}, not {difference.expected}",
        (
            Evidence(
                f"{database.format} database, {described(file)}", difference.observed, difference.expected
            ),
        ),
        Repair(
            f"give {file.path} its packaged mode and owner again",
            Safety.REVIEW if configuration else Safety.SAFE,
            (_change(guest, file),),
        ),
    )


def _mass(guest: Guest, database: PackageDatabase, rule: str, differences: list[Difference]) -> Finding:
    paths = [d.file.path for d in differences]
    common = posixpath.commonpath(paths)
    what = "modes" if rule.endswith("mode") else "owners"
    worst = min((d.severity for d in differences), key=lambda s: s.rank)
    seen = sorted({d.observed for d in differences})[:5]
    return Finding(
        rule,
        worst,
        common,
        f"{len(paths)} packaged paths in {common} have wrong {what} ({', '.join(seen)}):"
        " one command changed them all",
        (Evidence(f"{database.format} database", f"{len(paths)} differ", f"the packaged {what}"),),
        Repair(
            f"give {len(paths)} paths their packaged modes and owners again",
            Safety.SAFE,
            tuple(dict.fromkeys(_change(guest, d.file) for d in differences)),
        ),
        tuple(p for p in paths if p != common),
    )

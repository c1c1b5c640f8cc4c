"""Findings for modes and owners: against the database where it has them, else against what cannot be right.

dpkg records no modes. There the stat overrides, the known setuid programs and plain impossibilities decide
(a packaged path that everybody may write, a program that nobody may execute, one that belongs to a person);
the values to set come from the .deb or the donor.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from guestrepair.analyzers.packages.places import is_documentation, is_program_place, matters_for_login
from guestrepair.analyzers.packages.restoring import described, merged_tops, placed
from guestrepair.analyzers.packages.strays import strays
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
from guestrepair.packages.aliases import is_alias_link
from guestrepair.packages.base import PackageDatabase, PackagedFile
from guestrepair.packages.reference import DONOR, UNPACKED, Reference

_MODE, _OWNER = "packages/wrong-mode", "packages/wrong-owner"
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
    opened: bool = False
    """Everybody may write it, or it belongs to a person, and the package does not say so."""


def attribute_findings(
    guest: Guest,
    database: PackageDatabase,
    wrong: list[tuple[PackagedFile, Stat]],
    reference: Reference | None = None,
) -> Iterator[Finding]:
    """One finding a path and rule; one for a whole tree where very many differ."""
    accounts = Accounts(guest)
    merged = merged_tops(guest)
    groups: dict[tuple[str, str], list[Difference]] = defaultdict(list)
    seen: set[str] = set()
    for file, stat in wrong:
        if is_alias_link(file.path) and file.path[1:] in merged:
            file = replace(file, path=f"/usr{file.path}")  # noqa: PLW2901 - the directory behind the link
        top = _top(file.path, merged)
        place = placed(file.path, merged)
        if place in seen:
            continue  # one directory that two packages list by its two names
        seen.add(place)
        for difference in _differences(accounts, file, stat):
            groups[difference.rule, top].append(difference)
    # chown -R clears setuid bits as it goes: the owner's finding stands for those, too.
    covered = {
        d.file.path
        for (rule, _), found in groups.items()
        if rule == _OWNER and len(found) >= MANY
        for d in found
    }
    for (rule, _), differences in sorted(groups.items()):
        own = [d for d in differences if rule == _OWNER or d.file.path not in covered]
        if len(own) >= MANY:
            yield _mass(guest, database, rule, own, reference)
        else:
            yield from (_single(guest, database, d) for d in own)


def _top(path: str, merged: frozenset[str]) -> str:
    first = path.split("/", 2)[1]
    return "/usr" if first in merged else f"/{first}"


def _differences(accounts: Accounts, file: PackagedFile, stat: Stat) -> Iterator[Difference]:
    expected_mode = f"{file.mode:04o}" if file.mode is not None else "the packaged mode"
    if _mode_is_wrong(file, stat):
        severity = _mode_severity(file, stat)
        opened = bool(stat.permissions & 0o002 & ~(file.mode or 0))
        yield Difference(_MODE, file, severity, f"{stat.permissions:04o}", expected_mode, opened)
    if _owner_is_wrong(accounts, file, stat):
        observed = f"{accounts.user(stat.uid)}:{accounts.group(stat.gid)}"
        yield Difference(
            _OWNER,
            file,
            Severity.NOTE if _only_the_donors(file) and stat.uid < FIRST_PERSON else _owner_severity(file),
            observed,
            f"{file.owner or 'root'}:{file.group or 'root'}",
            stat.uid >= FIRST_PERSON,
        )


FIRST_PERSON = 1000
"""Accounts from here on belong to people (login.defs(5), UID_MIN): no packaged program is theirs."""


def _owner_is_wrong(accounts: Accounts, file: PackagedFile, stat: Stat) -> bool:
    if not file.owner or UNPACKED in file.flags:
        # What a package's scripts chown belongs to an account of the system, never to a person.
        return "config" not in file.flags and stat.uid >= FIRST_PERSON
    return bool(owner_differs(accounts, file, stat))


def owner_differs(accounts: Accounts, file: PackagedFile, stat: Stat) -> bool | None:
    """By name, as rpm compares: the number belongs to that name in the guest.

    None when nothing tells whose a number is: a name that cannot be looked up is no wrong owner.
    """
    same: list[bool | None] = []
    if file.owner and "noowner" not in file.flags:
        same.append(accounts.is_user(stat.uid, file.owner))
    if file.group and "nogroup" not in file.flags:
        same.append(accounts.is_group(stat.gid, file.group))
    if False in same:
        return True
    return None if None in same else False


def _mode_is_wrong(file: PackagedFile, stat: Stat) -> bool:
    if file.mode is None and not stat.is_symlink:
        return suspicious_mode(file, stat)
    return mode_differs(file, stat)


def mode_differs(file: PackagedFile, stat: Stat) -> bool:
    """Another mode than the recorded one; against a .deb only what was lost or opened since.

    The scripts of a package may rightly have set other bits than its archive has.
    """
    if file.mode is None or stat.is_symlink or "nomode" in file.flags:
        return False
    if UNPACKED in file.flags:
        return bool(file.mode & ~stat.permissions & 0o6555 or stat.permissions & 0o022 & ~file.mode)
    return stat.permissions != file.mode


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
    if _only_the_donors(file) and not opened & 0o002:
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
    # What a donor or a package file said is asked of it again, so that the plan can name it.
    recorded = not file.flags & {DONOR, UNPACKED}
    return RestoreAttributes(
        path=guest.resolve_parent(path) or path,
        package=file.package.name,
        version=file.package.version,
        architecture=file.package.architecture,
        mode=file.mode if recorded else None,
        owner=file.owner if recorded else None,
        group=file.group if recorded else None,
        capabilities=file.capabilities if file.kind is PackagedKind.FILE else None,
    )


def _single(guest: Guest, database: PackageDatabase, difference: Difference) -> Finding:
    file = difference.file
    what = "mode" if difference.rule == _MODE else "owner"
    return Finding(
        difference.rule,
        difference.severity,
        file.path,
        f"{file.path} of {described(file)} has the {what} {difference.observed}, not {difference.expected}",
        (Evidence(_authority(database, file), difference.observed, difference.expected),),
        Repair(
            f"give {file.path} its packaged mode and owner again",
            _safety(difference),
            (_change(guest, file),),
        ),
    )


def _safety(difference: Difference) -> Safety:
    """Review for configuration, and for what only a donor has otherwise: another package may have set it.

    Nobody wants configuration that everybody may write, or a packaged path that belongs to a person.
    """
    file = difference.file
    if difference.opened:
        return Safety.SAFE
    if file.flags & {"config", "ghost"}:
        return Safety.REVIEW
    return Safety.REVIEW if _only_the_donors(file) else Safety.SAFE


def _only_the_donors(file: PackagedFile) -> bool:
    """Outside of programs and libraries, scripts of packages that the donor has not may have set it."""
    return DONOR in file.flags and not is_program_place(file.path)


def _authority(database: PackageDatabase, file: PackagedFile) -> str:
    """Who says what is right."""
    if DONOR in file.flags:
        return f"the donor's {described(file)}"
    if UNPACKED in file.flags:
        return f"package file of {described(file)}"
    if database.format == "deb" and "override" not in file.flags:
        return f"what packages set, {described(file)}"
    return f"{database.format} database, {described(file)}"


def _hit_by_mode(stat: Stat) -> bool:
    return not stat.is_symlink and stat.permissions & 0o1002 == 0o002


def _hit_by_owner(stat: Stat) -> bool:
    return stat.uid >= FIRST_PERSON


def _mass(
    guest: Guest,
    database: PackageDatabase,
    rule: str,
    differences: list[Difference],
    reference: Reference | None,
) -> Finding:
    paths = [d.file.path for d in differences]
    common = posixpath.commonpath([str(guest.resolve_parent(GuestPath(p)) or p) for p in paths])
    what = "modes" if rule == _MODE else "owners"
    worst = min((d.severity for d in differences), key=lambda s: s.rank)
    seen = ", ".join(sorted({d.observed for d in differences})[:5])
    changes = list(dict.fromkeys(_change(guest, d.file) for d in differences))
    authority = _authority(database, differences[0].file)
    evidence = [Evidence(authority, f"{len(paths)} differ", f"the packaged {what}")]
    if reference is not None:
        packaged = {str(change.path) for change in changes}
        hit = _hit_by_mode if rule == _MODE else _hit_by_owner
        more, others = strays(guest, reference, common, packaged, hit)
        changes += more
        if others:
            words = f"{others} more below {common} that neither a package nor the donor has"
            evidence.append(Evidence("the guest", words, "to be looked at by hand"))
    return Finding(
        rule,
        worst,
        common,
        f"{len(paths)} packaged paths in {common} have wrong {what} ({seen}): one command changed them all",
        tuple(evidence),
        Repair(
            f"give {len(changes)} paths their packaged modes and owners again",
            Safety.SAFE if any(_safety(d) is Safety.SAFE for d in differences) else Safety.REVIEW,
            tuple(changes),
        ),
        tuple(p for p in paths if p != common),
    )

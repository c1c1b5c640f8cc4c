"""Findings for modes, owners and capabilities: one a path, or one for all that one command hit.

The database has the right values where it records them. Else (dpkg) the stat overrides, the known setuid
programs and the impossible decide, and the values to set come from the .deb or the donor.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.packages.differences import (
    FIRST_PERSON,
    Difference,
    differences,
    only_the_donors,
)
from guestrepair.analyzers.packages.effects import worst_effect
from guestrepair.analyzers.packages.packaged import described
from guestrepair.analyzers.packages.unpackaged import unpackaged_changes
from guestrepair.errors import FormatError
from guestrepair.formats.capabilities import format_text, format_xattr, parse_text, parse_xattr
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    PackagedKind,
    Repair,
    RestoreAttributes,
    Safety,
    SetCapabilities,
    Severity,
    Subject,
)
from guestrepair.packages.aliases import is_alias_link
from guestrepair.packages.base import Flag, PackageDatabase, PackagedFile, Provenance
from guestrepair.packages.reference import Reference
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.files import Files
from guestrepair.system.guest_system import System
from guestrepair.system.packaged import Packaged

WRONG_MODE = Rule(
    name="packages/wrong-mode",
    summary="a packaged path has another mode than the package gave it",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW),
    what="Permission bits, setuid and setgid bits or file capabilities differ from the rpm header. "
    "dpkg records no modes: there the known setuid programs and the stat overrides decide, and in a "
    "repair the donor of the same version, or the .deb for what was lost since it was unpacked; "
    "without either, packaged paths that everybody may write are found.",
    why="sudo, su and passwd without setuid let nobody become root; a library that everybody may "
    "write lets everybody.",
    repair="The packaged mode is set again. Where one chmod hit very many paths, one finding and one "
    "repair stand for all of them, and for what else it hit that the donor has, too. Configuration "
    "with a stricter mode than the package's is left for review.",
    example="chmod 755 /usr/bin/sudo",
    sources=("rpm: lib/verify.c", "Debian Policy 10.9", "dpkg-statoverride(1)"),
)
WRONG_OWNER = Rule(
    name="packages/wrong-owner",
    summary="a packaged path belongs to another user or group than the package gave it",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW),
    what="Owner or group differ, compared by name as rpm does. For dpkg: from the stat overrides, "
    "the .deb or the donor; without one, packaged programs and libraries must belong to root.",
    why="sshd, sudo and systemd refuse files that do not belong to root, and whoever owns a program "
    "can replace it.",
    repair="The packaged owner is set again, with the packaged mode, since chown clears setuid bits.",
    example="chown -R 1000:1000 /usr",
    sources=("rpm: lib/verify.c", "Debian Policy 10.9", "dpkg-statoverride(1)"),
)
RULES = (WRONG_MODE, WRONG_OWNER)

MANY = 25
"""From this many paths under one top directory on, one finding stands for all: one command hit them."""


def attribute_findings(
    system: System,
    packaged: Packaged,
    wrong: Iterable[tuple[PackagedFile, Stat]],
    reference: Reference | None,
) -> Iterator[Finding]:
    """One finding a path and rule; one for a whole tree where very many differ."""
    groups: dict[tuple[str, str], list[Difference]] = defaultdict(list)
    seen: set[str] = set()
    for listed, stat in wrong:
        file = _behind_the_link(packaged, listed)
        if file.path in seen:
            continue  # one directory that two packages list
        seen.add(file.path)
        for difference in differences(system.owner_names, file, stat):
            groups[_rule(difference).name, _top(file.path, packaged.merged)].append(difference)
    # chown -R clears setuid bits as it goes: the owner's finding stands for those, too.
    covered = {
        d.file.path
        for (rule, _), found in groups.items()
        if rule == WRONG_OWNER.name and len(found) >= MANY
        for d in found
    }
    for (rule, _), found in sorted(groups.items()):
        own = [d for d in found if rule == WRONG_OWNER.name or d.file.path not in covered]
        if len(own) >= MANY:
            yield _mass(system, packaged.database, own, reference)
        else:
            yield from (_single(system, packaged.database, d) for d in own)


def _behind_the_link(packaged: Packaged, file: PackagedFile) -> PackagedFile:
    """The directory that /bin of a merged /usr leads to."""
    is_link = is_alias_link(file.path) and file.path[1:] in packaged.merged
    return replace(file, path=f"/usr{file.path}") if is_link else file


def _rule(difference: Difference) -> Rule:
    return WRONG_MODE if difference.is_mode else WRONG_OWNER


def _top(path: str, merged: frozenset[str]) -> str:
    first = path.split("/", 2)[1]
    return "/usr" if first in merged else f"/{first}"


def _change(files: Files, file: PackagedFile) -> RestoreAttributes:
    path = GuestPath(file.path)
    # What a donor or a package file said is asked of it again, so that the plan can name it.
    recorded = file.provenance is Provenance.DATABASE
    return RestoreAttributes(
        path=files.resolve_parent(path) or path,
        package=file.package.name,
        version=file.package.version,
        architecture=file.package.architecture,
        mode=file.mode if recorded else None,
        owner=file.owner if recorded else None,
        group=file.group if recorded else None,
        capabilities=file.capabilities if file.kind is PackagedKind.FILE else None,
    )


def _single(system: System, database: PackageDatabase, difference: Difference) -> Finding:
    files = system.files
    file, observed, expected = difference.file, difference.observed, difference.expected
    what = "mode" if difference.is_mode else "owner"
    return _rule(difference).finding(
        Subject.of_path(GuestPath(file.path)),
        f"{file.path} of {described(file)} has the {what} {observed}, not {expected}",
        severity=difference.severity,
        effect=worst_effect(system, (file.path,)),
        evidence=(Evidence(_authority(database, file), observed, expected),),
        repair=Repair(
            f"give {file.path} its packaged mode and owner again",
            _safety(difference),
            (_change(files, file),),
        ),
    )


def _safety(difference: Difference) -> Safety:
    """Review for configuration, and for what only a donor has otherwise: another package may have set it.

    Nobody wants configuration that everybody may write, or a packaged path that belongs to a person.
    """
    file = difference.file
    if difference.opened:
        return Safety.SAFE
    if file.flags & {Flag.CONFIG, Flag.GHOST}:
        return Safety.REVIEW
    return Safety.REVIEW if only_the_donors(file) else Safety.SAFE


def _authority(database: PackageDatabase, file: PackagedFile) -> str:
    """Who says what is right."""
    if file.provenance is Provenance.DONOR:
        return f"the donor's {described(file)}"
    if file.provenance is Provenance.UNPACKED:
        return f"package file of {described(file)}"
    if not database.records_attributes and Flag.OVERRIDE not in file.flags:
        return f"what packages set, {described(file)}"
    return f"{database.format} database, {described(file)}"


def _hit_by_mode(stat: Stat) -> bool:
    return not stat.is_symlink and stat.permissions & 0o1002 == 0o002


def _hit_by_owner(stat: Stat) -> bool:
    return stat.uid >= FIRST_PERSON


def _mass(
    system: System, database: PackageDatabase, found: Sequence[Difference], reference: Reference | None
) -> Finding:
    files = system.files
    rule, paths = _rule(found[0]), [d.file.path for d in found]
    common = posixpath.commonpath([str(files.resolve_parent(GuestPath(p)) or p) for p in paths])
    what = "modes" if found[0].is_mode else "owners"
    seen = ", ".join(sorted({d.observed for d in found})[:5])
    changes = list(dict.fromkeys(_change(files, d.file) for d in found))
    authority = _authority(database, found[0].file)
    evidence = [Evidence(authority, f"{len(paths)} differ", f"the packaged {what}")]
    if reference is not None:
        packaged = {str(change.path) for change in changes}
        hit = _hit_by_mode if found[0].is_mode else _hit_by_owner
        more, others = unpackaged_changes(files, reference, common, packaged, hit)
        changes += more
        if others:
            words = f"{others} more below {common} that neither a package nor the donor has"
            evidence.append(Evidence("the guest", words, "to be looked at by hand"))
    return rule.finding(
        Subject.of_path(GuestPath(common)),
        f"{len(paths)} packaged paths in {common} have wrong {what} ({seen}): one command changed them all",
        severity=min((d.severity for d in found), key=lambda severity: severity.rank),
        effect=worst_effect(system, (d.file.path for d in found if d.severity is Severity.ERROR)),
        evidence=tuple(evidence),
        repair=Repair(
            f"give {len(changes)} paths their packaged modes and owners again",
            Safety.SAFE if any(_safety(d) is Safety.SAFE for d in found) else Safety.REVIEW,
            tuple(changes),
        ),
        folded=tuple(Subject.of_path(GuestPath(p)) for p in paths if p != common),
    )


# --- capabilities -----------------------------------------------------------------------------


def capabilities(context: Context) -> Iterator[Finding | Inconclusive]:
    """Files whose capabilities are not those of the package; only files that should have some are asked."""
    packaged = context.system.packaged
    if packaged is None:
        return
    unasked = {Flag.NO_CAPABILITIES, Flag.GHOST, Flag.REPLACED}
    wanted = [f for f in packaged.files() if f.capabilities and not f.flags & unasked]
    stats = context.system.files.lstat_many(GuestPath(f.path) for f in wanted)
    for file in wanted:
        stat = stats[GuestPath(file.path)]
        if stat is not None and stat.is_file:
            yield from _capabilities_of(context.system, packaged.database, file)


def _capabilities_of(
    system: System, database: PackageDatabase, file: PackagedFile
) -> Iterator[Finding | Inconclusive]:
    path = GuestPath(file.path)
    raw = attempt(lambda: system.contents.capabilities(path))
    if isinstance(raw, Unreadable):
        yield Inconclusive("packages", f"the capabilities of {path} were not compared: {raw.reason}")
        return
    try:
        wanted = parse_text(file.capabilities or "")
    except FormatError:
        return  # a header that no kernel would take: nothing to compare with
    try:
        found = parse_xattr(raw)
        if found == wanted:
            return
        observed = format_text(found) or "none"
    except FormatError as error:
        observed = error.message
    expected = format_text(wanted)
    where = system.files.resolve_parent(path) or path
    yield WRONG_MODE.finding(
        Subject.of_path(path),
        f"{path} of {described(file)} has the capabilities {observed}, not {expected}",
        severity=Severity.WARNING,
        evidence=(Evidence(f"{database.format} database, {described(file)}", observed, expected),),
        repair=Repair(
            f"give {path} its packaged capabilities again",
            Safety.SAFE,
            (SetCapabilities(path=where, before=raw, after=format_xattr(wanted)),),
        ),
    )

"""Findings for links: those of a merged /usr, the alternatives' own, and packaged ones that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.packages.packaged import (
    described,
    is_documentation,
    is_program_place,
    is_volatile,
)
from guestrepair.formats.dpkg_alternatives import Alternative, Candidate
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.packages.base import PackageDatabase, PackagedFile
from guestrepair.system.alternatives import DIRECTORY, LINKS
from guestrepair.system.fact import Unreadable
from guestrepair.system.files import Files
from guestrepair.system.guest_system import System
from guestrepair.system.usrmerge import BrokenLink

USRMERGE_LINK = Rule(
    name="packages/usrmerge-link",
    summary="a link of the merged /usr (/bin, /sbin, /lib, /lib64) is missing or wrong",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="One of the links in / that a merged /usr needs is gone, or leads somewhere else, while the "
    "directory in /usr is there. All packaged files are then judged as if the link were in place.",
    why="Every program names its loader as /lib64/ld-linux-x86-64.so.2 or its like, and every script "
    "its shell as /bin/sh: without the link the kernel finds no init and panics.",
    repair="The relative link is made again, before anything else is repaired. A directory in its "
    "place may hold files that somebody put there, so that is left to a person.",
    example="rm /lib64",
    sources=("file-hierarchy(7), Compatibility symlinks",),
)
LINK_DANGLING = Rule(
    name="packages/link-dangling",
    summary="a packaged symbolic link, or one of the alternatives, leads nowhere",
    severities=(Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="The target of a packaged link, or of a link that update-alternatives keeps, is not in the "
    "guest. Where the target is a packaged file, its own finding stands for it.",
    why="The command or library of that name is gone, although its package is installed.",
    repair="The target is restored, or the link of the alternatives, and what follows it (nawk follows "
    "awk), is made again from their own database.",
    example="rm /etc/alternatives/awk",
    sources=("update-alternatives(1)", "ldconfig(8)"),
)
RULES = (USRMERGE_LINK, LINK_DANGLING)


def usrmerge_links(context: Context) -> Iterator[Finding]:
    """One finding a link; everything behind it is judged as if the link were there."""
    for link in context.system.broken_links:
        yield USRMERGE_LINK.finding(
            Subject.of_path(GuestPath(link.path)),
            f"{link.path} must be a link to {link.target} and is {link.observed}:"
            f" everything that is looked up as {link.path}/… is not found",
            evidence=(Evidence("merged /usr layout", link.observed, f"link to {link.target}"),),
            repair=_repair(link),
        )


def _repair(link: BrokenLink) -> Repair:
    path = GuestPath(link.path)
    make = MakeLink(path=path, target=link.target, before=link.before)
    if link.occupied == "directory":
        return Repair(
            f"move what {link.path} holds into /{link.target}, remove the directory and make the link",
            Safety.MANUAL,
        )
    changes: tuple[Change, ...] = (make,)
    if link.occupied == "file":
        changes = (RemoveFile(path=path), make)
    return Repair(f"make the link {link.path} → {link.target}", Safety.SAFE, changes)


# --- alternatives -----------------------------------------------------------------------------


def broken_alternatives(context: Context) -> Iterator[Finding | Inconclusive]:
    """Links of update-alternatives that are gone or lead nowhere, although a candidate is there."""
    unread = [each for each in context.system.alternatives if isinstance(each, Unreadable)]
    for alternative in context.system.alternatives:
        if not isinstance(alternative, Unreadable):
            yield from _judge(context.system, alternative)
    if unread:
        reason = unread[0].error.message
        yield Inconclusive("packages", f"{len(unread)} files of update-alternatives were not read: {reason}")


def _broke_off(system: System, alternative: Alternative) -> bool:
    """True when a candidate is gone whose package was being unpacked: it may come back as the better one."""
    gone = [c.path for c in alternative.candidates if not system.files.exists(GuestPath(c.path))]
    packaged = system.packaged
    if packaged is None or not gone or not packaged.database.unfinished:
        return False
    owners = (file.package for files in packaged.lookup_many(gone).values() for file in files)
    return any(packaged.is_unfinished(owner.name, owner.architecture) for owner in owners)


def _judge(system: System, alternative: Alternative) -> Iterator[Finding]:
    files = system.files
    chosen = _choice(files, alternative)
    if chosen is None:
        return  # what it should lead to is gone: that has its own finding
    links = [(alternative.name, alternative.link, chosen.path)]
    links += [
        (slave.name, slave.link, path)
        for slave, path in zip(alternative.slaves, chosen.slaves, strict=True)
        if path and slave.link.startswith("/") and files.exists(GuestPath(path))
    ]
    broken = {
        link: (target, changes)
        for name, link, target in links
        if (changes := _made_again(files, name, link, target))
    }
    if not broken:
        return
    first, *rest = broken
    target = broken[first][0]
    others = f", and {len(rest)} more that follow it" if rest else ""
    yield LINK_DANGLING.finding(
        Subject.of_path(GuestPath(first)),
        f"{first}, kept by update-alternatives, leads nowhere although {target} is there{others}",
        severity=Severity.WARNING if any(map(is_program_place, broken)) else Severity.NOTE,
        evidence=(Evidence(str(DIRECTORY / alternative.name), "leads nowhere", target),),
        repair=Repair(
            f"make the links {first} → {LINKS / alternative.name} → {target} again{others}",
            Safety.REVIEW if _broke_off(system, alternative) else Safety.SAFE,
            tuple(change for _, changes in broken.values() for change in changes),
        ),
        folded=tuple(Subject.of_path(GuestPath(link)) for link in rest),
    )


def _choice(files: Files, alternative: Alternative) -> Candidate | None:
    """The candidate that the link leads to, else the best of those that are there."""
    there = [c for c in alternative.candidates if files.exists(GuestPath(c.path))]
    now = files.readlinks([LINKS / alternative.name])[LINKS / alternative.name]
    return next((c for c in there if c.path == now), there[0] if there else None)


def _made_again(files: Files, name: str, link: str, target: str) -> list[Change]:
    """The links to be made for one name; none when it leads somewhere, or something else is in its place."""
    master, middle = GuestPath(link), LINKS / name
    where = files.resolve_parent(master)
    if files.exists(master) or where is None or not files.is_directory(where.parent):
        return []
    changes: list[Change] = []
    stat = files.lstat(middle)
    if stat is None or (stat.is_symlink and not files.exists(middle)):
        before = files.readlink(middle) if stat is not None else None
        changes.append(MakeLink(path=middle, target=target, before=before))
    found = files.lstat(master)
    if found is None:
        changes.append(MakeLink(path=where, target=str(middle)))
    elif not found.is_symlink or files.readlink(master) != str(middle):
        return []
    return changes


# --- packaged links ---------------------------------------------------------------------------


def dangling_links(
    files: Files, database: PackageDatabase, links: Sequence[PackagedFile], gone: frozenset[str]
) -> Iterator[Finding]:
    """Packaged links whose target is not there and has no finding of its own.

    What no package promises may rightly be absent (headers, documentation of other packages): a note.
    """
    targets = files.readlinks(GuestPath(f.path) for f in links)
    lost = {file.path: where for file in links if (where := _lost_target(files, file, targets, gone))}
    owners = database.lookup_many(lost.values()) if lost else {}
    for file in links:
        where, target = lost.get(file.path, ""), targets[GuestPath(file.path)]
        if where and not owners[where]:
            yield LINK_DANGLING.finding(
                Subject.of_path(GuestPath(file.path)),
                f"the link {file.path} of {described(file)} leads to {target}, which is not there",
                severity=Severity.NOTE,
                evidence=(
                    Evidence(f"{database.format} database, {described(file)}", "target not there", target),
                ),
                repair=Repair(
                    "install the package that its target belongs to, if it is wanted", Safety.MANUAL
                ),
            )


def _lost_target(
    files: Files, file: PackagedFile, targets: Mapping[GuestPath, str], gone: frozenset[str]
) -> str:
    """Where the link leads and nothing is; "" when something is, or its absence is no finding of the link."""
    path = GuestPath(file.path)
    target = targets[path]
    if not target or is_documentation(file) or files.exists(path):
        return ""
    where = files.resolve_parent(path.parent / target)
    if where is None or is_volatile(f"{where}/"):
        return ""
    return "" if str(where) in gone or str(where).startswith(f"{LINKS}/") else str(where)

"""Findings for links: the alternatives' own, and packaged ones that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.packages.places import is_documentation, is_program_place, is_volatile
from guestrepair.analyzers.packages.restoring import described
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.dpkg_alternatives import Alternative, Candidate, parse_alternative
from guestrepair.guest.view import Guest
from guestrepair.model import Change, Evidence, Finding, GuestPath, MakeLink, Repair, Safety, Severity
from guestrepair.packages.base import PackageDatabase, PackagedFile

_DIRECTORY = GuestPath("/var/lib/dpkg/alternatives")
_LINKS = GuestPath("/etc/alternatives")
_RULE = "packages/link-dangling"


def broken_alternatives(guest: Guest, database: PackageDatabase) -> Iterator[Finding]:
    """Links of update-alternatives that are gone or lead nowhere, although a candidate is there."""
    if database.format != "deb" or not guest.is_directory(_DIRECTORY):
        return
    for name in guest.listdir(_DIRECTORY):
        try:
            alternative = parse_alternative(name, guest.read(_DIRECTORY / name))
        except (FormatError, GuestReadError):
            continue  # dpkg's own business; nothing at rest depends on it
        yield from _judge(guest, alternative)


def _judge(guest: Guest, alternative: Alternative) -> Iterator[Finding]:
    chosen = _choice(guest, alternative)
    if chosen is None:
        return  # what it should lead to is gone: that has its own finding
    links = [(alternative.name, alternative.link, chosen.path)]
    links += [
        (slave.name, slave.link, path)
        for slave, path in zip(alternative.slaves, chosen.slaves, strict=True)
        if path and slave.link.startswith("/") and guest.exists(GuestPath(path))
    ]
    broken = {
        link: (target, changes)
        for name, link, target in links
        if (changes := _made_again(guest, name, link, target))
    }
    if not broken:
        return
    first = next(iter(broken))
    target = broken[first][0]
    others = f", and {len(broken) - 1} more that follow it" if len(broken) > 1 else ""
    severity = Severity.WARNING if any(map(is_program_place, broken)) else Severity.NOTE
    yield Finding(
        _RULE,
        severity,
        first,
        f"{first}, kept by update-alternatives, leads nowhere although {target} is there{others}",
        (Evidence(str(_DIRECTORY / alternative.name), "leads nowhere", target),),
        Repair(
            f"make the links {first} → {_LINKS / alternative.name} → {target} again{others}",
            Safety.SAFE,
            tuple(change for _, changes in broken.values() for change in changes),
        ),
        tuple(broken)[1:],
    )


def _choice(guest: Guest, alternative: Alternative) -> Candidate | None:
    """The candidate that the link leads to, else the best of those that are there."""
    there = [c for c in alternative.candidates if guest.exists(GuestPath(c.path))]
    now = guest.readlinks([_LINKS / alternative.name])[_LINKS / alternative.name]
    return next((c for c in there if c.path == now), there[0] if there else None)


def _made_again(guest: Guest, name: str, link: str, target: str) -> list[Change]:
    """The links to be made for one name; none when it leads somewhere, or something else is in its place."""
    master, middle = GuestPath(link), _LINKS / name
    where = guest.resolve_parent(master)
    if guest.exists(master) or where is None or not guest.is_directory(where.parent):
        return []
    changes: list[Change] = []
    stat = guest.lstat(middle)
    if stat is None or (stat.is_symlink and not guest.exists(middle)):
        before = guest.readlink(middle) if stat is not None else None
        changes.append(MakeLink(path=middle, target=target, before=before))
    found = guest.lstat(master)
    if found is None:
        changes.append(MakeLink(path=where, target=str(middle)))
    elif not found.is_symlink or guest.readlink(master) != str(middle):
        return []
    return changes


def dangling_links(
    guest: Guest, database: PackageDatabase, links: list[PackagedFile], gone: frozenset[str]
) -> Iterator[Finding]:
    """Packaged links whose target is not there and has no finding of its own.

    What no package promises may rightly be absent (headers, documentation of other packages): a note,
    unless a program or library is looked for by that name.
    """
    targets = guest.readlinks(GuestPath(f.path) for f in links)
    for file in links:
        path = GuestPath(file.path)
        target = targets[path]
        where = guest.resolve_parent(path.parent / target) if target else None
        if where is None or is_volatile(f"{where}/") or is_documentation(file) or guest.exists(path):
            continue
        if database.lookup(str(where)) or str(where) in gone or str(where).startswith(f"{_LINKS}/"):
            continue
        yield Finding(
            _RULE,
            Severity.NOTE,
            file.path,
            f"the link {file.path} of {described(file)} leads to {target}, which is not there",
            (Evidence(f"{database.format} database, {described(file)}", "target not there", target),),
            Repair("install the package that its target belongs to, if it is wanted", Safety.MANUAL),
        )

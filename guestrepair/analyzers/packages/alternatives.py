"""Findings for links: the alternatives' own, and packaged ones that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.packages.places import is_documentation, is_program_place, is_volatile
from guestrepair.analyzers.packages.restoring import described
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.dpkg_alternatives import Alternative, parse_alternative
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
    master = GuestPath(alternative.link)
    middle = _LINKS / alternative.name
    if guest.exists(master):
        return
    chosen = next((c for c in alternative.candidates if guest.exists(GuestPath(c.path))), None)
    if chosen is None:
        return  # what it should lead to is gone: that has its own finding
    changes: list[Change] = []
    stat = guest.lstat(middle)
    if stat is None or (stat.is_symlink and not guest.exists(middle)):
        before = guest.readlink(middle) if stat is not None else None
        changes.append(MakeLink(path=middle, target=chosen.path, before=before))
    found = guest.lstat(master)
    if found is None:
        where = guest.resolve_parent(master) or master
        changes.append(MakeLink(path=where, target=str(middle)))
    elif not found.is_symlink or guest.readlink(master) != str(middle):
        return
    yield Finding(
        _RULE,
        Severity.WARNING if is_program_place(alternative.link) else Severity.NOTE,
        alternative.link,
        f"{alternative.link}, kept by update-alternatives, leads nowhere although {chosen.path} is there",
        (Evidence(str(_DIRECTORY / alternative.name), "leads nowhere", chosen.path),),
        Repair(
            f"make the links {alternative.link} → {middle} → {chosen.path} again", Safety.SAFE, tuple(changes)
        ),
    )


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

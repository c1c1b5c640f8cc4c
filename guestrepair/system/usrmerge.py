"""The links of a merged /usr (``/bin`` → ``usr/bin``): which are broken, and the guest as if they were not.

Source: file-hierarchy(7), "Compatibility symlinks"; the filesystem packages of the distributions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guestrepair.guest.linked import LinkedGuest
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import ALIASED_DIRECTORIES, GuestPath, PackagedKind
from guestrepair.packages.base import PackageDatabase

_ALWAYS = frozenset({"bin", "sbin", "lib"})
"""Every system has these, merged or not; the others only where something is in them."""
_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """One link that should be there: ``path`` → ``target``; what is in its place, in words.

    ``before`` is the wrong target of the link that is there, None when nothing (or no link) is.
    ``occupied`` is ``file`` or ``directory`` when something else is in its place, else "".
    """

    path: str
    target: str
    observed: str
    before: str | None = None
    occupied: str = ""


def broken_links(guest: Guest, database: PackageDatabase | None) -> tuple[BrokenLink, ...]:
    """The top-level links that a merged /usr needs and that are missing or wrong; none if unmerged."""
    tops = {name: GuestPath(f"/{name}") for name in ALIASED_DIRECTORIES}
    stats = guest.lstat_many([*tops.values(), *(GuestPath(f"/usr/{name}") for name in tops)])
    present = {name for name in tops if stats[GuestPath(f"/usr/{name}")] is not None}
    suspects = []
    for name in (n for n in ALIASED_DIRECTORIES if n in present):
        stat = stats[tops[name]]
        real = guest.resolve(GuestPath(f"/usr/{name}"))
        if real is None or not guest.is_directory(real):
            continue
        if stat is not None and stat.is_symlink and guest.resolve(tops[name]) == real:
            continue
        suspects.append((name, stat))
    if not suspects or not _is_merged(guest, database, stats):
        return ()
    return tuple(
        _describe(guest, database, name, stat)
        for name, stat in suspects
        if name in _ALWAYS or _is_needed(guest, database, name)
    )


def _is_merged(
    guest: Guest, database: PackageDatabase | None, stats: Mapping[GuestPath, Stat | None]
) -> bool:
    """Any sound link says so; with all of them gone, the database or the files under /usr do."""
    for name in ALIASED_DIRECTORIES:
        top = GuestPath(f"/{name}")
        stat = stats[top]
        if stat is None or not stat.is_symlink:
            continue
        if guest.readlink(top).strip("/").startswith("usr/"):
            return True
    if any((s := stats[GuestPath(f"/{n}")]) is not None and s.is_directory for n in ("bin", "sbin", "lib")):
        return False
    if database is None:
        return guest.exists(GuestPath("/usr/bin/sh"))
    entries = database.lookup("/bin")
    if any(entry.kind is PackagedKind.SYMLINK for entry in entries):
        return True
    sample = [GuestPath("/usr" + path) for path in _root_listed(database)]
    there = sum(stat is not None for stat in guest.lstat_many(sample).values())
    return there > 0 if sample else guest.exists(GuestPath("/usr/bin/sh"))


def _root_listed(database: PackageDatabase) -> list[str]:
    """Some paths that the database lists as ``/bin/…``: on a merged guest they are in /usr."""
    found = []
    for entry in database.files():
        if entry.path.startswith(("/bin/", "/sbin/")):
            found.append(entry.path)
            if len(found) >= _SAMPLE:
                break
    return found


def _is_needed(guest: Guest, database: PackageDatabase | None, name: str) -> bool:
    """``/lib64`` and its like: only where the database (or the directory in /usr) has something there."""
    if database is not None:
        return bool(database.lookup(f"/{name}")) or any(
            entry.path.startswith((f"/{name}/", f"/usr/{name}/")) for entry in database.files()
        )
    return bool(guest.listdir(GuestPath(f"/usr/{name}")))


def _describe(guest: Guest, database: PackageDatabase | None, name: str, stat: Stat | None) -> BrokenLink:
    path = f"/{name}"
    entries = database.lookup(path) if database is not None else ()
    target = next((e.link_target for e in entries if e.path == path and e.link_target), f"usr/{name}")
    if stat is None:
        return BrokenLink(path, target, "not there")
    if stat.is_symlink:
        wrong = guest.readlink(GuestPath(path))
        return BrokenLink(path, target, f"a link to {wrong}", before=wrong)
    occupied = "directory" if stat.is_directory else "file"
    return BrokenLink(path, target, f"a {occupied}", occupied=occupied)


def as_if_linked(guest: Guest, links: Sequence[BrokenLink]) -> Guest:
    """The guest as it will be once these links are made; the same guest when none is broken."""
    occupied = [link.path for link in links if link.occupied == "directory"]
    return LinkedGuest(guest, {link.path: link.target for link in links}, occupied) if links else guest

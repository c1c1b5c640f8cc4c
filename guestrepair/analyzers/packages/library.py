"""Findings for programs of boot and login that cannot be loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

from guestrepair.analyzers.packages.restoring import described, restore
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.elf import ElfFile, read_elf
from guestrepair.formats.ldso import parse_preload
from guestrepair.guest.view import Guest
from guestrepair.model import (
    Change,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeLink,
    PackagedKind,
    Repair,
    Safety,
    Severity,
)
from guestrepair.packages.base import PackageDatabase, PackagedFile
from guestrepair.packages.closure import Closure, Unresolved, default_directories

_RULE = "packages/library-unresolved"
_PRELOAD = GuestPath("/etc/ld.so.preload")
_ANY = ElfFile(64, 62, little_endian=True)


def unresolved_libraries(
    closure: Closure, database: PackageDatabase | None, roots: Sequence[GuestPath]
) -> Iterator[Finding | Inconclusive]:
    """One finding for all programs that fail for the same libraries."""
    unresolved = closure.unresolved(roots)
    for reason in closure.unread:
        yield Inconclusive(
            "packages", f"libraries in directories of the loader's own are not known: {reason}"
        )
    # What nobody found is then no proof of anything; what was found and cannot be loaded is.
    certain = [problem for problem in unresolved if problem.found or not closure.unread]
    for group in _connected(certain):
        yield _finding(closure, database, group)


def _connected(problems: list[Unresolved]) -> list[list[Unresolved]]:
    """Groups of problems that share a file or a library: one cause, one finding."""
    parent: dict[str, str] = {}

    def top(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for problem in problems:
        parent[top(f"library {problem.library}")] = top(f"file {problem.path}")
    groups: dict[str, list[Unresolved]] = defaultdict(list)
    for problem in problems:
        groups[top(f"file {problem.path}")].append(problem)
    return list(groups.values())


def _finding(closure: Closure, database: PackageDatabase | None, group: list[Unresolved]) -> Finding:
    first = group[0]
    libraries = list(dict.fromkeys(problem.library for problem in group))
    files = list(dict.fromkeys(str(problem.path) for problem in group))
    named = ", ".join(libraries[:4]) + (f" and {len(libraries) - 4} more" if len(libraries) > 4 else "")
    others = f", nor can {len(files) - 1} more files that boot or login need" if len(files) > 1 else ""
    changes: list[Change] = []
    owners: list[str] = []
    for problem in {p.library: p for p in group}.values():
        found, words = _mending(closure, database, problem)
        changes += found
        owners += words
    summary = f"restore {', '.join(dict.fromkeys(owners))}" if changes else f"provide {named} by hand"
    return Finding(
        _RULE,
        Severity.ERROR,
        files[0],
        f"{files[0]} {_complaint(first, named)}{others}",
        tuple(Evidence(f"dynamic section of {p.path}", p.reason, p.library) for p in group[:6]),
        Repair(summary, Safety.SAFE if changes else Safety.MANUAL, tuple(dict.fromkeys(changes))),
        tuple(files[1:]),
    )


def _complaint(problem: Unresolved, named: str) -> str:
    if problem.path.name == problem.library:  # the program itself is no ELF file any more
        return f"cannot be loaded: it {problem.reason}"
    return f"cannot load {named} ({problem.reason})"


def _mending(
    closure: Closure, database: PackageDatabase | None, problem: Unresolved
) -> tuple[list[Change], list[str]]:
    """Changes that make the library loadable, and what they restore, in words."""
    guest = closure.guest
    for place in _places(closure, problem):
        owned = database.lookup(str(place)) if database is not None else ()
        if owned:
            changes, word = _restore_chain(guest, database, owned[0])
            if changes:
                return changes, [word]
    for place in _places(closure, problem):
        real = _by_soname(guest, place)
        if real is not None:
            before = guest.readlink(place) if guest.lstat(place) is not None else None
            where = guest.resolve_parent(place) or place
            return [MakeLink(path=where, target=real.name, before=before)], [f"the link {place}"]
    return [], []


def _places(closure: Closure, problem: Unresolved) -> list[GuestPath]:
    if "/" in problem.library:
        return [GuestPath("/") / problem.library]
    elf = closure.files.get(problem.path, _ANY)
    directories = [d for d in elf.runpath + elf.rpath if d.startswith("/")]
    directories += [*closure.library_directories(elf), *default_directories(elf)]
    places = [GuestPath(problem.found)] if problem.found else []
    return [*places, *(GuestPath(d) / problem.library for d in dict.fromkeys(directories))]


def _restore_chain(
    guest: Guest, database: PackageDatabase | None, file: PackagedFile
) -> tuple[list[Change], str]:
    """The packaged file, or the packaged target that its link leads to, whichever is not sound."""
    path = GuestPath(file.path)
    stat = guest.lstat(path)
    if stat is not None and stat.is_symlink and database is not None:
        target = guest.resolve_parent(path.parent / guest.readlink(path))
        owned = database.lookup(str(target)) if target is not None else ()
        if not owned:
            return [], ""
        file = owned[0]
        return [restore(guest, file)], f"{file.path} of {described(file)}"
    changes: list[Change] = [restore(guest, file)]
    if file.link_target and database is not None:
        target = guest.resolve_parent(path.parent / file.link_target)
        if target is not None and guest.lstat(target) is None:
            changes += [restore(guest, found) for found in database.lookup(str(target))[:1]]
    elif file.kind is PackagedKind.OTHER and database is not None:
        changes += _missing_versions(guest, database, file)
    return changes, f"{file.path} of {described(file)}"


def _missing_versions(guest: Guest, database: PackageDatabase, file: PackagedFile) -> list[Change]:
    """dpkg records no link targets: the files ``NAME.*`` of the package beside it that are gone too."""
    prefix = f"{file.path}."
    candidates = [f for f in database.files() if f.package == file.package and f.path.startswith(prefix)]
    gone = guest.lstat_many(GuestPath(f.path) for f in candidates)
    return [restore(guest, f) for f in candidates if gone[GuestPath(f.path)] is None]


def _by_soname(guest: Guest, place: GuestPath) -> GuestPath | None:
    """A library in the directory whose SONAME is this name: ldconfig would make the link (ldconfig(8))."""
    stem = place.name.partition(".so")[0]
    for candidate in guest.glob(place.parent, f"{stem}*.so*")[:50]:
        stat = guest.lstat(candidate)
        if stat is None or not stat.is_file or candidate.name == place.name:
            continue
        try:
            elf = read_elf(partial(guest.read_range, candidate))
        except (FormatError, GuestReadError):
            continue
        if elf.soname == place.name:
            return candidate
    return None


def preload_problems(guest: Guest, database: PackageDatabase | None) -> Iterator[Finding]:
    """Libraries that ld.so.preload names and that are not there: every program complains, none is stopped."""
    data = guest.read_if_there(_PRELOAD) or b""
    for entry in parse_preload(data):
        path = GuestPath(entry.name)
        if not path.is_absolute() or guest.exists(path):
            continue
        owned = database.lookup(entry.name) if database is not None else ()
        change = tuple(restore(guest, file) for file in owned[:1])
        yield Finding(
            _RULE,
            Severity.WARNING,
            f"{_PRELOAD}:{entry.number}",
            f"{_PRELOAD} names {entry.name}, which is not there: every program started prints an error",
            (Evidence(str(_PRELOAD), "not there", entry.name),),
            Repair(f"restore {entry.name}", Safety.SAFE, change)
            if change
            else Repair(f"take {entry.name} out of {_PRELOAD}, or install what it belongs to", Safety.MANUAL),
        )

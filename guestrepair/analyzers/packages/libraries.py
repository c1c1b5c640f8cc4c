"""Findings for programs of boot and login that cannot be loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.packages.packaged import described
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeLink,
    PackagedKind,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.packages.base import PackagedFile
from guestrepair.packages.loading import Unresolved
from guestrepair.system.files import Files
from guestrepair.system.guest_system import System
from guestrepair.system.libraries import PRELOAD
from guestrepair.system.packaged import Packaged

LIBRARY_UNRESOLVED = Rule(
    name="packages/library-unresolved",
    summary="a program that boot or login needs cannot find its loader or a library",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="Worked out from the ELF headers, nothing is run: the interpreter and every NEEDED library "
    "of init, the accounts' shells, mount, udev, getty, login, sshd, sudo and the PAM modules are "
    "looked for as ld.so does (RPATH, RUNPATH, $ORIGIN, ld.so.conf, hardware directories, 32 and 64 "
    "bit apart), and what they need in turn. Also /etc/ld.so.preload naming what is not there.",
    why="The program ends before its first instruction: no boot, or no login.",
    repair="The package that owns the library is restored; a missing link that ldconfig makes is "
    "made from the library's SONAME.",
    example="rm /usr/lib/x86_64-linux-gnu/libpam.so.0*",
    sources=("ld.so(8)", "ldconfig(8)", "ELF gABI, Dynamic Linking"),
)
RULES = (LIBRARY_UNRESOLVED,)


def unresolved(context: Context) -> Iterator[Finding | Inconclusive]:
    """One finding for all programs that fail for the same libraries."""
    system = context.system
    loading = system.libraries.of_boot
    for reason in loading.unread:
        yield Inconclusive(
            "packages", f"libraries in directories of the loader's own are not known: {reason}"
        )
    # What nobody found is then no proof of anything; what was found and cannot be loaded is.
    certain = [problem for problem in loading.unresolved if problem.found or not loading.unread]
    for group in _connected(certain):
        yield _finding(system, group)
    for lost in system.boot_programs.unread:
        yield Inconclusive("packages", f"not all programs of boot and login are known: {lost.error.message}")


def _connected(problems: Sequence[Unresolved]) -> list[list[Unresolved]]:
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


def _finding(system: System, group: list[Unresolved]) -> Finding:
    first = group[0]
    libraries = list(dict.fromkeys(problem.library for problem in group))
    files = list(dict.fromkeys(problem.path for problem in group))
    named = ", ".join(libraries[:4]) + (f" and {len(libraries) - 4} more" if len(libraries) > 4 else "")
    others = f", nor can {len(files) - 1} more files that boot or login need" if len(files) > 1 else ""
    repair = _repair(system, list({p.library: p for p in group}.values()))
    return LIBRARY_UNRESOLVED.finding(
        Subject.of_path(files[0]),
        f"{files[0]} {_complaint(first, named)}{others}",
        evidence=tuple(Evidence(f"dynamic section of {p.path}", p.reason, p.library) for p in group[:6]),
        repair=repair or Repair(f"provide {named} by hand", Safety.MANUAL),
        folded=tuple(map(Subject.of_path, files[1:])),
    )


def _complaint(problem: Unresolved, named: str) -> str:
    if problem.path.name == problem.library:  # the program itself is no ELF file any more
        return f"cannot be loaded: it {problem.reason}"
    return f"cannot load {named} ({problem.reason})"


def _repair(system: System, problems: Sequence[Unresolved]) -> Repair | None:
    """What makes these libraries loadable, as far as packages or ldconfig would; None where nothing does."""
    changes: list[Change] = []
    words: list[str] = []
    for problem in problems:
        found, word = _remedy(system, problem)
        changes += found
        words += [word] if found else []
    if not changes:
        return None
    return Repair(f"restore {', '.join(dict.fromkeys(words))}", Safety.SAFE, tuple(dict.fromkeys(changes)))


def _remedy(system: System, problem: Unresolved) -> tuple[list[Change], str]:
    """Changes that make the library loadable, and what they restore, in words."""
    places = system.libraries.candidates(problem)
    if system.packaged is not None:
        owners = system.packaged.lookup_many(map(str, places))
        for place in places:
            if owned := owners[str(place)]:
                changes, word = _restore_chain(system.files, system.packaged, owned[0])
                if changes:
                    return changes, word
    for place in places:
        real = system.libraries.with_soname(place)
        if real is not None:
            before = system.files.readlink(place) if system.files.lstat(place) is not None else None
            where = system.files.resolve_parent(place) or place
            return [MakeLink(path=where, target=real.name, before=before)], f"the link {place}"
    return [], ""


def _restore_chain(files: Files, packaged: Packaged, file: PackagedFile) -> tuple[list[Change], str]:
    """The packaged file, or the packaged target that its link leads to, whichever is not sound."""
    path = GuestPath(file.path)
    stat = files.lstat(path)
    if stat is not None and stat.is_symlink:
        target = files.resolve_parent(path.parent / files.readlink(path))
        owned = packaged.lookup(str(target)) if target is not None else ()
        if not owned:
            return [], ""
        file = owned[0]
        return [file.restore(files)], f"{file.path} of {described(file)}"
    changes: list[Change] = [file.restore(files)]
    if file.link_target:
        target = files.resolve_parent(path.parent / file.link_target)
        if target is not None and files.lstat(target) is None:
            changes += [found.restore(files) for found in packaged.lookup(str(target))[:1]]
    elif file.kind is PackagedKind.OTHER:
        changes += _missing_versions(files, packaged, file)
    return changes, f"{file.path} of {described(file)}"


def _missing_versions(files: Files, packaged: Packaged, file: PackagedFile) -> list[Change]:
    """dpkg records no link targets: the files ``NAME.*`` of the package beside it that are gone too."""
    prefix = f"{file.path}."
    candidates = [f for f in packaged.files() if f.package == file.package and f.path.startswith(prefix)]
    gone = files.lstat_many(GuestPath(f.path) for f in candidates)
    return [f.restore(files) for f in candidates if gone[GuestPath(f.path)] is None]


def preload(context: Context) -> Iterator[Finding]:
    """Libraries that ld.so.preload names and that are not there: every program complains, none is stopped."""
    system = context.system
    for entry in system.libraries.preloaded:
        path = GuestPath(entry.name)
        if not path.is_absolute() or system.files.exists(path):
            continue
        owned = system.packaged.lookup(entry.name) if system.packaged is not None else ()
        repair = Repair(f"take {path} out of {PRELOAD}, or install what it belongs to", Safety.MANUAL)
        if owned:
            repair = Repair(f"restore {path}", Safety.SAFE, (owned[0].restore(system.files),))
        yield LIBRARY_UNRESOLVED.finding(
            Subject.of_line(PRELOAD, entry.number),
            f"{PRELOAD} names {path}, which is not there: every program started prints an error",
            severity=Severity.WARNING,
            evidence=(Evidence(str(PRELOAD), "not there", entry.name),),
            repair=repair,
        )

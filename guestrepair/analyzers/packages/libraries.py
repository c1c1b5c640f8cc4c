"""Findings for programs of boot and login that cannot be loaded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.packages.effects import worst_effect
from guestrepair.analyzers.packages.remedies import restoring
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.packages.loading import Unresolved
from guestrepair.system.guest_system import System

LIBRARY_UNRESOLVED = Rule(
    name="packages/library-unresolved",
    summary="a program that boot or login needs cannot find its loader or a library",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="Worked out from the ELF headers, nothing is run: the interpreter and every NEEDED library "
    "of init, the accounts' shells, mount, udev, getty, login, sshd, sudo and the PAM modules are "
    "looked for as ld.so does (RPATH, RUNPATH, $ORIGIN, ld.so.conf, hardware directories, 32 and 64 "
    "bit apart), and what they need in turn. What is found "
    "must also have the symbol versions that are needed of it.",
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
    repair = restoring(system, list({p.library: p for p in group}.values()))
    return LIBRARY_UNRESOLVED.finding(
        Subject.of_path(files[0]),
        f"{files[0]} {_complaint(first, named)}{others}",
        evidence=tuple(Evidence(f"dynamic section of {p.path}", p.reason, p.library) for p in group[:6]),
        repair=repair or Repair(f"provide {named} by hand", Safety.MANUAL),
        folded=tuple(map(Subject.of_path, files[1:])),
        effect=worst_effect(system, (p.root for p in group)),
    )


def _complaint(problem: Unresolved, named: str) -> str:
    if problem.path.name == problem.library:  # the program itself is no ELF file any more
        return f"cannot be loaded: it {problem.reason}"
    return f"cannot load {named} ({problem.reason})"

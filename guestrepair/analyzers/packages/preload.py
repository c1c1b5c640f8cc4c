"""Findings for ld.so.preload: entries that load and bring every program down, and those that do nothing."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.packages.remedies import restoring
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.packages.loading import MissingVersions, Unresolved
from guestrepair.system.guest_system import System
from guestrepair.system.libraries import PRELOAD as FILE
from guestrepair.system.preload import Preloaded

PRELOAD = Rule(
    name="packages/preload",
    summary="a library of ld.so.preload ends every program, or is one that does not load",
    severities=(Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/etc/ld.so.preload names a library that loads, and a library that it needs in turn is missing, "
    "or has not the symbol versions that it needs. An entry that does not load (not there, empty, "
    "no ELF file, for another class or machine) is passed over by ld.so, and a note. $LIB, "
    "$PLATFORM and $ORIGIN are expanded as the guest's own loader does; a name without a slash is "
    "searched for.",
    why='Such an entry is part of every program that is started, init first: each ends with "error '
    'while loading shared libraries", and the kernel panics. An entry that is passed over costs a '
    "line on stderr.",
    repair="That one entry is taken out, the others and the comments stay; only after review, since what "
    "watches or logs the programs may be what it is. Where the missing library is a packaged one, "
    "it is restored instead.",
    example="echo /usr/lib/agent/libagent.so > /etc/ld.so.preload, with a library that it needs gone",
    sources=("ld.so(8), FILES and Dynamic string tokens", "glibc: elf/rtld.c"),
)
RULES = (PRELOAD,)


def check(context: Context) -> Iterator[Finding]:
    """One finding an entry."""
    system = context.system
    for found in system.libraries.preloaded:
        if found.problems:
            yield _fatal(system, found)
        elif found.ignored:
            yield PRELOAD.finding(
                Subject.of_line(FILE, found.entry.number),
                f"{FILE} names {found.entry.name}{_expanded(found)}, ld.so passes over it: {found.ignored}",
                severity=Severity.NOTE,
                evidence=(Evidence(str(FILE), found.ignored, found.place),),
                repair=Repair(f"take {found.entry.name} out of {FILE}, or install it", Safety.MANUAL),
            )


def _expanded(found: Preloaded) -> str:
    return "" if found.place == found.entry.name else f" ({found.place})"


def _fatal(system: System, found: Preloaded) -> Finding:
    first, more = found.problems[0], len(found.problems) - 1
    others = f", and {more} more" if more else ""
    return PRELOAD.finding(
        Subject.of_line(FILE, found.entry.number),
        f"{FILE} has every program load {found.entry.name}{_expanded(found)}, which loads, and "
        f"{_words(first)}{others}: every program ends at once, {found.program} among them",
        evidence=tuple(
            Evidence(f"dynamic section of {p.path}", _words(p), p.library) for p in found.problems[:6]
        ),
        repair=_repair(system, found),
    )


def _words(problem: Unresolved | MissingVersions) -> str:
    if isinstance(problem, Unresolved):
        return f"{problem.path} needs {problem.library}, {problem.reason}"
    versions = ", ".join(problem.versions[:3]) + (" and more" if len(problem.versions) > 3 else "")
    return f"{problem.path} needs {versions} of {problem.library}, which {problem.place} has not"


def _repair(system: System, found: Preloaded) -> Repair:
    lost = [problem for problem in found.problems if isinstance(problem, Unresolved)]
    if len(lost) == len(found.problems):
        restored = restoring(system, lost, Safety.REVIEW)
        if restored is not None and len(restored.changes) >= len({p.library for p in lost}):
            return restored
    content = system.libraries.preload_content
    cut = Edit(offset=found.entry.offset, length=found.entry.size, text=b"")
    return Repair(
        f"take {found.entry.name} out of {FILE}: what it does for every program (watching, logging) ends",
        Safety.REVIEW,
        (EditFile(path=FILE, before=content, edits=(cut,)),),
    )

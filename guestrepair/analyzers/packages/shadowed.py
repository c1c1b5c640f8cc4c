"""Findings for libraries from outside of the packages that programs of boot and login get first."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.packages.effects import worst_effect
from guestrepair.analyzers.packages.libraries import LIBRARY_UNRESOLVED
from guestrepair.analyzers.packages.packaged import described
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.guest_system import System
from guestrepair.system.packaged import Packaged
from guestrepair.system.shadows import MissingSymbols, Shadow

LIBRARY_SHADOWED = Rule(
    name="packages/library-shadowed",
    summary="a library from outside of the packages comes first, and boot or login programs cannot use it",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="A program that boot or login needs is loaded with a library that no package owns (in "
    "/usr/local/lib, a directory of ld.so.conf.d, one for some processors), since ld.so.cache or "
    "the search path has it first, and that library lacks symbol versions, or symbols, that the "
    "program needs. A warning where the cache does not have it yet and the next ldconfig puts it "
    "there. A library of one's own that has all that is needed is no finding, nor is a cache that "
    "names files that are gone.",
    why='The program ends with "version … not found" or "undefined symbol": no boot, or no login. '
    "ldconfig runs with nearly every update.",
    repair="The library is moved aside, under a name that ldconfig passes over, with the link that leads "
    "to it: ld.so then takes the packaged one, whatever the cache says. Only after review, since "
    "programs of one's own may need it.",
    example="cp old/libcrypto.so.3 /usr/local/lib/ && ldconfig",
    sources=("ld.so(8)", "ldconfig(8)", "glibc: elf/dl-version.c, elf/dl-cache.c"),
)
RULES = (LIBRARY_SHADOWED,)


def check(context: Context) -> Iterator[Finding]:
    """One finding a library; a packaged one without the versions is one that cannot be used."""
    system = context.system
    for shadow in system.libraries.shadows(lambda paths: _owned(system.packaged, paths)):
        yield _unfit(system, shadow) if shadow.is_packaged else _shadowed(system, shadow)


def _owned(packaged: Packaged | None, paths: Iterable[GuestPath]) -> Container[GuestPath]:
    """Without a database, the directories that packages leave to the administrator tell."""
    asked = set(paths)
    if packaged is None:
        return {path for path in asked if path.parts[1:3] != ("usr", "local") and path.parts[1:2] != ("opt",)}
    return {GuestPath(path) for path, files in packaged.lookup_many(map(str, asked)).items() if files}


def _shadowed(system: System, shadow: Shadow) -> Finding:
    others = f", nor can {len(shadow.missing) - 1} more files" if len(shadow.missing) > 1 else ""
    when = " once ldconfig runs again" if shadow.upcoming else ""
    where = " on some processors" if shadow.some_processors else ""
    return LIBRARY_SHADOWED.finding(
        Subject.of_path(shadow.real),
        f"{shadow.place}, which no package owns, is taken for {shadow.library}{where}{when}, and has not "
        f"what {shadow.missing[0].user} needs ({_words(shadow.missing[0])}): it cannot be loaded{others}",
        severity=Severity.WARNING if shadow.upcoming else Severity.ERROR,
        evidence=_evidence(shadow),
        repair=_repair(system, shadow),
        folded=tuple(Subject.of_path(each.user) for each in shadow.missing),
        effect=worst_effect(system, (each.user for each in shadow.missing)),
    )


def _unfit(system: System, shadow: Shadow) -> Finding:
    owner = system.packaged.lookup(str(shadow.real)) if system.packaged is not None else ()
    of = f" of {described(owner[0])}" if owner else ""
    return LIBRARY_UNRESOLVED.finding(
        Subject.of_path(shadow.missing[0].user),
        f"{shadow.missing[0].user} cannot be loaded: {shadow.real}{of} has not the "
        f"{_words(shadow.missing[0])} that it needs: files of two versions are mixed",
        evidence=_evidence(shadow),
        repair=Repair("bring the packages of both to versions that belong together", Safety.MANUAL),
        folded=tuple(Subject.of_path(each.user) for each in shadow.missing[1:]),
        effect=worst_effect(system, (each.user for each in shadow.missing)),
    )


def _words(missing: MissingSymbols) -> str:
    names = missing.versions or missing.symbols
    what = "symbol version" if missing.versions else "symbol"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what}{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"


def _evidence(shadow: Shadow) -> tuple[Evidence, ...]:
    instead = "" if shadow.behind is None else f"; {shadow.behind} has them"
    return tuple(
        Evidence(f"symbols of {shadow.real}", f"lacks {_words(each)}", f"needed by {each.user}{instead}")
        for each in shadow.missing[:6]
    )


def _repair(system: System, shadow: Shadow) -> Repair:
    if shadow.behind is None:
        words = f"put a {shadow.library} that fits in its place, or move {shadow.real} away by hand"
        return Repair(words, Safety.MANUAL)
    changes: list[Change] = [RemoveFile(path=shadow.real, aside="disabled-")]
    link = system.files.resolve_parent(shadow.place)
    if link is not None and link != shadow.real:
        changes.append(RemoveFile(path=link, backup=False))
    return Repair(f"move {shadow.real} aside: {shadow.behind} is loaded then", Safety.REVIEW, tuple(changes))

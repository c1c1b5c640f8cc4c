"""Findings for work of the package manager that broke off: dpkg's states, records that rpm holds twice."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.packages.effects import worst_effect
from guestrepair.analyzers.packages.records import duplicates
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.packages.base import PackageDatabase, Unfinished
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.needs import Stage
from guestrepair.system.package_runs import TERM_LOG, YUM

INTERRUPTED = Rule(
    name="packages/interrupted",
    summary="an installation, upgrade or removal of packages broke off",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="dpkg has a package in another state than installed, removed or configuration left: "
    "half-installed, to be reinstalled (reinstreq), unpacked, half-configured, or with triggers "
    "left to run; or dpkg's journal (updates/) was not written back. rpm holds two records of one "
    "package that may be there only once; yum left a transaction. An error where the package has "
    "programs that boot or login needs.",
    why="Files may be of two versions or not there at all, and what the package's scripts make (users, "
    "keys, an initramfs) may be missing. apt and dnf refuse to work, or make it worse, until it is "
    "brought to an end.",
    repair="Files that are missing are restored in that package's version (packages/file-missing), also "
    "from what dpkg had unpacked beside them (NAME.dpkg-new). Of two records the older one is "
    "erased where the files are the newer one's; no file is touched. Scripts are left to the "
    "guest's own package manager: the finding has the command.",
    example="a power cut while apt upgrades openssh-server",
    sources=("dpkg(1), Package states and flags", "rpm(8), --justdb", "dnf(8), remove --duplicates"),
)
RULES = (INTERRUPTED,)

_MAX_NAMED = 5
_MAX_EVIDENCE = 8
_MAX_SINGLE = 20
"""Half-installed packages with a finding of their own; any more have one for all."""
_LEFT = (".dpkg-new", ".dpkg-tmp")


class _Kind(enum.Enum):
    """What one finding stands for, and what brings it to its end."""

    BROKEN_OFF = "dpkg --configure -a, then apt-get install --reinstall {names}"
    REMOVAL = "dpkg --configure -a, then apt-get remove {names}"
    UNCONFIGURED = "dpkg --configure -a"
    TRIGGERS = "dpkg --triggers-only -a"


_STATES = {
    "half-installed": _Kind.BROKEN_OFF,
    "unpacked": _Kind.UNCONFIGURED,
    "half-configured": _Kind.UNCONFIGURED,
    "triggers-awaited": _Kind.TRIGGERS,
    "triggers-pending": _Kind.TRIGGERS,
    "installed": _Kind.BROKEN_OFF,
    "config-files": _Kind.BROKEN_OFF,
    "not-installed": _Kind.BROKEN_OFF,
}
"""The three last ones are unfinished only with the flag reinstreq."""


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """One finding a kind of state (each half-installed package has its own), one for records held twice."""
    system, database = context.system, context.system.packages
    if database is None:
        return
    groups: dict[_Kind | Unfinished, list[Unfinished]] = defaultdict(list)
    unknown: list[Unfinished] = []
    for found in database.unfinished:
        kind = _kind(found)
        if kind is None:
            unknown.append(found)
        else:
            is_single = kind is _Kind.BROKEN_OFF and len(groups) < _MAX_SINGLE
            groups[found if is_single else kind].append(found)
    if unknown:
        yield _not_known(unknown)
    for key, group in groups.items():
        yield _finding(system, database, key if isinstance(key, _Kind) else _Kind.BROKEN_OFF, group)
    if database.journal and not groups:
        yield _journal(database)
    yield from duplicates(INTERRUPTED, system, database)
    yield from _yum(system, database)


def _not_known(unknown: Sequence[Unfinished]) -> Inconclusive:
    first, more = unknown[0], len(unknown) - 1
    words = f"{first.wanted} {first.flag} {first.state}".strip()[:100]
    others = f" (and {more} more packages)" if more else ""
    return Inconclusive(
        "packages",
        f"{first.place}:{first.line}: {first.package.name}{others} has the status {words!r}, which dpkg does "
        "not know",
    )


def _kind(found: Unfinished) -> _Kind | None:
    kind = _STATES.get(found.state) if found.is_known else None
    if found.is_removal and kind in {_Kind.BROKEN_OFF, _Kind.UNCONFIGURED}:
        return _Kind.REMOVAL
    if kind is not None and "reinstreq" in found.flag:
        return _Kind.BROKEN_OFF
    return kind


def _finding(system: System, database: PackageDatabase, kind: _Kind, group: Sequence[Unfinished]) -> Finding:
    paths = {found: [file.path for file in database.files_of(found.package)] for found in group}
    needed = {found: system.needs.first(paths[found]) for found in group}
    order = tuple(Stage)
    group = sorted(group, key=lambda found: (order.index(needed[found]), found.package.name))
    first = group[0]
    is_error = kind in {_Kind.BROKEN_OFF, _Kind.UNCONFIGURED} and needed[first] is not Stage.OTHER
    lost, left = _damage(system, [path for found in group for path in paths[found]]) if is_error else ([], [])
    names = " ".join(found.package.name for found in group[:_MAX_NAMED])
    return INTERRUPTED.finding(
        Subject.of_line(GuestPath(first.place), first.line),
        _message(kind, group) + _lost_words(lost),
        severity=Severity.ERROR if is_error else Severity.WARNING,
        evidence=(*_evidence(system, database, group), *_file_evidence(lost, left)),
        repair=Repair(f"in the running guest, or a chroot: {kind.value.format(names=names)}", Safety.MANUAL),
        folded=tuple(Subject.of_line(GuestPath(found.place), found.line) for found in group[1:]),
        effect=worst_effect(system, lost),
    )


def _message(kind: _Kind, group: Sequence[Unfinished]) -> str:
    names = ", ".join(f"{found.package.name} {found.package.version}".strip() for found in group[:_MAX_NAMED])
    more = f" and {len(group) - _MAX_NAMED} more" if len(group) > _MAX_NAMED else ""
    are = "are" if len(group) > 1 else "is"
    states = " and ".join(
        dict.fromkeys(f"{f.state} ({f.flag})" if f.flag != "ok" else f.state for f in group)
    )
    words = {
        _Kind.BROKEN_OFF: "unpacking broke off, its files may be of two versions",
        _Kind.REMOVAL: "removal broke off",
        _Kind.UNCONFIGURED: "the files are unpacked, and the package's scripts did not run to their end",
        _Kind.TRIGGERS: "what other packages asked for was not done",
    }[kind]
    return f"{names}{more} {are} {states}: {words}"


def _damage(system: System, paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Files that boot or login needs and that are gone, and what dpkg left of its unpacking."""
    beside = {GuestPath(path + ending) for path in paths for ending in _LEFT}
    stats = system.files.lstat_many((*map(GuestPath, paths), *beside))
    lost = [p for p in paths if stats[GuestPath(p)] is None and system.needs.stage(p) is not Stage.OTHER]
    return lost, [str(path) for path in sorted(beside) if stats[path] is not None]


def _lost_words(lost: Sequence[str]) -> str:
    if not lost:
        return ""
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"; {lost[0]}{more} {'are' if more else 'is'} missing"


def _evidence(system: System, database: PackageDatabase, group: Sequence[Unfinished]) -> Iterator[Evidence]:
    for found in group[:_MAX_EVIDENCE]:
        words = f"{found.package.name}: {found.wanted} {found.flag} {found.state}"
        yield Evidence(f"{found.place}:{found.line}", words, "install ok installed")
    if database.journal:
        yield Evidence(database.journal[0], f"{len(database.journal)} entries of dpkg's journal", "none")
    begun = attempt(lambda: system.package_runs.unended_apt)
    if isinstance(begun, str) and begun:
        yield Evidence(str(TERM_LOG), f"apt began at {begun}, no end is logged")
    elif isinstance(begun, Unreadable):
        yield Evidence(str(TERM_LOG), f"cannot be read: {begun.reason}")


def _file_evidence(lost: Sequence[str], left: Sequence[str]) -> Iterator[Evidence]:
    for path in lost[:_MAX_EVIDENCE]:
        yield Evidence(path, "not there", "a program or library that boot or login needs")
    for path in left[:_MAX_EVIDENCE]:
        yield Evidence(path, "there: dpkg had not given it its name", "not there")


def _journal(database: PackageDatabase) -> Finding:
    folder = GuestPath(database.journal[0]).parent
    return INTERRUPTED.finding(
        Subject.of_path(folder),
        f"dpkg was interrupted: {len(database.journal)} entries of its journal were not written to the "
        "status; apt refuses to work until they are",
        severity=Severity.WARNING,
        evidence=(Evidence(str(folder), ", ".join(database.journal[:3]), "no entries"),),
        repair=Repair("in the running guest, or a chroot: dpkg --configure -a", Safety.MANUAL),
    )


def _yum(system: System, database: PackageDatabase) -> Iterator[Finding]:
    left = system.package_runs.yum_left if database.format == "rpm" else ()
    if left:
        yield INTERRUPTED.finding(
            Subject.of_path(left[-1]),
            f"{left[-1]} is left of a transaction of yum that did not end",
            severity=Severity.WARNING,
            evidence=(Evidence(str(YUM), f"{len(left)} unfinished transactions", "none"),),
            repair=Repair("in the running guest: yum-complete-transaction --cleanup-only", Safety.MANUAL),
        )

"""Which files differ because their package does, and which differ beside that."""

from __future__ import annotations

import stat
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from guestrepair.compare.facts import package_name
from guestrepair.compare.files import Pair
from guestrepair.compare.model import NotCompared
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath, PackagedKind
from guestrepair.packages.base import Flag, PackageDatabase, PackagedFile

_Owners = Mapping[str, tuple[PackagedFile, ...]]


@dataclass(slots=True)
class Folded:
    """The paths that came or went with a package, by its name in the table; and what is known of others."""

    by_package: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    remarks: dict[str, str] = field(default_factory=dict)
    """Of files that belong to a package and differ all the same: what that package has to do with it."""

    @property
    def paths(self) -> frozenset[str]:
        """All that need no line of their own."""
        return frozenset(path for paths in self.by_package.values() for path in paths)


def fold(
    found: Iterable[Pair],
    databases: tuple[PackageDatabase | None, PackageDatabase | None],
    after: Guest,
    changed: frozenset[str],
    lost: list[NotCompared],
) -> Folded:
    """Sort out what packages brought or took: a file counts as theirs only when it is what they brought.

    ``changed`` are the names of packages that are not the same in both; ``after`` is the second guest,
    whose files are held against its own database.
    """
    pairs = {pair.path: pair for pair in found}
    old, new = (_owners(database, pairs) for database in databases)
    folded = Folded()
    verify: list[tuple[Pair, PackagedFile]] = []
    for path, pair in pairs.items():
        before, now = old.get(path, ()), new.get(path, ())
        package = next((p for p in map(_package, (*now, *before)) if p in changed), None)
        if package is None:
            if now or before:
                folded.remarks[path] = f"of {_package((*now, *before)[0])}, which is the same in both"
            continue
        if pair.after is None:
            _gone(folded, pair, package, now)
        elif not now:
            if pair.before is not None:
                folded.remarks[path] = f"was of {package}"
        else:
            verify.append((pair, now[0]))
    _verified(folded, verify, after, lost)
    return folded


def _owners(database: PackageDatabase | None, paths: Iterable[str]) -> _Owners:
    return {} if database is None else database.lookup_many(paths)


def _package(file: PackagedFile) -> str:
    return package_name(file.package.name, file.package.architecture)


def _gone(folded: Folded, pair: Pair, package: str, now: tuple[PackagedFile, ...]) -> None:
    may_lack = frozenset({Flag.GHOST, Flag.MISSING_OK, Flag.EXCLUDED, Flag.CONFIG})
    if now and not now[0].flags & may_lack:
        folded.remarks[pair.path] = f"{package} should have it"
    else:
        folded.by_package[package].append(pair.path)


def _verified(
    folded: Folded, verify: list[tuple[Pair, PackagedFile]], after: Guest, lost: list[NotCompared]
) -> None:
    """Fold what is as the database says; the rest differs from its package and is to be shown."""
    by_algorithm: dict[str, list[tuple[Pair, PackagedFile]]] = defaultdict(list)
    for pair, file in verify:
        package, record = _package(file), pair.either
        algorithm, _, digest = file.digest.partition(":")
        if digest and stat.S_ISREG(record.mode):
            by_algorithm[algorithm].append((pair, file))
        elif _is_other_kind(file, record.mode) or _is_other_link(file, pair):
            folded.remarks[pair.path] = f"not what {package} has there"
        elif Flag.CONFIG in file.flags or pair.path.startswith("/etc/"):
            folded.remarks[pair.path] = f"of {package}"
        else:
            folded.by_package[package].append(pair.path)
    for algorithm, files in by_algorithm.items():
        digests = after.digests(algorithm, [GuestPath(pair.path) for pair, _ in files])
        for pair, file in files:
            package, found = _package(file), digests.get(GuestPath(pair.path))
            if found is None:
                lost.append(NotCompared("B", pair.path, "its content cannot be read"))
            if found == file.digest.partition(":")[2]:
                folded.by_package[package].append(pair.path)
            else:
                folded.remarks[pair.path] = f"not what {package} has there"


def _is_other_kind(file: PackagedFile, mode: int) -> bool:
    tests = {
        PackagedKind.FILE: stat.S_ISREG,
        PackagedKind.DIRECTORY: stat.S_ISDIR,
        PackagedKind.SYMLINK: stat.S_ISLNK,
    }
    test = tests.get(file.kind)
    return test is not None and not test(mode)


def _is_other_link(file: PackagedFile, pair: Pair) -> bool:
    if file.link_target is None or not stat.S_ISLNK(pair.either.mode):
        return False
    return file.link_target != pair.either.target

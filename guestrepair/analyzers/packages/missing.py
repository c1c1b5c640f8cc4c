"""Findings for packaged files that are missing or empty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.packages.effects import worst_effect
from guestrepair.analyzers.packages.packaged import (
    RESTORED,
    described,
    expectation,
    is_documentation,
    severity_of_loss,
)
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    PackagedKind,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.packages.aliases import forms
from guestrepair.packages.base import Flag, Package, PackageDatabase, PackagedFile
from guestrepair.packages.places import real_place
from guestrepair.system.files import Files
from guestrepair.system.guest_system import System

FILE_MISSING = Rule(
    name="packages/file-missing",
    summary="a file that the package database lists is not there",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW),
    what="A path that an installed package owns is not there. An error for programs, libraries and "
    "what boot needs, a warning elsewhere, a note for documentation, translations, caches, "
    "configuration that nobody logs in by, and empty directories of the administrator. "
    "Excluded paths (path-exclude, tsflags=nodocs), diverted and %ghost files are not missing. A "
    "directory that is gone stands for all that was in it.",
    why="Programs that need the file fail, some of them only at the next boot or login.",
    repair=RESTORED + " Configuration files only after review: the administrator may have deleted them.",
    example="rm /usr/bin/login",
    sources=("dpkg(1), --verify", "rpm: lib/verify.c", "deb-md5sums(5)"),
)
FILE_EMPTY = Rule(
    name="packages/file-empty",
    summary="a packaged file has no content although it should",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.SAFE, Safety.REVIEW),
    what="A regular file of 0 bytes, where the database records another size or digest: what a crash "
    "or a full disk in the middle of an upgrade leaves behind.",
    why="An empty library or program cannot be loaded; everything linked with it fails.",
    repair=RESTORED,
    example=": > /usr/lib/x86_64-linux-gnu/libsystemd.so.0.35.0",
    sources=("dpkg(1), --verify", "rpm: lib/verify.c"),
)
RULES = (FILE_MISSING, FILE_EMPTY)

_MILDEST_FIRST = (Severity.NOTE, Severity.WARNING, Severity.ERROR)


def missing_files(
    system: System, database: PackageDatabase, missing: Sequence[PackagedFile]
) -> Iterator[Finding]:
    """One finding a file; a directory that is gone stands for all in it, and documentation is folded.

    So are the files of a package that was being unpacked.
    """
    if not missing:
        return
    files, unfinished = system.files, being_unpacked(database)
    deleted = files.deletion_times(GuestPath(path) for file in missing for path in forms(file.path))
    for cause, group in _by_cause(missing, unfinished).items():
        yield _missing(system, database, cause, group, deleted, unfinished)


def being_unpacked(database: PackageDatabase) -> frozenset[Package]:
    """Packages whose files may be of two versions: what is brought back is for a person to decide."""
    return frozenset(found.package for found in database.unfinished)


def _by_cause(
    missing: Iterable[PackagedFile], unfinished: Collection[Package]
) -> dict[PackagedFile, list[PackagedFile]]:
    """The finding's own file, and all files that its finding stands for (itself first).

    A path that two packages list counts once.
    """
    paths = {file.path: file for file in missing}
    directories = {path.rpartition("/")[0] for path in paths} & paths.keys()
    groups: dict[PackagedFile, list[PackagedFile]] = {}
    tops: dict[str, PackagedFile] = {}
    documents: dict[str, PackagedFile] = {}
    broken_off: dict[Package, PackagedFile] = {}
    for path, file in sorted(paths.items(), key=lambda item: (is_documentation(item[1]), item[0])):
        top = _highest_gone(path, directories)
        if file.package in unfinished:
            cause = broken_off.setdefault(file.package, file)
        elif top is not None:
            cause = tops.setdefault(top, file)
        elif is_documentation(file):
            cause = documents.setdefault(file.package.name, file)
        else:
            cause = file
        groups.setdefault(cause, []).append(file)
    return groups


def _highest_gone(path: str, directories: set[str]) -> str | None:
    """The highest of these directories that holds the path, or is it."""
    found = None
    current = path
    while current:
        if current in directories:
            found = current
        current = current.rpartition("/")[0]
    return found


def _missing(
    system: System,
    database: PackageDatabase,
    cause: PackagedFile,
    group: list[PackagedFile],
    deleted: Mapping[GuestPath, int],
    unfinished: Collection[Package],
) -> Finding:
    files = system.files
    weighed = _weighed(group)
    evidence = [expectation(database, cause, "not there")]
    times = (_deletion_time(file, deleted) for file in (cause, *group))
    when = next((time for time in times if time), None)
    if when is not None:
        evidence.append(Evidence("deleted entries of the filesystem", f"deleted {_time(when)}"))
    else:
        evidence += _last_change(files, cause)
    return FILE_MISSING.finding(
        Subject.of_path(GuestPath(cause.path)),
        _missing_message(cause, group, is_unfinished=cause.package in unfinished),
        severity=max((severity_of_loss(f) for f in weighed), key=_MILDEST_FIRST.index),
        evidence=tuple(evidence),
        repair=Repair(
            f"restore {cause.path}"
            if len(group) == 1
            else f"restore {len(group)} paths from {cause.path} on",
            Safety.REVIEW
            if cause.package in unfinished or all(Flag.CONFIG in f.flags for f in weighed)
            else Safety.SAFE,
            tuple(f.restore(files) for f in group),
        ),
        folded=tuple(Subject.of_path(GuestPath(f.path)) for f in group if f is not cause),
        effect=worst_effect(system, (f.path for f in group)),
    )


def _weighed(group: list[PackagedFile]) -> list[PackagedFile]:
    """What the loss is judged by: of a directory that held nothing but configuration, the files alone.

    An administrator who deletes them may take their directory away as well (``rm -r /etc/update-motd.d``).
    """
    inside = [f for f in group if f.kind is not PackagedKind.DIRECTORY]
    return inside if inside and all(Flag.CONFIG in f.flags for f in inside) else group


def _last_change(files: Files, file: PackagedFile) -> list[Evidence]:
    """Newer kernels wipe the names that they delete; the directory still knows when it last changed."""
    directory = real_place(files, GuestPath(file.path)).parent
    stat = files.lstat(directory)
    if stat is None or not stat.is_directory or stat.mtime <= 0:
        return []
    return [Evidence(f"modification time of {directory}", f"an entry came or went {_time(stat.mtime)}")]


def _missing_message(cause: PackagedFile, files: list[PackagedFile], *, is_unfinished: bool) -> str:
    others = len(files) - 1
    if is_unfinished:
        more = f" and {others} more files" if others else ""
        are = "are" if others else "is"
        return f"{cause.path}{more} of {described(cause)}, whose unpacking broke off, {are} missing"
    if not others:
        word = "configuration file " if Flag.CONFIG in cause.flags else ""
        return f"{word}{cause.path} of {described(cause)} is missing"
    packages = sorted({f.package.name for f in files})
    owners = ", ".join(packages[:4]) + (f" and {len(packages) - 4} more" if len(packages) > 4 else "")
    if is_documentation(cause) and cause.kind is not PackagedKind.DIRECTORY:
        return f"{len(files)} documentation, translation or cache files of {owners} are missing"
    paths = "packaged path" if others == 1 else f"{others} packaged paths"
    return f"{cause.path} is missing, with the {paths} in it (of {owners})"


def _deletion_time(file: PackagedFile, deleted: Mapping[GuestPath, int]) -> int | None:
    return next((deleted[path] for path in map(GuestPath, forms(file.path)) if path in deleted), None)


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s after 1970"  # a filesystem may hold any number


def empty_files(
    system: System, database: PackageDatabase, empty: Sequence[PackagedFile]
) -> Iterator[Finding]:
    """Files without content that should have some; one finding each, documentation folded by package."""
    files, unfinished = system.files, being_unpacked(database)
    documents: dict[str, list[PackagedFile]] = defaultdict(list)
    groups: list[list[PackagedFile]] = []
    for file in empty:
        if is_documentation(file):
            documents[file.package.name].append(file)
        else:
            groups.append([file])
    for group in (*groups, *documents.values()):
        first, *others = group
        is_config = Flag.CONFIG in first.flags
        count = f" and {len(others)} more documentation files" if others else ""
        yield FILE_EMPTY.finding(
            Subject.of_path(GuestPath(first.path)),
            f"{first.path}{count} of {described(first)} is empty",
            severity=severity_of_loss(first) if is_config or is_documentation(first) else Severity.ERROR,
            evidence=(expectation(database, first, "0 bytes"),),
            repair=Repair(
                f"restore {len(group)} files" if others else f"restore {first.path}",
                Safety.REVIEW if is_config or first.package in unfinished else Safety.SAFE,
                tuple(f.restore(files) for f in group),
            ),
            folded=tuple(Subject.of_path(GuestPath(f.path)) for f in others),
            effect=worst_effect(system, (f.path for f in group)),
        )

"""Findings for packaged files that are gone, empty, or something else than they should be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from guestrepair.analyzers.packages.places import is_documentation, severity_of_loss
from guestrepair.analyzers.packages.restoring import described, expectation, merged_tops, placed, restore
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import Evidence, Finding, GuestPath, PackagedKind, Repair, Safety, Severity
from guestrepair.packages.aliases import forms
from guestrepair.packages.base import PackageDatabase, PackagedFile
from guestrepair.packages.places import real_place

_MILDEST_FIRST = (Severity.NOTE, Severity.WARNING, Severity.ERROR)


def missing_files(guest: Guest, database: PackageDatabase, missing: list[PackagedFile]) -> Iterator[Finding]:
    """One finding a file; a directory that is gone stands for all in it, and documentation is folded."""
    if not missing:
        return
    deleted = guest.deletion_times(GuestPath(path) for file in missing for path in forms(file.path))
    for cause, files in _by_cause(missing, merged_tops(guest)).items():
        yield _missing(guest, database, cause, files, deleted)


def _by_cause(
    missing: Iterable[PackagedFile], merged: frozenset[str]
) -> dict[PackagedFile, list[PackagedFile]]:
    """The finding's own file, and all files that its finding stands for (itself first).

    A place that two packages list, be it by the two names that a merged system gives it, counts once.
    """
    places = {placed(file.path, merged): file for file in missing}
    directories = {place.rpartition("/")[0] for place in places} & places.keys()
    groups: dict[PackagedFile, list[PackagedFile]] = {}
    tops: dict[str, PackagedFile] = {}
    documents: dict[str, PackagedFile] = {}
    for place, file in sorted(places.items()):
        top = _highest_gone(place, directories)
        if top is not None:
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
    guest: Guest,
    database: PackageDatabase,
    cause: PackagedFile,
    files: list[PackagedFile],
    deleted: Mapping[GuestPath, int],
) -> Finding:
    severity = max((severity_of_loss(f) for f in files), key=_MILDEST_FIRST.index)
    evidence = [expectation(database, cause, "not there")]
    when = _deletion_time(cause, deleted) or next(
        (t for f in files if (t := _deletion_time(f, deleted))), None
    )
    if when is not None:
        evidence.append(Evidence("deleted entries of the filesystem", f"deleted {_time(when)}"))
    else:
        evidence += _last_change(guest, cause)
    configuration = all("config" in f.flags for f in files)
    return Finding(
        "packages/file-missing",
        severity,
        cause.path,
        _missing_message(cause, files),
        tuple(evidence),
        Repair(
            f"restore {cause.path}"
            if len(files) == 1
            else f"restore {len(files)} paths from {cause.path} on",
            Safety.REVIEW if configuration else Safety.SAFE,
            tuple(restore(guest, f) for f in files),
        ),
        tuple(f.path for f in files if f is not cause),
    )


def _last_change(guest: Guest, file: PackagedFile) -> list[Evidence]:
    """Newer kernels wipe the names that they delete; the directory still knows when it last changed."""
    directory = real_place(guest, GuestPath(file.path)).parent
    stat = guest.lstat(directory)
    if stat is None or not stat.is_directory or stat.mtime <= 0:
        return []
    return [Evidence(f"modification time of {directory}", f"an entry came or went {_time(stat.mtime)}")]


def _missing_message(cause: PackagedFile, files: list[PackagedFile]) -> str:
    others = len(files) - 1
    if not others:
        word = "configuration file " if "config" in cause.flags else ""
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


def empty_files(guest: Guest, database: PackageDatabase, empty: list[PackagedFile]) -> Iterator[Finding]:
    """Files without content that should have some; one finding each, documentation folded by package."""
    documents: dict[str, list[PackagedFile]] = defaultdict(list)
    groups: list[list[PackagedFile]] = []
    for file in empty:
        if is_documentation(file):
            documents[file.package.name].append(file)
        else:
            groups.append([file])
    for files in (*groups, *documents.values()):
        first = files[0]
        config = "config" in first.flags
        count = f" and {len(files) - 1} more documentation files" if len(files) > 1 else ""
        yield Finding(
            "packages/file-empty",
            severity_of_loss(first) if config or is_documentation(first) else Severity.ERROR,
            first.path,
            f"{first.path}{count} of {described(first)} is empty",
            (expectation(database, first, "0 bytes"),),
            Repair(
                f"restore {first.path}" if len(files) == 1 else f"restore {len(files)} files",
                Safety.REVIEW if config else Safety.SAFE,
                tuple(restore(guest, f) for f in files),
            ),
            tuple(f.path for f in files[1:]),
        )


def wrong_kinds(
    guest: Guest, database: PackageDatabase, wrong: list[tuple[PackagedFile, Stat]]
) -> Iterator[Finding]:
    """Something else lies where a packaged path should be; what it is worth only a person can say."""
    for file, stat in wrong:
        observed = _kind_word(stat)
        yield Finding(
            "packages/file-changed",
            Severity.NOTE if "config" in file.flags else severity_of_loss(file),
            file.path,
            f"{file.path} of {described(file)} is a {observed}, not a {file.kind}",
            (expectation(database, file, observed),),
            _replacement(guest, file, stat),
        )


def _replacement(guest: Guest, file: PackagedFile, stat: Stat) -> Repair:
    if stat.is_directory or file.kind is PackagedKind.DIRECTORY:
        return Repair(f"move it away and restore {file.path} in its place", Safety.MANUAL)
    return Repair(f"restore {file.path} in its place", Safety.REVIEW, (restore(guest, file),))


def _kind_word(stat: Stat) -> str:
    if stat.is_symlink:
        return "symbolic link"
    if stat.is_directory:
        return "directory"
    return "regular file" if stat.is_file else "special file"

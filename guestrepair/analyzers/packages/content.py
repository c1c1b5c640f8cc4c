"""Findings for content: digests against the database, and links that lead elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from guestrepair.analyzers.packages.places import is_documentation, is_program_place
from guestrepair.analyzers.packages.restoring import described, expectation, restore
from guestrepair.analyzers.packages.wholeness import damage
from guestrepair.guest.view import Guest
from guestrepair.model import (
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    PackagedKind,
    Repair,
    Safety,
    Severity,
)
from guestrepair.packages.base import Package, PackageDatabase, PackagedFile

_CHUNK = 20_000
_NOT_HASHED = frozenset({"config", "ghost", "replaced", "wrongcolor", "nodigest"})


def critical_packages(database: PackageDatabase, files: Iterable[GuestPath]) -> frozenset[Package]:
    """The packages that own these files: those that boot and login need."""
    return frozenset(found.package for path in files for found in database.lookup(str(path)))


def changed_files(
    guest: Guest,
    database: PackageDatabase,
    *,
    only: frozenset[Package] | None,
    known_bad: frozenset[str],
    progress: Callable[[str], None],
) -> Iterator[Finding | Inconclusive]:
    """Files whose digest differs; with ``only``, programs and libraries of those packages.

    ``known_bad`` are paths that have a finding already (missing, empty, of another kind).
    """
    stream = (f for f in database.files() if _is_hashed(f, only) and f.path not in known_bad)
    done = 0
    while chunk := list(islice(stream, _CHUNK)):
        yield from _compare(guest, database, chunk)
        done += len(chunk)
        progress(f"{done} packaged files hashed")


def _is_hashed(file: PackagedFile, only: frozenset[Package] | None) -> bool:
    # apk does not tell links from files: which of them is hashed, what is there decides.
    kinds = (PackagedKind.FILE, PackagedKind.OTHER)
    if not file.digest or file.kind not in kinds or file.flags & _NOT_HASHED:
        return False
    if only is None:
        return True
    return file.package in only and is_executable_place(file.path)


def is_executable_place(path: str) -> bool:
    """Programs, and shared objects wherever they lie."""
    if not is_program_place(path):
        return False
    directory, _, name = path.rpartition("/")
    return (
        directory.endswith(("/bin", "/sbin", "/systemd", "/libexec", "/openssh", "/security"))
        or ".so" in name
    )


def _compare(
    guest: Guest, database: PackageDatabase, chunk: list[PackagedFile]
) -> Iterator[Finding | Inconclusive]:
    stats = guest.lstat_many(GuestPath(f.path) for f in chunk)
    there = [f for f in chunk if (s := stats[GuestPath(f.path)]) is not None and s.is_file]
    unread: list[str] = []
    for algorithm in sorted({f.digest.partition(":")[0] for f in there}):
        files = [f for f in there if f.digest.startswith(f"{algorithm}:")]
        digests = dict(guest.digests(algorithm, [GuestPath(f.path) for f in files]))
        differ = [p for f in files if f"{algorithm}:{digests.get(p := GuestPath(f.path))}" != f.digest]
        if differ:
            # A difference is believed only when the filesystem itself gives out that content.
            for path in differ:
                digests.pop(path, None)
            digests |= guest.digests(algorithm, differ, through_filesystem=True)
        for file in files:
            found = digests.get(GuestPath(file.path))
            if found is None:
                unread.append(file.path)
            elif f"{algorithm}:{found}" != file.digest:
                yield _changed(guest, database, file, f"{algorithm}:{found}")
    if unread:
        yield Inconclusive(
            "packages", f"{len(unread)} packaged files could not be read to be hashed, {unread[0]} first"
        )


def _changed(guest: Guest, database: PackageDatabase, file: PackagedFile, observed: str) -> Finding:
    severity = Severity.NOTE if is_documentation(file) else Severity.WARNING
    program = is_executable_place(file.path)
    if program:
        severity = Severity.ERROR
    broken = damage(guest, file.path, is_program=program)
    evidence = [expectation(database, file, observed)]
    if broken:
        evidence.append(Evidence(f"content of {file.path}", broken, "a whole file"))
    return Finding(
        "packages/file-changed",
        severity,
        file.path,
        f"{file.path} of {described(file)} is {'damaged' if broken else 'not the packaged file'}: "
        f"{broken or 'its content differs'}",
        tuple(evidence),
        Repair(f"restore {file.path}", Safety.SAFE if broken else Safety.REVIEW, (restore(guest, file),)),
    )


def wrong_targets(
    guest: Guest, database: PackageDatabase, wrong: list[tuple[PackagedFile, str]]
) -> Iterator[Finding]:
    """Packaged links that lead elsewhere than the package says; configuration may."""
    for file, target in wrong:
        if "config" in file.flags or "/alternatives/" in target:
            continue
        yield Finding(
            "packages/file-changed",
            Severity.NOTE if is_documentation(file) else Severity.WARNING,
            file.path,
            f"the link {file.path} of {described(file)} leads to {target}, not to {file.link_target}",
            (Evidence(f"{database.format} database, {described(file)}", target, file.link_target or ""),),
            Repair(
                f"make the link {file.path} → {file.link_target} again",
                Safety.REVIEW,
                (restore(guest, file),),
            ),
        )

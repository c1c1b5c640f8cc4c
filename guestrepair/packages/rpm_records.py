"""Packages that an rpm database holds twice, and which of the records the files on the disk are of.

An update that is killed between its installing and its erasing part leaves two records of one package: the
new files are there, and the old record was never erased. Packages that may be there several times (kernels,
keys) are not meant.

Sources: rpm's ``lib/transaction.c``; dnf.conf(5), installonlypkgs; yum.conf(5); zypp.conf, multiversion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guestrepair.formats.rpm_version import RpmVersion
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath, PackagedKind
from guestrepair.packages.base import Agreement, Duplicate, Flag, Package, PackagedFile

_SEVERAL = ("kernel", "gpg-pubkey", "kmod-", "akmod")
"""Beginnings of the names of packages of which several versions stand side by side."""

_MAX_DIFFERING = 20
_MAX_COMPARED = 100_000
"""Files that are hashed to tell records apart; what is beyond counts as gone."""

MAX_GROUPS = 5_000
"""Packages with several records: more than a system has packages."""
_UNJUDGED = frozenset({Flag.CONFIG, Flag.GHOST, Flag.REPLACED, Flag.WRONG_COLOR, Flag.NO_DIGEST})


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the database: its package, its number there, and where it is among the reader's lines."""

    package: Package
    number: int
    at: int


def held_twice(packages: Sequence[Package], heads: Iterable[Mapping[str, Any]]) -> list[list[Record]]:
    """The records of each package that is there more than once and should not be, the newest first."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for at, (package, head) in enumerate(zip(packages, heads, strict=True)):
        if not (head.get("several") or package.name.startswith(_SEVERAL)):
            number = head.get("record")
            known = number if isinstance(number, int) else 0
            groups[package.name, package.architecture].append(Record(package, known, at))
    twice = [group for group in groups.values() if len(group) > 1]
    for group in twice:
        group.sort(key=lambda record: (RpmVersion(record.package.version), record.number), reverse=True)
    return twice[:MAX_GROUPS]


def settled(
    guest: Guest, groups: Sequence[Sequence[Record]], files: Sequence[Sequence[Sequence[PackagedFile]]]
) -> list[Duplicate]:
    """Which record of each group speaks for its files, by digests of those that tell the records apart."""
    unjudged = {f.path for group in files for each in group for f in each if f.flags & _UNJUDGED}
    judged = [[_judged(each, unjudged) for each in group] for group in files]
    apart = [_telling_apart(records) for records in judged]
    asked = [
        record[path]
        for records, paths in zip(judged, apart, strict=True)
        for record in records
        for path in paths
        if path in record
    ]
    digests = _on_disk(guest, asked[:_MAX_COMPARED])
    return [_settled(*each, digests) for each in zip(groups, judged, apart, strict=True)]


def _settled(
    group: Sequence[Record],
    records: Sequence[Mapping[str, PackagedFile]],
    apart: Sequence[str],
    digests: Mapping[str, str],
) -> Duplicate:
    # What is gone says nothing: that it is gone has a finding of its own.
    wrong = [
        [
            path
            for path in apart
            if path in record and path in digests and digests[path] != record[path].digest
        ]
        for record in records
    ]
    agrees = next((number for number, lost in enumerate(wrong) if not lost), None)
    if agrees:
        # A path that only a newer record has, and that is there, was put there by the update.
        newer = {path for record in records[:agrees] for path in record if path not in records[agrees]}
        agrees = None if any(path in digests for path in newer) else agrees
    if apart and not any(path in digests for path in apart):
        agrees = None
    agreement = Agreement.MIXED if agrees is None else Agreement.OLDER if agrees else Agreement.NEWER
    packages = tuple(record.package for record in group)
    return Duplicate(
        records=packages,
        numbers=tuple(record.number for record in group),
        reference=packages[agrees or 0],
        agreement=agreement,
        differing=tuple(wrong[0][:_MAX_DIFFERING]),
        compared=len(apart),
    )


def _judged(files: Iterable[PackagedFile], unjudged: Container[str]) -> dict[str, PackagedFile]:
    return {
        file.path: file
        for file in files
        if file.kind is PackagedKind.FILE and file.digest and file.path not in unjudged
    }


def _telling_apart(records: Sequence[Mapping[str, PackagedFile]]) -> list[str]:
    """Paths whose digests differ between the records. What only the older ones have may rightly lie there."""
    newest = records[0]
    return [
        path
        for path, file in newest.items()
        if any(path not in record or record[path].digest != file.digest for record in records[1:])
    ]


def _on_disk(guest: Guest, files: Iterable[PackagedFile]) -> dict[str, str]:
    """Digests of these files as they are, in the algorithm of the database; one that is gone is left out."""
    wanted: dict[str, dict[str, GuestPath]] = defaultdict(dict)
    for file in files:
        wanted[file.digest.partition(":")[0]].setdefault(file.path, GuestPath(file.path))
    answer: dict[str, str] = {}
    for algorithm, paths in wanted.items():
        stats = guest.lstat_many(paths.values())
        there = [where for where, stat in stats.items() if stat is not None and stat.is_file]
        found = guest.digests(algorithm, there, through_filesystem=True)
        answer |= {str(path): f"{algorithm}:{digest}" for path, digest in found.items()}
    return answer

"""What is said of packages that rpm holds in two records, and which record may be erased."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.packages.effects import worst_effect
from guestrepair.model import (
    EraseRecords,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    RpmRecord,
    Safety,
    Severity,
    Subject,
)
from guestrepair.packages.base import Agreement, Duplicate, Package, PackageDatabase
from guestrepair.system.guest_system import System
from guestrepair.system.needs import Stage

_MAX_NAMED = 5
_MAX_EVIDENCE = 10
ERASABLE = "rpmdb.sqlite"
"""The one kind of database whose records can be erased here."""


def duplicates(rule: Rule, system: System, database: PackageDatabase) -> Iterator[Finding]:
    """One finding for all whose files are the newer record's, one for all others."""
    place = GuestPath(database.place)
    sure = [each for each in database.duplicates if each.agreement is Agreement.NEWER]
    others = [each for each in database.duplicates if each.agreement is not Agreement.NEWER]
    if sure:
        yield _finding(rule, system, database, sure, Subject.of_path(place), _erasing(place, sure))
    if others:
        yield _finding(rule, system, database, others, Subject.of_path(place.parent), _by_hand(others))


def _finding(
    rule: Rule,
    system: System,
    database: PackageDatabase,
    group: Sequence[Duplicate],
    subject: Subject,
    repair: Repair,
) -> Finding:
    paths = [file.path for each in group for file in database.files_of(each.reference)]
    is_needed = system.needs.first(paths) is not Stage.OTHER
    names = ", ".join(_named(each) for each in group[:_MAX_NAMED])
    more = f" and {len(group) - _MAX_NAMED} more packages" if len(group) > _MAX_NAMED else ""
    lost = [path for each in group if each.agreement is Agreement.MIXED for path in each.differing]
    return rule.finding(
        subject,
        f"{names}{more} {'are' if len(group) > 1 else 'is'} installed in two versions: an interrupted "
        f"transaction; {_state(group)}",
        severity=Severity.ERROR if is_needed else Severity.WARNING,
        evidence=tuple(_evidence(each) for each in group[:_MAX_EVIDENCE]),
        repair=repair,
        effect=worst_effect(system, lost),
    )


def _named(each: Duplicate) -> str:
    return f"{each.records[0].name} ({', '.join(record.version for record in each.records)})"


def _state(group: Sequence[Duplicate]) -> str:
    states = {each.agreement for each in group}
    if states == {Agreement.NEWER}:
        return "the files are those of the newer record"
    if states == {Agreement.OLDER}:
        return "the files are still those of the older record, the newer one is wrong"
    return "the files are of neither record alone"


def _evidence(each: Duplicate) -> Evidence:
    records = " and ".join(_nevra(record) for record in each.records)
    seen = {
        Agreement.NEWER: f"files that differ between them: {each.compared}, all the newer one's",
        Agreement.OLDER: f"files that differ between them: {each.compared}, all the older one's",
        Agreement.MIXED: f"not the newer one's: {', '.join(each.differing[:4])}",
    }[each.agreement]
    return Evidence(f"rpm database, {each.records[0].name}", f"{records}; {seen}", "one record")


def _nevra(package: Package) -> str:
    return f"{package.name}-{package.version}.{package.architecture}"


def _erasing(place: GuestPath, group: Sequence[Duplicate]) -> Repair:
    older = [
        RpmRecord(
            number=number, name=package.name, version=package.version, architecture=package.architecture
        )
        for each in group
        for number, package in zip(each.numbers[1:], each.records[1:], strict=True)
    ]
    if place.name != ERASABLE or not all(record.number for record in older):
        return _by_hand(group)
    names = ", ".join(record.name for record in older[:_MAX_NAMED])
    return Repair(
        f"erase {len(older)} older record{'s' if len(older) > 1 else ''} ({names}); no file is touched",
        Safety.REVIEW,
        (EraseRecords(path=place, records=tuple(older)),),
    )


def _by_hand(group: Sequence[Duplicate]) -> Repair:
    wrong = [r for each in group for r in each.records if r != each.reference][:_MAX_NAMED]
    names = " ".join(map(_nevra, wrong))
    if any(each.agreement is Agreement.MIXED for each in group):
        names = " ".join(dict.fromkeys(each.records[0].name for each in group[:_MAX_NAMED]))
        return Repair(
            f"bring the files to one version first: dnf reinstall {names}, then dnf remove --duplicates",
            Safety.MANUAL,
        )
    return Repair(
        f"erase the records whose files are not there: rpm -e --justdb --nodeps {names}", Safety.MANUAL
    )

"""The plan of a repair: the chosen findings, their changes in a safe order, and where files come from."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from guestrepair.errors import RepairError
from guestrepair.model import (
    Change,
    EditFile,
    Finding,
    GuestPath,
    PackagedKind,
    RestoreAttributes,
    RestoreFile,
    RunFsck,
    RunGuestProgram,
    SetCapabilities,
    SetLabel,
    SetMode,
    SetOwner,
)
from guestrepair.packages.sources import Resolution, SourcedFile

_ATTRIBUTES = (SetOwner, SetMode, SetCapabilities, SetLabel)


@dataclass(frozen=True, slots=True)
class Left:
    """A finding that this run does not repair though it was asked to, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """One change to apply; ``source`` is where a packaged file comes from."""

    change: Change
    source: SourcedFile | None = None

    @property
    def path(self) -> GuestPath | None:
        """The guest path that it changes; None for devices and programs."""
        return self.change.place


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done: findings to be repaired, steps in order, and what was left out."""

    findings: tuple[Finding, ...] = ()
    steps: tuple[Step, ...] = ()
    left: tuple[Left, ...] = field(default=())


def make_plan(findings: Sequence[Finding], resolution: Resolution, *, guest_programs: bool = False) -> Plan:
    """Turn the chosen findings into a plan.

    A finding is taken whole or left: when one of its changes has no source, or
    conflicts with an earlier finding's change, none of them is in the plan.
    """
    taken: list[Finding] = []
    left: list[Left] = []
    changes: list[Change] = []
    for finding in findings:
        own = finding.repair.changes if finding.repair else ()
        reason = _obstacle(own, changes, resolution, guest_programs=guest_programs)
        if reason:
            left.append(Left(finding, reason))
            continue
        taken.append(finding)
        changes = _merged(changes, own)
    kept = _without_superseded(changes)
    steps = tuple(Step(change, _source(change, resolution)) for change in _ordered(kept))
    return Plan(tuple(taken), steps, tuple(left))


def _without_superseded(changes: Sequence[Change]) -> list[Change]:
    """The changes without modes, owners and capabilities of what comes back from its package anyway.

    Two analyzers may see one damage (a packaged directory that sshd refuses); the package decides.
    """
    packaged = {c.path for c in changes if isinstance(c, RestoreAttributes | RestoreFile)}
    return [c for c in changes if not (isinstance(c, _ATTRIBUTES) and c.path in packaged)]


def _obstacle(
    own: Sequence[Change], planned: Sequence[Change], resolution: Resolution, *, guest_programs: bool
) -> str:
    for change in own:
        if isinstance(change, RestoreFile | RestoreAttributes) and change not in resolution.resolved:
            reasons = resolution.refused.get(change, ())
            return "; ".join(reasons) or "no source for it: give --donor, --packages or --fetch"
        if isinstance(change, RunGuestProgram) and not guest_programs:
            return "it runs the guest's own programs: allow that with --allow-guest-programs"
    try:
        _merged(planned, own)
    except RepairError as error:
        return error.message
    return ""


def _source(change: Change, resolution: Resolution) -> SourcedFile | None:
    if isinstance(change, RestoreFile | RestoreAttributes):
        return resolution.resolved[change]
    return None


def _merged(planned: Sequence[Change], own: Sequence[Change]) -> list[Change]:
    """Both lists as one: equal changes once, edits of one file in one.

    Raises:
        RepairError: two changes contradict each other.
    """
    merged = list(planned)
    places = {change.acts_on: place for place, change in enumerate(merged)}
    for change in own:
        place = places.setdefault(change.acts_on, len(merged))
        if place == len(merged):
            merged.append(change)
        elif merged[place] != change:
            merged[place] = _combined(merged[place], change)
    return merged


def _combined(one: Change, other: Change) -> Change:
    if isinstance(one, EditFile) and isinstance(other, EditFile) and one.before == other.before:
        return _combined_edits(one, other)
    if isinstance(one, RunFsck):
        return one
    if isinstance(one, RestoreFile) and isinstance(other, RestoreFile) and _same_file(one, other):
        return one if _facts(one) >= _facts(other) else other
    raise RepairError(f"{one.place or ''}: another finding's repair changes the same thing")


def _same_file(one: RestoreFile, other: RestoreFile) -> bool:
    """One packaged file that two analyzers miss, or one directory of two packages."""
    if one.file_kind is other.file_kind is PackagedKind.DIRECTORY:
        return True
    return (one.package, one.version, one.architecture, one.digest) == (
        other.package,
        other.version,
        other.architecture,
        other.digest,
    )


def _facts(change: RestoreFile) -> int:
    """How much the change says: the one that knows more of the database's facts restores more of them."""
    return sum(getattr(change, field.name) is not None for field in dataclasses.fields(change))


def _combined_edits(one: EditFile, other: EditFile) -> EditFile:
    edits = [*one.edits, *(e for e in other.edits if e not in one.edits)]
    edits.sort(key=lambda e: (e.offset, e.length))
    for first, second in itertools.pairwise(edits):
        if first.offset + first.length > second.offset or (first.offset == second.offset and first.length):
            raise RepairError(f"{one.path}: another finding's repair changes the same bytes")
    return dataclasses.replace(one, edits=tuple(edits))


def _ordered(changes: Sequence[Change]) -> list[Change]:
    return sorted(changes, key=lambda c: (c.order, len(c.place.parts) if c.place is not None else 0))


def sourced_changes(findings: Sequence[Finding]) -> list[RestoreFile | RestoreAttributes]:
    """All changes of the findings that need a source."""
    return [
        change
        for finding in findings
        if finding.repair is not None
        for change in finding.repair.changes
        if isinstance(change, RestoreFile | RestoreAttributes)
    ]

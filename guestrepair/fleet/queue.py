"""What of a list is still to be done, and in which order: earlier failures first, then the largest.

The last to run are the smallest, so that the end of a run does not wait for one that began late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from guestrepair.fleet.child import read_record_file
from guestrepair.fleet.identity import Identity, identify
from guestrepair.fleet.results import same_as, taken_over
from guestrepair.fleet.sources import Source
from guestrepair.fleet.state import DONE, FAILED, QUEUED, RUNNING, SKIPPED, Row, State


@dataclass(slots=True)
class Plan:
    """The images of a run by id, in the order in which they were named; and those that are to be done."""

    named: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)
    alike: dict[str, list[str]] = field(default_factory=dict)
    """Of an image that is to be done, those of the same content: they are not, and get its result."""


def plan(state: State, sources: Sequence[Source], wanted: str, *, again: bool) -> Plan:
    """Hold the list against the state, write what is new, and say what is to be done.

    Done already is what was examined with the same ``wanted`` (a digest of command, options, policy and
    version) while its files were what they are now, unless it is to be done ``again``.

    Raises:
        FleetError: the state cannot be written.
    """
    before = {row.id: row for row in state.rows()}
    identities = {s.id: identify(s) for s in sources if not (s.problem or s.skipped)}
    rows = {
        s.id: _row(state, s, identities.get(s.id, Identity()), before.get(s.id), wanted, again=again)
        for s in sources
    }
    alike = _alike(rows, {i: found.content for i, found in identities.items()})
    state.put([row for row in rows.values() if row != before.get(row.id)])
    others = {each for same in alike.values() for each in same}
    todo = [row for row in rows.values() if row.state == QUEUED and row.id not in others]
    failed = {i for i, row in before.items() if row.state == FAILED}
    todo.sort(key=lambda row: (row.id not in failed, -row.size_bytes))
    return Plan(named=list(rows), todo=[row.id for row in todo], alike=alike)


def _alike(rows: dict[str, Row], contents: dict[str, str]) -> dict[str, list[str]]:
    """Of those to be done, by the first of one content the others; one that was done stands for all."""
    first: dict[str, str] = {}
    for identifier, content in contents.items():
        if content and rows[identifier].state == DONE and not rows[identifier].same_as:
            first.setdefault(content, identifier)
    found: dict[str, list[str]] = {}
    for identifier, content in contents.items():
        if not content or rows[identifier].state != QUEUED:
            continue
        leader = rows[first.setdefault(content, identifier)]
        if leader.id == identifier:
            continue
        if leader.state == DONE:
            rows[identifier] = same_as(rows[identifier], leader)
        else:
            found.setdefault(leader.id, []).append(identifier)
    return found


def _row(state: State, source: Source, now: Identity, before: Row | None, wanted: str, *, again: bool) -> Row:
    if source.problem:
        return _named(source, state=FAILED, exit_status=2, error=source.problem)
    if source.skipped:
        return _named(source, state=SKIPPED, error=source.skipped)
    fresh = _named(source, identity=now.text, wanted=wanted, size_bytes=now.size_bytes)
    if before is None or again or (before.identity, before.wanted) != (now.text, wanted):
        return fresh
    if before.state == DONE:
        return before
    if before.state == RUNNING:
        record = read_record_file(state.reports / f"{before.id}.json", before.mark)
        if record is not None:
            return taken_over(before, record)
    return fresh


def _named(source: Source, **values: object) -> Row:
    return replace(
        Row(id=source.id, name=source.name, uri=source.uri, options=source.options, donors=source.donors),
        **values,  # type: ignore[arg-type]
    )

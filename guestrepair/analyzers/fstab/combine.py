"""One repair for what belongs together: a line that does not parse, a file that is written again, an order.

The rules judge the table as it must be meant (:mod:`guestrepair.system.mounts.facts`). What they find on a
line that does not parse becomes part of the one repair of that line; where the whole file is written
again as plain text, what can be repaired safely goes into it.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks.encoding import check_encoding, rewritten
from guestrepair.analyzers.fstab.checks.target import ORDER
from guestrepair.formats.splice import Splice, spliced
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.mounts import Mounts
from guestrepair.system.mounts.encoding import PlainText
from guestrepair.system.mounts.facts import FSTAB
from guestrepair.system.mounts.normalize import How, Reading

MALFORMED_LINE = Rule(
    name="fstab/malformed-line",
    summary="a line does not parse",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="A line has fewer than three fields, a frequency or pass number that is no number, pasted output "
    "of blkid(8), a blank inside a field, or one field left out so that the next ones stand in its place.",
    why="mount(8) drops such a line, and systemd drops it or mounts something else than was meant; tools "
    "that parse the file strictly fail as a whole.",
    repair="Extra words are dropped or joined, exchanged ones put back and those left out put in where one "
    "reading makes sense, else the line is commented out. "
    "The line of the root filesystem is rebuilt and never commented out.",
    example='UUID="0a3c…" TYPE="ext4" /data ext4 defaults 0 2 becomes UUID="0a3c…" /data ext4 defaults 0 2',
    sources=("fstab(5)", "libmount, mnt_parse_table_line()", "getmntent(3)"),
)

Results = Iterable[Finding | Inconclusive]


def combined(mounts: Mounts, results: Sequence[Finding | Inconclusive]) -> Iterator[Finding | Inconclusive]:
    """Everything that the rules found, with malformed lines and the encoding."""
    found = _by_line(mounts, _in_order(mounts, results))
    if mounts.plain is not None:
        yield from _in_one_file(mounts, mounts.plain, found)
    else:
        yield from check_encoding(mounts)
        yield from found


def _table_edits(finding: Finding) -> list[Edit]:
    changes = finding.repair.changes if finding.repair is not None else ()
    return [e for c in changes if isinstance(c, EditFile) and c.path == FSTAB for e in c.edits]


def _is_safe(finding: Finding) -> bool:
    return finding.repair is not None and finding.repair.safety is Safety.SAFE


# --- a line that does not parse ------------------------------------------------------------


def _by_line(mounts: Mounts, results: Results) -> Iterator[Finding | Inconclusive]:
    readings = mounts.readings
    on_line: dict[int, list[Finding]] = defaultdict(list)
    for result in results:
        if isinstance(result, Inconclusive):
            yield result
        elif result.rule != ORDER.name and _line_of(result) in readings:
            on_line[_line_of(result)].append(result)
        elif any(_line_at(mounts, e) in readings for e in _table_edits(result)):
            yield dataclasses.replace(result, repair=edits.manual("repair the malformed lines first"))
        else:
            yield result
    for number, reading in readings.items():
        yield from _malformed(mounts, reading, on_line[number])


def _line_of(finding: Finding) -> int:
    """The line of the table that it is about; 0 when it is about none."""
    subject = finding.subject
    return (subject.line or 0) if isinstance(subject, Subject) and subject.path == FSTAB else 0


def _malformed(mounts: Mounts, reading: Reading, nested: Sequence[Finding]) -> Iterator[Finding]:
    """The finding on the line, with the safe repairs of what else is wrong in it; then the rest of that."""
    subject = Subject.of_line(FSTAB, reading.bad.number)
    shown = reading.bad.line.raw.decode("utf-8", "replace").strip()
    safe = [f for f in nested if _is_safe(f) and _table_edits(f)]
    yield MALFORMED_LINE.finding(
        subject,
        f"{subject}: the line is malformed: {reading.bad.reason}",
        evidence=(
            Evidence(subject, shown, "source, mount point, type; then options, frequency, pass number"),
            *(e for f in safe for e in f.evidence),
        ),
        repair=_line_repair(mounts, reading, [e for f in safe for e in _table_edits(f)]),
    )
    for finding in nested:
        if any(finding is each for each in safe):
            continue
        if finding.repair is None or (finding.repair.changes and not _table_edits(finding)):
            yield finding  # a directory to make, say: that goes together with the line's own repair
        else:
            yield dataclasses.replace(finding, repair=edits.manual("repair the form of the line first"))


def _line_repair(mounts: Mounts, reading: Reading, nested: Sequence[Edit]) -> Repair:
    """The line as it must be meant, with what else is wrong in it corrected."""
    line = reading.bad.line
    if reading.raw is None:
        return edits.manual("write the line for / again by hand")
    raw = spliced(reading.raw, (Splice(e.offset, e.length, e.text) for e in nested), start=line.offset)
    summary = f"make it: {raw.decode('utf-8', 'replace').strip()}"
    if reading.how is How.OUT_OF_USE:
        summary = "comment the line out"
    return edits.of_table(mounts, summary, Safety.SAFE, edits.rewrite_line(line, raw))


# --- repairs that cannot be made together ------------------------------------------------


def _in_order(mounts: Mounts, results: Sequence[Finding | Inconclusive]) -> Iterator[Finding | Inconclusive]:
    """Lines change places only when nothing else edits them: that is left for a second run."""
    for result in results:
        if isinstance(result, Finding) and result.rule == ORDER.name:
            others = (f for f in results if isinstance(f, Finding) and f is not result)
            places = sorted(e.offset for f in others for e in _table_edits(f))
            moved = _table_edits(result)
            if any(_any_within(places, e.offset, e.offset + e.length) for e in moved):
                first = edits.manual("repair the other findings on these lines first")
                yield dataclasses.replace(result, repair=first)
                continue
        yield result


def _any_within(places: Sequence[int], first: int, last: int) -> bool:
    return bisect_left(places, first) < bisect_right(places, last)


# --- a file that is written again ------------------------------------------------------


def _in_one_file(mounts: Mounts, plain: PlainText, results: Results) -> Iterator[Finding | Inconclusive]:
    """What can be repaired safely goes into the file that is written; the rest is for after it."""
    made: dict[int, list[Edit]] = defaultdict(list)
    for result in results:
        if not isinstance(result, Finding):
            yield result
            continue
        changes = _table_edits(result) if _is_safe(result) else []
        if changes and not any(_meet(e, other) for e in changes for other in made[_line_at(mounts, e)]):
            for edit in changes:
                made[_line_at(mounts, edit)].append(edit)
        else:
            first = edits.manual("write the file as plain text first") if result.repair is not None else None
            yield dataclasses.replace(result, repair=first)
    all_edits = (Splice(e.offset, e.length, e.text) for group in made.values() for e in group)
    yield rewritten(mounts, plain, spliced(plain.text, all_edits))


def _line_at(mounts: Mounts, edit: Edit) -> int:
    """The number of the line that an edit begins in, 0 at the end of all; edits of two lines do not meet."""
    if edit.offset >= len(mounts.text):
        return 0
    lines = mounts.written.lines if mounts.written is not None else ()
    return bisect_right(lines, edit.offset, key=lambda line: line.offset)


def _meet(one: Edit, other: Edit) -> bool:
    """True when two edits touch the same bytes; two that insert at one place do not."""
    first, second = sorted((one, other), key=lambda e: (e.offset, e.length))
    return first.offset + first.length > second.offset or (first.length > 0 and first.offset == second.offset)

"""Judge the table as it will be once every line of it parses; write all edits in the bytes that are there.

A malformed line hides what it means: its filesystem looks unused, its own faults are not seen. So the rules
run on the table with those lines mended, and their edits are carried back to the file as it is. What the
rules find on a mended line becomes part of the one repair of that line.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence

from guestrepair.analyzers.fstab import declarations as rules
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.facts import FSTAB, Facts
from guestrepair.analyzers.fstab.malformed import Mended, mend
from guestrepair.analyzers.fstab.text_rules import check_encoding, plain_text, rewritten
from guestrepair.errors import FormatError
from guestrepair.formats.fstab import Fstab, Line, Malformed, is_number, parse
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    Safety,
    Severity,
)

Rules = Callable[[Facts], Iterable[Finding | Inconclusive]]


def judge_as_mended(facts: Facts, judge_lines: Rules) -> Iterator[Finding | Inconclusive]:
    """Everything that the rules find, malformed lines and the encoding included."""
    plain = plain_text(facts.data) if facts.data is not None else None
    if facts.data is not None and plain is not None:
        yield from _judge_plain(facts, facts.data, plain, judge_lines)
    else:
        yield from check_encoding(facts)
        yield from _judge_mended(facts, judge_lines)


# --- a file that is written anew ------------------------------------------------------


def _judge_plain(
    facts: Facts, data: bytes, plain: tuple[str, bytes], judge_lines: Rules
) -> Iterator[Finding | Inconclusive]:
    """Judge the plain text: what can be repaired safely goes into the file that is written."""
    what, text = plain
    try:
        found = list(_judge_mended(_with_data(facts, text), judge_lines))
    except FormatError as error:
        yield Inconclusive("fstab", f"{FSTAB}: {error.message}")
        return
    taken = _Taken()
    for result in found:
        changes = _table_edits(result) if isinstance(result, Finding) and _is_safe(result) else []
        if changes and not taken.meets(changes):
            taken.add(changes)
        elif isinstance(result, Finding):
            first = edits.manual("write the file as plain text first") if result.repair is not None else None
            yield dataclasses.replace(result, repair=first)
        else:
            yield result
    facts.unread = [reason for reason in facts.unread if not reason.startswith(f"{FSTAB}:")]
    yield rewritten(data, what, edits.applied(text, taken.edits))


def _with_data(facts: Facts, data: bytes) -> Facts:
    return dataclasses.replace(facts, data=data, table=parse(data))


def _is_safe(finding: Finding) -> bool:
    return finding.repair is not None and finding.repair.safety is Safety.SAFE


def _table_edits(finding: Finding) -> list[Edit]:
    changes = finding.repair.changes if finding.repair is not None else ()
    return [e for c in changes if isinstance(c, EditFile) and c.path == FSTAB for e in c.edits]


class _Taken:
    """Edits that are made together: their bytes as spans that do not touch, and the places of insertions."""

    def __init__(self, changes: Iterable[Edit] = ()) -> None:
        self.edits: list[Edit] = []
        self._starts: list[int] = []
        self._inserts: list[int] = []
        self._begins: list[int] = []
        self._ends: list[int] = []
        self.add(changes)

    def add(self, changes: Iterable[Edit]) -> None:
        """Take these as well."""
        for edit in changes:
            self.edits.append(edit)
            insort(self._starts, edit.offset)
            if edit.length:
                self._cover(edit.offset, edit.offset + edit.length)
            else:
                insort(self._inserts, edit.offset)

    def _cover(self, begin: int, end: int) -> None:
        first, last = bisect_left(self._ends, begin), bisect_right(self._begins, end)
        if first < last:
            begin, end = min(begin, self._begins[first]), max(end, self._ends[last - 1])
        self._begins[first:last], self._ends[first:last] = [begin], [end]

    def meets(self, changes: Iterable[Edit]) -> bool:
        """True when one of these touches the same bytes; two that insert at one place do not."""
        return any(
            self._meets(edit.offset, edit.offset + max(edit.length, 1), edit.length) for edit in changes
        )

    def _meets(self, begin: int, end: int, length: int) -> bool:
        at = bisect_right(self._ends, begin)
        covered = at < len(self._begins) and self._begins[at] < end
        return covered or (length > 0 and _any_within(self._inserts, begin, end - 1))

    def inserts_within(self, changes: Iterable[Edit]) -> bool:
        """True when one of these has the beginning of another inside it, or at an end."""
        return any(_any_within(self._starts, edit.offset, edit.offset + edit.length) for edit in changes)


def _any_within(places: Sequence[int], first: int, last: int) -> bool:
    return bisect_left(places, first) < bisect_right(places, last)


# --- a file that is edited ---------------------------------------------------------------


def _judge_mended(facts: Facts, judge_lines: Rules) -> Iterator[Finding | Inconclusive]:
    table = facts.table
    if table is None or not table.malformed:
        yield from _in_order(list(judge_lines(facts)))
        return
    taken: set[str] = set()
    mended = {bad.number: mend(facts, bad, taken) for bad in table.malformed}
    whole = _with_data(facts, _mended_text(table, mended))
    carry = _Carry(table, whole.table or table, facts.data or b"", frozenset(mended))
    found = _in_order(list(judge_lines(whole)))
    on_line: dict[int, list[Finding]] = {number: [] for number in mended}
    for result in found:
        number = _line_of(result) if isinstance(result, Finding) else 0
        if isinstance(result, Finding) and number in on_line:
            on_line[number].append(result)
        else:
            yield carry.back(result) if isinstance(result, Finding) else result
    for bad in table.malformed:
        yield from _malformed(facts, bad, mended[bad.number], on_line[bad.number], whole.table)


def _mended_text(table: Fstab, mended: dict[int, Mended | None]) -> bytes:
    lines = []
    for line in table.lines:
        found = mended.get(line.number)
        lines.append((found.raw if found is not None else line.raw) + line.ending)
    return table.bom + b"".join(lines)


def _line_of(finding: Finding) -> int:
    name, _, number = finding.subject.rpartition(":")
    return int(number) if name == str(FSTAB) and is_number(number) else 0


def _malformed(
    facts: Facts, bad: Malformed, mended: Mended | None, nested: Sequence[Finding], whole: Fstab | None
) -> Iterator[Finding]:
    subject = f"{FSTAB}:{bad.number}"
    shown = bad.line.raw.decode("utf-8", "replace").strip()
    safe = [f for f in nested if _is_safe(f) and _table_edits(f)]
    taken = {id(f) for f in safe}
    if mended is None:
        repair = edits.manual("write the line for / anew by hand")
    else:
        line = next(iter(whole.lines[bad.number - 1 : bad.number]), None) if whole is not None else None
        repair = _line_repair(facts, mended, safe, line)
    yield Finding(
        rules.MALFORMED_LINE.name,
        Severity.ERROR,
        subject,
        f"{subject}: the line is malformed: {bad.reason}",
        (
            Evidence(subject, shown, "source, mount point, type; then options, frequency, pass number"),
            *(e for f in safe for e in f.evidence),
        ),
        repair,
    )
    for finding in nested:
        if id(finding) in taken:
            continue
        if finding.repair is None or (finding.repair.changes and not _table_edits(finding)):
            yield finding  # a directory to make, say: that goes together with the line's own repair
        else:
            yield dataclasses.replace(finding, repair=edits.manual("repair the form of the line first"))


def _line_repair(facts: Facts, mended: Mended, nested: Sequence[Finding], line: Line | None) -> Repair:
    """The line's own edits, or where more is wrong with it, the whole line as it must be."""
    data = facts.data or b""
    if not nested or line is None:
        return edits.repair(FSTAB, data, mended.summary, Safety.SAFE, *mended.changes)
    changes = [e for f in nested for e in _table_edits(f) if _is_within(e, line)]
    raw = edits.applied(line.raw, changes, start=line.offset)
    old = mended.bad.line.raw
    kept = len(old.removesuffix(b"\r"))
    change = Edit(offset=mended.bad.line.offset, length=kept, text=raw.removesuffix(b"\r"))
    text = raw.decode("utf-8", "replace").strip()
    return edits.repair(FSTAB, data, f"make it: {text}", Safety.SAFE, change)


def _is_within(edit: Edit, line: Line) -> bool:
    return line.offset <= edit.offset and edit.offset + edit.length <= line.offset + len(line.raw)


@dataclasses.dataclass(frozen=True, slots=True)
class _Carry:
    """Carries edits of the mended table back to the file as it is."""

    before: Fstab
    after: Fstab
    data: bytes
    mended: frozenset[int]

    def back(self, finding: Finding) -> Finding:
        """The finding with its edits in the file's own bytes."""
        repair = finding.repair
        if repair is None or not repair.changes:
            return finding
        changes: list[Change] = []
        for change in repair.changes:
            if isinstance(change, EditFile) and change.path == FSTAB:
                moved = [self._edit(e) for e in change.edits]
                if any(e is None for e in moved):
                    return dataclasses.replace(
                        finding, repair=edits.manual("repair the malformed lines first")
                    )
                kept = tuple(e for e in moved if e is not None)
                changes.append(dataclasses.replace(change, before=self.data, edits=kept))
            else:
                changes.append(change)
        return dataclasses.replace(finding, repair=dataclasses.replace(repair, changes=tuple(changes)))

    def _edit(self, edit: Edit) -> Edit | None:
        last = self.after.lines[-1]
        if edit.offset >= last.offset + len(last.raw) + len(last.ending):
            return dataclasses.replace(edit, offset=len(self.data))
        at = bisect_right(self.after.lines, edit.offset, key=lambda line: line.offset) - 1
        if at < 0:
            return edit
        old, new = self.before.lines[at], self.after.lines[at]
        if new.number in self.mended:
            return None
        return dataclasses.replace(edit, offset=edit.offset - new.offset + old.offset)


# --- repairs that cannot be made together ------------------------------------------------


def _in_order(results: Sequence[Finding | Inconclusive]) -> Iterator[Finding | Inconclusive]:
    """Lines change places only when nothing else edits them: that is left for a second run."""
    for result in results:
        if isinstance(result, Finding) and result.rule == rules.ORDER.name:
            others = [f for f in results if isinstance(f, Finding) and f is not result]
            taken = _Taken(e for f in others for e in _table_edits(f))
            moved = _table_edits(result)
            if taken.meets(moved) or taken.inserts_within(moved):
                first = edits.manual("repair the other findings on these lines first")
                yield dataclasses.replace(result, repair=first)
                continue
        yield result

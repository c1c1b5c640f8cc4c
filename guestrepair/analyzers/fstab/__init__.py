"""/etc/fstab, with crypttab, mount units and the boot loader: is everything there that boot waits for?

A wrong line stops the boot in emergency mode or leaves the root filesystem read-only. The right source is
worked out from evidence on the disks (evidence.py) and never guessed: exactly one filesystem must fit.
Repairs touch the bytes of the wrong field only. Limits: what is on disks that were not given cannot be
judged, nor can names that only the machine knows (by-id, by-path, multipath).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.fstab import declarations, edits
from guestrepair.analyzers.fstab.facts import FSTAB, Facts, gather
from guestrepair.analyzers.fstab.file_rules import check_crypttab, check_files, check_mapper
from guestrepair.analyzers.fstab.judgement import judge
from guestrepair.analyzers.fstab.malformed import check_malformed
from guestrepair.analyzers.fstab.root_rules import check_root_line
from guestrepair.analyzers.fstab.source_rules import check_sources
from guestrepair.analyzers.fstab.specs import from_entry, from_units
from guestrepair.analyzers.fstab.target_rules import check_targets
from guestrepair.analyzers.fstab.text_rules import check_encoding, check_missing
from guestrepair.analyzers.fstab.type_rules import check_types
from guestrepair.model import EditFile, Finding, Inconclusive


def analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    """Judge the tables of one guest."""
    facts = gather(context)
    found = list(_all_rules(facts))
    yield from _without_conflicts([f for f in found if isinstance(f, Finding)])
    yield from (f for f in found if isinstance(f, Inconclusive))
    for reason in facts.unread:
        yield Inconclusive("fstab", reason)


def _all_rules(facts: Facts) -> Iterator[Finding | Inconclusive]:
    yield from check_missing(facts)
    yield from check_encoding(facts)
    yield from check_crypttab(facts)
    entries = facts.table.entries if facts.table is not None else ()
    specs = [from_entry(facts, FSTAB, e) for e in entries]
    judged = judge(facts, [*specs, *from_units(facts)])
    yield from check_malformed(facts)
    yield from check_sources(facts, judged)
    yield from check_mapper(facts, judged)
    yield from check_types(facts, judged)
    yield from check_targets(facts, judged)
    yield from check_files(facts, judged)
    yield from check_root_line(facts)


def _without_conflicts(findings: list[Finding]) -> Iterator[Finding]:
    """Keep apart what cannot be repaired at once: lines change places only when nothing else edits them."""
    for finding in findings:
        others = [f for f in findings if f is not finding]
        if finding.rule == declarations.ORDER.name and _collides(finding, others):
            yield replace(finding, repair=edits.manual("repair the other findings on these lines first"))
        else:
            yield finding


def _collides(order: Finding, others: list[Finding]) -> bool:
    taken = [span for other in others for span in _edited(other)]
    return any(start < other_end and other_start < end
               for start, end in _edited(order) for other_start, other_end in taken)  # fmt: skip


def _edited(finding: Finding) -> list[tuple[int, int]]:
    """The bytes of the table that a repair edits; an insertion counts as one byte."""
    changes = finding.repair.changes if finding.repair is not None else ()
    return [
        (edit.offset, edit.offset + max(edit.length, 1))
        for change in changes
        if isinstance(change, EditFile) and change.path == FSTAB
        for edit in change.edits
    ]


ANALYZER = Analyzer(
    name="fstab",
    summary="mounts, swap and encrypted devices that boot waits for",
    rules=declarations.ALL,
    analyze=analyze,
)

"""/etc/fstab, with crypttab, mount units and the boot loader: is everything there that boot waits for?

A wrong line stops the boot in emergency mode or leaves the root filesystem read-only. The right source is
worked out from evidence on the disks (evidence.py) and never guessed: exactly one filesystem must fit.
Repairs touch the bytes of the wrong field only. Limits: what is on disks that were not given cannot be
judged, nor can names that only the machine knows (by-id, by-path, multipath).
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.fstab import declarations
from guestrepair.analyzers.fstab.facts import FSTAB, Facts, gather
from guestrepair.analyzers.fstab.file_rules import check_crypttab, check_files, check_mapper
from guestrepair.analyzers.fstab.judgement import judge
from guestrepair.analyzers.fstab.mending import judge_as_mended
from guestrepair.analyzers.fstab.root_rules import check_root_line
from guestrepair.analyzers.fstab.source_rules import check_sources
from guestrepair.analyzers.fstab.specs import from_entry, from_units
from guestrepair.analyzers.fstab.target_rules import check_targets
from guestrepair.analyzers.fstab.text_rules import check_missing
from guestrepair.analyzers.fstab.type_rules import check_types
from guestrepair.model import Finding, Inconclusive


def analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    """Judge the tables of one guest."""
    facts = gather(context)
    yield from check_missing(facts)
    yield from check_crypttab(facts)
    yield from judge_as_mended(facts, judge_lines)
    for reason in facts.unread:
        yield Inconclusive("fstab", reason)


def judge_lines(facts: Facts) -> Iterator[Finding | Inconclusive]:
    """All rules on lines that parse, and on the mount units."""
    entries = facts.table.entries if facts.table is not None else ()
    specs = [from_entry(facts, FSTAB, e) for e in entries]
    judged = judge(facts, [*specs, *from_units(facts)])
    yield from check_sources(facts, judged)
    yield from check_mapper(facts, judged)
    yield from check_types(facts, judged)
    yield from check_targets(facts, judged)
    yield from check_files(facts, judged)
    yield from check_root_line(facts)


ANALYZER = Analyzer(
    name="fstab",
    summary="mounts, swap and encrypted devices that boot waits for",
    rules=declarations.ALL,
    analyze=analyze,
    late=True,
)

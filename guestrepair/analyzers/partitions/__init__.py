"""Partition tables: is what firmware and kernel will read there, and is it sound?

What it finds: a damaged copy of the GPT, a wrong record in front of it,
partitions that overlap or end behind the disk, a disk that has grown, and what
booting needs of the table (active flag, BIOS boot partition, EFI system
partition). Why it matters: with the table gone or ignored nothing boots, though
every file is intact.

Evidence: the bytes of the disks' first and last sectors, and what discovery
found on each partition. Repairs are single ranges of bytes, all of safety
``review``. Limits: MBR, hybrid MBR and GPT; the guest's own disks only, not
donors; sectors of the size that the disk is attached with.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.analyzers.partitions import booting, gpt, layout
from guestrepair.errors import GuestReadError
from guestrepair.model import Finding, Inconclusive
from guestrepair.system.fact import Unreadable

_NAME = "partitions"

NOT_UNDERSTOOD = not_understood(
    _NAME,
    "A disk whose partition table is neither GPT nor MBR: its partitions are used, the table is not judged.",
    example="a disk with a BSD label",
    sources=("parted(8), mklabel",),
)


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """Judge the table of every disk of the guest; a disk that cannot be read is inconclusive."""
    for table in context.system.partitions.tables:
        if isinstance(table, Unreadable):
            yield Inconclusive(_NAME, table.error.message)
            continue
        for findings in (gpt.check(table), layout.check(table), booting.check(context.system, table)):
            try:
                yield from findings
            except GuestReadError as error:
                yield Inconclusive(_NAME, error.message)


def check_kinds(context: Context) -> Iterator[Finding]:
    """not-understood."""
    yield from notes(NOT_UNDERSTOOD, context.system.partitions.strange)


ANALYZER = Analyzer(
    name=_NAME,
    summary="partition tables: damaged, overlapping, cut off, or not bootable",
    rules=(*gpt.RULES, *layout.RULES, *booting.RULES, NOT_UNDERSTOOD),
    checks=(check, check_kinds),
    needs_system=False,
)

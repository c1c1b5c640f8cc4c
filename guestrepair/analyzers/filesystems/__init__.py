"""Filesystems: sound, clean, with room?

What it finds: filesystems with errors recorded by the kernel, not unmounted
cleanly, damaged as their own checkers see it, without room, or with a damaged
superblock of which a copy works. Why it matters: the boot stops where a
filesystem cannot be checked or found.

Evidence: superblocks and journals as discovery read them before anything was
mounted, statvfs, and the checkers' own words. Checkers run, without writing, on the
guest's own filesystems that are dirty or have errors recorded, on whatever does not
mount, and with ``--deep`` on everything given.
Repairs: the filesystem's own checker, safety ``review``; room is never made by
the tool. Limits: ext, XFS, btrfs and FAT have checkers here; filesystems of data
disks are judged by their superblocks only, unless ``--deep``.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.filesystems import space, state, superblocks
from guestrepair.model import Finding, Inconclusive


def analyze(context: Context) -> Iterator[Finding | Inconclusive]:
    """Judge every filesystem; what cannot be read or checked is inconclusive."""
    yield from superblocks.check(context)
    yield from state.check(context)
    yield from space.check(context)


ANALYZER = Analyzer(
    name="filesystems",
    summary="filesystems: damaged, dirty, full, or with a damaged superblock",
    rules=(*state.RULES, *space.RULES, *superblocks.RULES),
    analyze=analyze,
    late=True,
    needs_system=False,
)

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

from guestrepair.analyzers.base import Analyzer
from guestrepair.analyzers.filesystems import space, state, superblocks

ANALYZER = Analyzer(
    name="filesystems",
    summary="filesystems: damaged, dirty, full, or with a damaged superblock",
    rules=(*state.RULES, *space.RULES, *superblocks.RULES),
    checks=(superblocks.check, state.check, space.check),
    late=True,
    last=True,  # it also judges what the others could not read
    needs_system=False,
)

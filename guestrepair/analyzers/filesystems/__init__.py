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
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.model import Finding, GuestPath
from guestrepair.system.mounts import types
from guestrepair.system.strange import Strange

NOT_UNDERSTOOD = not_understood(
    "filesystems",
    "A mounted filesystem of a type that is not known here: neither its state nor its damage can be told.",
    example="a root filesystem of a type newer than this program",
    sources=("filesystems(5)",),
)


def check_types(context: Context) -> Iterator[Finding]:
    """not-understood."""
    found = dict.fromkeys((m.source, m.type) for m in context.system.mounted if not types.is_known(m.type))
    what = "a type of filesystem"
    yield from notes(NOT_UNDERSTOOD, (Strange(GuestPath(s), 0, name, what) for s, name in found))


ANALYZER = Analyzer(
    name="filesystems",
    summary="filesystems: damaged, dirty, full, or with a damaged superblock",
    rules=(*state.RULES, *space.RULES, *superblocks.RULES, NOT_UNDERSTOOD),
    checks=(superblocks.check, state.check, space.check, check_types),
    late=True,
    last=True,  # it also judges what the others could not read
    needs_system=False,
)

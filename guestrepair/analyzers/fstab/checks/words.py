"""not-understood: options, types and lines of crypttab that are not known here."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.fstab.options import not_known
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.model import Finding
from guestrepair.system.mounts import Mounts, types
from guestrepair.system.strange import Strange

NOT_UNDERSTOOD = not_understood(
    "fstab",
    "A mount option that neither mount(8) nor the filesystem is known to have and that no other option is"
    " near to (ext, xfs, btrfs, FAT, overlay, tmpfs, swap); the type of a mount unit or of a line that boot"
    " does not wait for; a line of crypttab without a device.",
    example="UUID=… /data ext4 defaults,fast-please 0 2",
    sources=("mount(8), Filesystem-specific mount options", "crypttab(5)"),
)


def check_words(context: Context) -> Iterator[Finding]:
    """not-understood."""
    mounts = context.system.mounts
    yield from notes(NOT_UNDERSTOOD, (*_of_mounts(mounts), *mounts.strange_crypt))


def _of_mounts(mounts: Mounts) -> Iterator[Strange]:
    for spec in mounts.specs:
        if not types.is_known(spec.type) and (spec.entry is None or not spec.required):
            yield Strange(spec.file, spec.number, spec.type, "a type of filesystem")
        for option in not_known(spec.type, spec.options):
            yield Strange(spec.file, spec.number, option, f"an option of {spec.type}")

"""not-understood: commands and keys of the boot loader's configurations that are not known here."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.model import Finding

NOT_UNDERSTOOD = not_understood(
    "boot",
    "A command of grub.cfg that GRUB does not have and that no function of the file defines, or a key of a"
    " boot loader entry that no loader knows. GRUB prints an error for it and goes on.",
    example="serach --fs-uuid --set=root … in grub.cfg",
    sources=("GNU GRUB manual, The list of commands", "Boot Loader Specification, Type #1"),
)
RULES = (NOT_UNDERSTOOD,)


def check(context: Context) -> Iterator[Finding]:
    """Words of the menus and entries."""
    yield from notes(NOT_UNDERSTOOD, context.system.boot_loader.strange)

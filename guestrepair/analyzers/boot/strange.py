"""not-understood: commands and keys of the boot loader's configurations that are not known here."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.not_understood import not_understood, notes
from guestrepair.model import Finding
from guestrepair.system.strange import Strange

NOT_UNDERSTOOD = not_understood(
    "boot",
    "A command of grub.cfg that GRUB does not have and that no function of the file defines, or a key of a"
    " boot loader entry that no loader knows; a default kernel that is no kind of image that is known. GRUB"
    " passes over such a command with an error.",
    example="serach --fs-uuid --set=root … in grub.cfg",
    sources=("GNU GRUB manual, The list of commands", "Boot Loader Specification, Type #1"),
)
RULES = (NOT_UNDERSTOOD,)


def check(context: Context) -> Iterator[Finding]:
    """Words of the menus and entries."""
    loader = context.system.boot_loader
    yield from notes(NOT_UNDERSTOOD, loader.strange)
    entry = loader.default.entry if loader.default is not None else None
    word = entry.entry.kernel if entry is not None else None
    path = loader.find(word, entry) if entry is not None and word is not None else None
    image = context.system.kernels.image(path) if path is not None else None
    if path is not None and image is not None and not image.problem and not image.is_known:
        yield from notes(NOT_UNDERSTOOD, [Strange(path, 0, "its beginning", "that of a kernel image")])

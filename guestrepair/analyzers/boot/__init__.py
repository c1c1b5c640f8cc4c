"""The boot chain: from firmware to the root filesystem, is every link there?

What it finds: missing stages of the boot loader, menus without a usable entry,
kernels and initramfs images that are missing or cut off, missing modules and drivers, and
names of filesystems that no disk has. Why it matters: each of them stops the
boot before there is anything to log in to.

Evidence: the loader's configuration (GRUB, Boot Loader Specification, extlinux),
the files that it names, boot sectors and the EFI system partition. Repairs: text
edits of UUIDs and restored files are ``safe``; another default entry, and all that
runs the guest's own programs, is ``review``. Limits: x86 images are measured by
their headers, other architectures only by being there; a guest without any boot
loader (containers, directly booted kernels) gets a note.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Analyzer, Context
from guestrepair.analyzers.boot import (
    arguments,
    drivers,
    efi,
    init,
    kernels,
    loaders,
    rootless,
    roots,
    settings,
    strange,
    too_new,
    without_initramfs,
)
from guestrepair.model import Inconclusive
from guestrepair.system.fact import Unreadable


def _unread(context: Context) -> Iterator[Inconclusive]:
    """Every configuration that could not be read: what it names was not looked at."""
    loader = context.system.boot_loader
    files = (file for file in loader.kernel_cmdlines if isinstance(file, Unreadable))
    for message in dict.fromkeys(each.error.message for each in (*loader.unread_menus, *files)):
        yield Inconclusive("boot", message)


ANALYZER = Analyzer(
    name="boot",
    summary="boot chain: loader, menu, kernel, initramfs, modules, root device",
    rules=(
        *kernels.RULES,
        *drivers.RULES,
        *roots.RULES,
        *loaders.RULES,
        *efi.RULES,
        *without_initramfs.RULES,
        *settings.RULES,
        *init.RULES,
        *too_new.RULES,
        *strange.RULES,
    ),
    checks=(
        kernels.check,
        drivers.check,
        drivers.unjudged,
        roots.check,
        rootless.check,
        without_initramfs.check,
        loaders.check_menu,
        loaders.check_stages,
        efi.check,
        settings.check,
        arguments.check,
        init.check,
        too_new.check,
        strange.check,
        _unread,
    ),
    late=True,
)

"""Words of the boot loader's configurations that no loader has a meaning for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from guestrepair.formats.bootloader.vocabulary import unknown_commands, unknown_keys
from guestrepair.system.boot_loader.model import Configuration, Kind
from guestrepair.system.strange import Strange


def strange_words(configurations: Iterable[Configuration]) -> Iterator[Strange]:
    """Commands of GRUB's menus, and keys of boot loader entries, that are not known here."""
    for each in configurations:
        if b"\0" in each.data:
            continue  # a damaged file has findings of its own
        if each.kind in {Kind.GRUB, Kind.GRUB_STUB}:
            for line, name in unknown_commands(each.data):
                yield Strange(each.path, line, name, "a command of GRUB")
        elif each.kind is Kind.BLS:
            for line, key in unknown_keys(each.data):
                yield Strange(each.path, line, key, "a key of a boot loader entry")

"""Which entry a boot loader starts unless told otherwise, and why.

Sources: GNU GRUB manual, "default" and grub-core/normal/menu.c, get_entry_number(); the Boot Loader
Specification, "Sorting"; loader.conf(5); the Syslinux manual, DEFAULT; GRUB Legacy's manual, "default".
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from guestrepair.formats.bootloader import BootEntry
from guestrepair.guest.view import MAX_PATTERN
from guestrepair.system.boot_loader.model import Configuration, Default, Entry, Kind

_INDEX = re.compile(r"[0-9]{1,6}")
_VERSION_PARTS = re.compile(r"[0-9]+|[^0-9]+")
_LONGEST_VERSION = 256
_SAVED = (b"${saved_entry}", b"$saved_entry")
_BETWEEN_MENUS = re.compile(r"(?<!>)>(?!>)")


def by_version(entry: Entry) -> tuple[tuple[int, int | str], ...]:
    """A key that sorts Boot Loader Specification entries by version: numbers by their value."""
    text = entry.entry.version or entry.entry.identifier
    words = _VERSION_PARTS.findall(text[:_LONGEST_VERSION])
    return tuple((1, int(word)) if word[0] in "0123456789" else (0, word) for word in words)


# --- GRUB -------------------------------------------------------------------------------


def asked_of_grub(menu: Configuration) -> tuple[str, str]:
    """What a GRUB menu's default is said to be, and what says so; ("", "") where nothing does."""
    block = menu.path.with_name("grubenv" if menu.kind is Kind.GRUB else "default")
    saved = menu.environment.get("saved_entry", "")
    if saved and uses_saved_entry(menu):
        return saved, f"saved_entry in {block}"
    written = menu.parsed.default.text if menu.parsed.default is not None else ""
    if written and not (menu.kind is Kind.GRUB_LEGACY and written == "saved"):
        return written, f"default in {menu.path}"
    return "", ""


def uses_saved_entry(menu: Configuration) -> bool:
    """True when the entry in the environment block decides."""
    if menu.kind is Kind.GRUB_LEGACY:
        return menu.parsed.default is not None and menu.parsed.default.text == "saved"
    return any(name in menu.data for name in _SAVED)


def selected(entries: Sequence[BootEntry], wanted: str) -> BootEntry | None:
    """The entry that GRUB's ``default`` means: a number, a title or an identifier, ``>`` between menus.

    A submenu boots its first entry.
    """
    inside = list(entries)
    for depth, name in enumerate(_BETWEEN_MENUS.split(wanted)):
        items = _items(inside, depth)
        found = _named(items, name.replace(">>", ">"), depth)
        if found is None:
            return None
        inside = found
    return inside[0] if inside else None


def _items(entries: Sequence[BootEntry], depth: int) -> list[list[BootEntry]]:
    """What one menu shows: entries, and submenus with all that is in them."""
    items: list[list[BootEntry]] = []
    open_menu: tuple[str, str] | None = None
    for entry in entries:
        if len(entry.parents) <= depth:
            if len(entry.parents) == depth:
                items.append([entry])
            open_menu = None
            continue
        menu = entry.parents[depth], entry.parent_names[depth]
        if menu == open_menu:
            items[-1].append(entry)
        else:
            items.append([entry])
        open_menu = menu
    return items


def _named(items: Sequence[list[BootEntry]], name: str, depth: int) -> list[BootEntry] | None:
    if _INDEX.fullmatch(name):
        return items[int(name)] if int(name) < len(items) else None
    return next((item for item in items if name and name in _names(item[0], depth)), None)


def _names(first: BootEntry, depth: int) -> set[str]:
    """Title and identifier of an entry, or of the submenu that it is the first of."""
    if len(first.parents) > depth:
        return {first.parents[depth], first.parent_names[depth]}
    return {first.title, first.identifier}


def of_grub(menu: Configuration, entries: Sequence[Entry]) -> Default | None:
    """The default of a GRUB menu that shows these entries (those of ``blscfg`` first); None without any."""
    shown = [e.entry for e in entries]
    if not any(entry.kernel for entry in shown):
        return None
    wanted, why = asked_of_grub(menu)
    found = selected(shown, wanted or "0")
    if found is not None and wanted:
        return Default(_bootable(entries, found), why)
    return Default(_first(entries), "the first entry", missing=wanted)


def _bootable(entries: Sequence[Entry], found: BootEntry) -> Entry | None:
    return next((e for e in entries if e.entry is found and found.kernel is not None), None)


def _first(entries: Sequence[Entry]) -> Entry | None:
    usual = (e for e in entries if e.entry.kernel and not (e.kind is Kind.BLS and e.is_rescue))
    return next(usual, next((e for e in entries if e.entry.kernel), None))


# --- others -----------------------------------------------------------------------------


def of_extlinux(menu: Configuration, entries: Sequence[Entry]) -> Default | None:
    """The default label of extlinux; where it is a module (a menu to choose from), the first."""
    if not entries:
        return None
    wanted = menu.parsed.default.text if menu.parsed.default is not None else ""
    found = next((e for e in entries if wanted and wanted in {e.entry.identifier, e.entry.title}), None)
    if found is not None:
        return Default(found, f"default in {menu.path}")
    is_module = wanted.lower().partition(" ")[0].endswith(".c32")
    return Default(_first(entries), "the first entry", missing="" if is_module else wanted)


def of_entries(
    entries: Sequence[Entry], conf: Configuration | None, unified: Sequence[str] = ()
) -> Default | None:
    """The default of a loader that reads the entries itself: loader.conf's pattern, else the newest.

    ``unified`` are the names of unified kernels, which the pattern may mean as well.
    """
    if not entries:
        return None
    wanted = conf.parsed.default.text if conf is not None and conf.parsed.default is not None else ""
    pattern = wanted if len(wanted) <= MAX_PATTERN and not wanted.startswith("@") else ""
    if conf is not None and pattern:
        for entry in entries:
            if _fits(entry.path.name, pattern):
                return Default(entry, f"default in {conf.path}")
        if any(_fits(name, pattern) for name in unified):
            return Default(None, f"default in {conf.path}")
    return Default(_first(entries), "the highest version", missing=pattern)


def _fits(name: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(n, pattern) for n in (name, name.rpartition(".")[0]))

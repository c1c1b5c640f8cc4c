"""Adding words to the kernel's command line: in the default entry, and in what menus are made from."""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.model import Edit, EditFile, Repair, Safety
from guestrepair.system.boot_loader import Entry
from guestrepair.system.boot_loader.places import DEFAULT_GRUB
from guestrepair.system.guest_system import System


def added(system: System, entry: Entry, words: Sequence[str]) -> Repair:
    """These words at the end of the default entry's arguments, and of those that the menu is made from."""
    text = " ".join(words)
    of_entry = _at_end_of_entry(entry, text)
    if of_entry is None:
        return Repair(
            f"add {text} to the kernel's arguments: grubby --update-kernel=ALL --args='{text}', or in"
            f" {DEFAULT_GRUB} and update-grub",
            Safety.MANUAL,
        )
    of_default = _in_default_grub(system, text)
    also = f" and to GRUB_CMDLINE_LINUX in {DEFAULT_GRUB}" if of_default is not None else ""
    changes = (of_entry,) if of_default is None else (of_entry, of_default)
    return Repair(f"add {text} to the default entry in {entry.path}{also}", Safety.REVIEW, changes)


def _at_end_of_entry(entry: Entry, text: str) -> EditFile | None:
    found = entry.entry
    end = found.cmdline_offset + found.cmdline_length
    if found.uses_variables or not found.cmdline_length or b"$" in entry.data[found.cmdline_offset : end]:
        return None
    if any(p.name == "--" and p.value is None for p in found.cmdline.parameters):
        return None  # what stands at the end is init's
    edit = Edit(offset=end, length=0, text=b" " + text.encode())
    return EditFile(path=entry.path, before=entry.data, edits=(edit,))


def _in_default_grub(system: System, text: str) -> EditFile | None:
    """Into the quotes of the last plain GRUB_CMDLINE_LINUX="…"; None where it is written in another way."""
    data = system.boot_loader.default_grub_data
    lines = [a for a in system.boot_loader.default_grub if a.name == "GRUB_CMDLINE_LINUX"]
    if data is None or not lines or any(line.appends for line in lines):
        return None
    at, size = lines[-1].value.offset, lines[-1].value.length
    if not size and data[at - 2 : at] in {b'""', b"''"}:
        end, space = at - 1, b""
    elif size and data[at - 1 : at] == data[at + size : at + size + 1] and data[at - 1 : at] in {b'"', b"'"}:
        end, space = at + size, b" "
    else:
        return None
    edit = Edit(offset=end, length=0, text=space + text.encode())
    return EditFile(path=DEFAULT_GRUB, before=data, edits=(edit,))

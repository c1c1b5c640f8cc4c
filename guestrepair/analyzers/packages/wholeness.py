"""Is content that differs from the package's damage, or somebody's change?

A digest cannot tell. Some content can: an ELF file that ends before the data that its own headers
name, or a program that begins with nothing but NUL bytes, is what a crash, a full disk or a bad copy
leaves behind. Nobody made that on purpose, and it cannot run, so its restore needs no review.
"""

from __future__ import annotations

from guestrepair.errors import GuestReadError
from guestrepair.formats.elf import MAGIC, needed_size
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

_HEAD_BYTES = 4096


def damage(guest: Guest, path: str, *, is_program: bool) -> str:
    """What shows that the file is damaged, in words; empty where a person may have changed it."""
    place = GuestPath(path)
    stat = guest.lstat(place)
    if stat is None or not stat.is_file:
        return ""
    try:
        head = guest.read_range(place, 0, _HEAD_BYTES)
    except GuestReadError:
        return ""
    if is_program and head and not head.strip(b"\0"):
        return f"its first {len(head)} bytes are NUL"
    if not is_program and not head.startswith(MAGIC):
        return ""
    needed = needed_size(head)
    if needed > stat.size_bytes:
        return f"it ends at byte {stat.size_bytes}, and its own headers name data up to byte {needed}"
    return ""

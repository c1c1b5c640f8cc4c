"""Units and configuration files of systemd that are masked: a link to /dev/null, or an empty file.

systemd follows the link before it looks (``null_or_empty_path()``), so a relative one and a chain of links
mask as well. /dev of an image at rest is empty: what a link leads to is worked out, not opened.
Source: systemd.unit(5), "If a unit file is empty … or is symlinked to /dev/null".
"""

from __future__ import annotations

import posixpath

from guestrepair.guest.view import MAX_LINKS, Guest
from guestrepair.model import GuestPath

_NULL = "/dev/null"


def leads_to_null(guest: Guest, path: GuestPath) -> bool:
    """True for a link to /dev/null, by whatever way it names it."""
    place = guest.resolve_parent(path)
    for _ in range(MAX_LINKS):
        found = guest.lstat(place) if place is not None else None
        if place is None or found is None or not found.is_symlink:
            return False
        target = place.parent / guest.readlink(place)
        if f"/{posixpath.normpath(target).lstrip('/')}" == _NULL:
            return True
        place = guest.resolve_parent(target)
    return False


def is_masked(guest: Guest, path: GuestPath) -> bool:
    """True for a unit file, or a link to one, that is there and masks the unit of its name."""
    if leads_to_null(guest, path):
        return True
    found = guest.stat(path)
    return found is not None and found.is_file and found.size_bytes == 0

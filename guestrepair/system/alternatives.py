"""The alternatives that dpkg's update-alternatives(1) keeps: one name, its links, the candidates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from guestrepair.formats.dpkg_alternatives import Alternative, parse_alternative
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt

DIRECTORY = GuestPath("/var/lib/dpkg/alternatives")
LINKS = GuestPath("/etc/alternatives")


def read_alternatives(guest: Guest) -> Iterator[Alternative | Unreadable]:
    """Each of them, sorted by name; none where nothing keeps them."""
    if not guest.is_directory(DIRECTORY):
        return
    for name in guest.listdir(DIRECTORY):
        yield attempt(partial(_read, guest, name), DIRECTORY / name)


def _read(guest: Guest, name: str) -> Alternative:
    return parse_alternative(name, guest.read(DIRECTORY / name))

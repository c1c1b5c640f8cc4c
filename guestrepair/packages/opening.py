"""Find out which package database a guest has, and open it."""

from __future__ import annotations

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.base import PackageDatabase
from guestrepair.packages.dpkg_open import open_dpkg

DPKG_DIRECTORY = GuestPath("/var/lib/dpkg")


def open_database(guest: Guest) -> PackageDatabase | None:
    """The guest's package database, read in a few bulk calls; None when it has none that is known.

    What could not be read of an otherwise good database is in its ``damage``.

    Raises:
        GuestReadError: there is one, and it cannot be read.
        FormatError: there is one, and it does not parse.
    """
    if guest.is_directory(DPKG_DIRECTORY):
        return open_dpkg(guest)
    return None

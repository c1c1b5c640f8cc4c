"""Find out which package database a guest has, and open it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from guestrepair.guest.package_formats import format_left, format_there
from guestrepair.guest.view import Guest
from guestrepair.packages.base import PackageDatabase
from guestrepair.packages.dpkg_open import open_dpkg
from guestrepair.packages.listed import open_apk, open_pacman
from guestrepair.packages.rpm_open import open_rpm

_READERS: Mapping[str, Callable[[Guest], PackageDatabase]] = {
    "deb": open_dpkg,
    "rpm": open_rpm,
    "apk": open_apk,
    "pacman": open_pacman,
}
"""One for each row of :data:`guestrepair.guest.package_formats.PACKAGE_FORMATS`."""


def open_database(guest: Guest) -> PackageDatabase | None:
    """The guest's package database, read in a few bulk calls; None when it has none that is known.

    The operating system says which one is meant; where it does not, what is
    there does. What could not be read of an otherwise good database is in its ``damage``.

    Raises:
        GuestReadError: there is one, and it cannot be read.
        FormatError: there is one (or there must be), and it does not parse.
        BindingError: this host lacks what reads it.
    """
    read = _READERS.get(guest.os.package_format or format_there(guest) or format_left(guest))
    return None if read is None else read(guest)

"""Find out which package database a guest has, and open it."""

from __future__ import annotations

from guestrepair.errors import FormatError
from guestrepair.guest.view import Guest
from guestrepair.packages.base import PackageDatabase
from guestrepair.packages.dpkg_open import DIRECTORY as DPKG_DIRECTORY
from guestrepair.packages.dpkg_open import open_dpkg
from guestrepair.packages.listed import APK, APK_USR, PACMAN, open_apk, open_pacman
from guestrepair.packages.rpm_open import find_rpm, open_rpm


def open_database(guest: Guest) -> PackageDatabase | None:
    """The guest's package database, read in a few bulk calls; None when it has none that is known.

    The operating system says which one is meant; where it does not, what is
    there does. What could not be read of an otherwise good database is in its ``damage``.

    Raises:
        GuestReadError: there is one, and it cannot be read.
        FormatError: there is one (or there must be), and it does not parse.
    """
    wanted = guest.os.package_format
    if wanted == "rpm" or (not wanted and find_rpm(guest) is not None):
        return open_rpm(guest)
    if wanted == "apk" or (not wanted and (guest.exists(APK) or guest.exists(APK_USR))):
        return open_apk(guest)
    if wanted == "pacman" or (not wanted and guest.is_directory(PACMAN)):
        return open_pacman(guest)
    if guest.is_directory(DPKG_DIRECTORY):
        return open_dpkg(guest)
    if wanted == "deb":
        hint = "restore the directory from a backup of the guest"
        raise FormatError(f"{DPKG_DIRECTORY} is missing: dpkg's database is gone", hint=hint)
    return None

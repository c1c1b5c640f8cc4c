"""The package databases that are known, one row each: how one is recognized, and what is true of its kind.

What reads a database is in packages/ (:mod:`guestrepair.packages.opening` has the reader of each row).
Sources: dpkg(1) FILES; rpm(8) and rpm's ``macros.in`` (``_dbpath``); apk(8) FILES; pacman(8) CONFIGURATION.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath


def _paths(*names: str) -> tuple[GuestPath, ...]:
    return tuple(map(GuestPath, names))


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFormat:
    """One kind of database.

    ``place`` is what a message names; ``markers`` any of which shows that there is one; ``directories``
    those that are a sign of a system's root; ``distributions`` the IDs of os-release(5) that have it even
    when it is lost. ``records_attributes``: it knows the mode and owner of a path. ``damage_hint`` is what
    an administrator can do about a damaged one. ``suffixes`` and ``caches``: its package files, and where
    its tools keep those that they have fetched.
    """

    name: str
    place: GuestPath
    markers: tuple[GuestPath, ...]
    directories: tuple[GuestPath, ...]
    distributions: frozenset[str]
    damage_hint: str
    suffixes: tuple[str, ...]
    caches: tuple[GuestPath, ...]
    records_attributes: bool = True


_RPM_MAIN = ("rpmdb.sqlite", "Packages.db", "Packages")
RPM_DIRECTORIES = _paths("/usr/lib/sysimage/rpm", "/var/lib/rpm")
"""Where rpm's database lies: newer systems have it in /usr, with a link from /var."""

PACKAGE_FORMATS = (
    PackageFormat(
        name="deb",
        place=GuestPath("/var/lib/dpkg/status"),
        markers=_paths("/var/lib/dpkg/status", "/var/lib/dpkg/info"),
        directories=_paths("/var/lib/dpkg"),
        distributions=frozenset({"debian", "ubuntu"}),
        damage_hint="put a good copy in its place: /var/lib/dpkg/status-old, or the newest "
        "/var/backups/dpkg.status.*",
        suffixes=(".deb",),
        caches=_paths("/var/cache/apt/archives"),
        records_attributes=False,
    ),
    PackageFormat(
        name="rpm",
        place=GuestPath("/var/lib/rpm"),
        markers=tuple(directory / name for directory in RPM_DIRECTORIES for name in _RPM_MAIN),
        directories=RPM_DIRECTORIES,
        distributions=frozenset(
            {"fedora", "rhel", "centos", "rocky", "almalinux", "amzn", "ol", "suse", "opensuse", "sles"}
        ),
        damage_hint="copy /var/lib/rpm away, then run rpm --rebuilddb in the running guest or a chroot",
        suffixes=(".rpm",),
        caches=_paths("/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum", "/var/cache/zypp/packages"),
    ),
    PackageFormat(
        name="apk",
        place=GuestPath("/lib/apk/db/installed"),
        markers=_paths("/lib/apk/db/installed", "/usr/lib/apk/db/installed"),
        directories=_paths("/lib/apk/db"),
        distributions=frozenset({"alpine"}),
        damage_hint="restore /lib/apk/db from a backup of the guest",
        suffixes=(".apk",),
        caches=_paths("/var/cache/apk"),
    ),
    PackageFormat(
        name="pacman",
        place=GuestPath("/var/lib/pacman/local"),
        markers=_paths("/var/lib/pacman/local"),
        directories=_paths("/var/lib/pacman"),
        distributions=frozenset({"arch"}),
        damage_hint="restore /var/lib/pacman/local from a backup, or reinstall from the log of pacman",
        suffixes=(".pkg.tar.zst", ".pkg.tar.xz", ".pkg.tar.gz", ".pkg.tar"),
        caches=_paths("/var/cache/pacman/pkg"),
    ),
)


def format_named(name: str) -> PackageFormat | None:
    """The kind of that name; None where there is none (a guest without packages has the name "")."""
    return next((each for each in PACKAGE_FORMATS if each.name == name), None)


def format_there(guest: Guest) -> str:
    """The name of the first kind of which a database is there; "" where none is."""
    return next((each.name for each in PACKAGE_FORMATS if any(map(guest.exists, each.markers))), "")


def format_left(guest: Guest) -> str:
    """The name of the first kind of which no more than its directory is left; "" where none is."""
    return next((each.name for each in PACKAGE_FORMATS if any(map(guest.is_directory, each.directories))), "")


def format_of(distributions: tuple[str, ...]) -> str:
    """The name of the kind that a distribution has: a lost database does not change what the system is."""
    known = {name: each.name for each in PACKAGE_FORMATS for name in each.distributions}
    return next((known[name] for name in distributions if name in known), "")

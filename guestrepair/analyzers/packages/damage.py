"""Findings for the package database itself."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context
from guestrepair.model import Evidence, Finding, Repair, Safety, Severity

_PLACES = {
    "deb": "/var/lib/dpkg/status",
    "rpm": "/var/lib/rpm",
    "apk": "/lib/apk/db/installed",
    "pacman": "/var/lib/pacman/local",
}
_HINTS = {
    "deb": "put a good copy in its place: /var/lib/dpkg/status-old, or the newest /var/backups/dpkg.status.*",
    "rpm": "copy /var/lib/rpm away, then run rpm --rebuilddb in the running guest or a chroot",
    "apk": "restore /lib/apk/db from a backup of the guest",
    "pacman": "restore /var/lib/pacman/local from a backup, or reinstall from the log of pacman",
}


def damaged_database(context: Context) -> Iterator[Finding]:
    """A database that cannot be read at all, or each damaged part of one that can."""
    kind = context.guest.os.package_format
    if context.packages is None:
        if context.packages_error:
            yield Finding(
                "packages/database-damaged",
                Severity.ERROR,
                _PLACES.get(kind, "/"),
                f"the package database cannot be read: {context.packages_error}",
                (Evidence("package database", context.packages_error, "a database that names its packages"),),
                Repair(_HINTS.get(kind, "restore it from a backup of the guest"), Safety.MANUAL),
            )
        return
    for part in context.packages.damage:
        yield Finding(
            "packages/database-damaged",
            Severity.ERROR,
            part.path,
            f"{part.path} {part.reason}",
            (Evidence("package database", part.reason, "readable and complete"),),
            Repair(part.hint or _HINTS[context.packages.format], Safety.MANUAL),
        )

"""What the packages of Debian's family set setuid, and where files must not belong to a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath, PackagedKind
from guestrepair.packages.base import PackageDatabase, PackagedFile
from guestrepair.packages.debian_attributes import AFTER_INSTALLATION, SETUID, Installed
from guestrepair.packages.debian_attributes import Installed as Known


def known_attributes(guest: Guest, database: PackageDatabase) -> Iterator[tuple[PackagedFile, Stat]]:
    """Setuid and setgid programs that lost their bit or group; stat overrides go before the table."""
    table: dict[str, Known] = SETUID | {p: k for p, k in AFTER_INSTALLATION.items() if k.mode & 0o6000}
    stats = guest.lstat_many(GuestPath(path) for path in table)
    for path, known in table.items():
        stat = stats[GuestPath(path)]
        if stat is None or not stat.is_file or not _lost(known, stat):
            continue
        for file in database.lookup(path):
            if file.mode is None:
                yield (
                    replace(
                        file, kind=PackagedKind.FILE, mode=known.mode, owner=known.owner, group=known.group
                    ),
                    stat,
                )


def _lost(known: Installed, stat: Stat) -> bool:
    return (known.mode & 0o6000) != (stat.permissions & 0o6000) and bool(
        known.mode & ~stat.permissions & 0o6000
    )

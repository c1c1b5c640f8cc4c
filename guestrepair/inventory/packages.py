"""The installed packages, as the database has them."""

from __future__ import annotations

from guestrepair.inventory import model
from guestrepair.inventory.accounts import Lost
from guestrepair.packages.base import PackageDatabase


def packages(database: PackageDatabase, lost: Lost) -> tuple[model.InstalledPackage, ...]:
    """Every package whose files are unpacked, sorted by name, version and architecture.

    One whose installation broke off has the word of the database for how far it came.
    """
    for damage in database.damage:
        lost(f"{damage.path} {damage.reason}")
    states = {unfinished.package: unfinished.state for unfinished in database.unfinished}
    rows = [model.InstalledPackage.of(p, states.get(p, "installed")) for p in database.packages]
    return tuple(sorted(rows, key=lambda p: (p.name, p.version, p.architecture)))

"""What many systems are compared by: the kernel that boots, and the packages with their versions."""

from __future__ import annotations

from collections.abc import Iterable

from guestrepair.inventory.boot import kernels
from guestrepair.inventory.model import Brief
from guestrepair.packages.base import Package, PackageDatabase
from guestrepair.system.guest_system import System


def brief(system: System, database: PackageDatabase | None) -> Brief:
    """The facts of one system; what is not known is empty.

    Several versions of one package, as of kernels, are one text with commas between.

    Raises:
        GuestReadError: the boot loader or the kernels cannot be read.
    """
    found = kernels(system)
    booted = next((kernel for kernel in found if kernel.default), found[-1] if len(found) == 1 else None)
    return Brief(
        kernel="" if booted is None else booted.release,
        packages=_versions(() if database is None else database.packages),
    )


def _versions(packages: Iterable[Package]) -> dict[str, str]:
    versions: dict[str, set[str]] = {}
    for package in packages:
        versions.setdefault(package.name, set()).add(package.version)
    return {name: ", ".join(sorted(found)) for name, found in sorted(versions.items())}

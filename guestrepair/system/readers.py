"""What reads the guest's filesystems while it boots, in which version: its kernel, GRUB, e2fsck.

Versions are those of the package database. A vendor's GRUB or kernel may know more than its version says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from guestrepair.packages.base import PackageDatabase
from guestrepair.system.fact import fact

Numbers: TypeAlias = tuple[int, ...]

_GRUB = (
    "grub-pc-bin", "grub-efi-amd64-bin", "grub-efi-arm64-bin", "grub-common", "grub2-common",
    "grub2-tools-minimal", "grub2-tools", "grub2-pc", "grub2-efi-x64", "grub2", "grub", "grub-efi",
    "grub-bios",
)  # fmt: skip
_VERSION = re.compile(
    r"(?:[0-9]{1,6}:)?(?P<upstream>[0-9]{1,6}(?:[.~+][0-9]{1,6}){0,4})"
    r"(?:[^-]*-(?P<revision>[0-9]{1,6}))?"
)


@dataclass(frozen=True, slots=True)
class Reader:
    """A program and its version: as numbers, with the number that the distribution counts, and as written."""

    name: str
    version: Numbers
    revision: int
    text: str


class Readers:
    """The programs of one guest that have to understand its filesystems."""

    def __init__(self, packages: PackageDatabase | None) -> None:
        self._packages = packages

    @fact
    def checker(self) -> Reader | None:
        """e2fsck; None where no package says its version."""
        return self._first("e2fsprogs")

    @fact
    def grub(self) -> Reader | None:
        """GRUB; None where no package says its version."""
        return self._first(*_GRUB)

    def _first(self, *names: str) -> Reader | None:
        if self._packages is None:
            return None
        for name in names:
            package = self._packages.package(name)
            found = numbers_of(package.version) if package is not None else None
            if package is not None and found is not None:
                return Reader(name, found[0], found[1], package.version)
        return None


def numbers_of(version: str) -> tuple[Numbers, int] | None:
    """The upstream version and the distribution's revision, as numbers; None where it begins with none."""
    found = _VERSION.match(version)
    if found is None:
        return None
    upstream = tuple(int(part) for part in re.split(r"[.~+]", found["upstream"]))
    return upstream, int(found["revision"] or 0)

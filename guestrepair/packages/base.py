"""The one protocol behind which dpkg, rpm, apk and pacman databases stand.

Paths are kept as ``str`` here, not as path objects: a guest may have 300,000
of them, and the tool stays within 300 MB.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.model import PackagedKind


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package; ``version`` has epoch, version and release."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """What a database says of one path.

    ``digest`` is ``algorithm:hex``, empty where the database has none. ``mode`` has the permission bits
    only. None means that the database does not record it. ``flags`` are the database's own words
    (``config``, ``ghost``, ``missingok``, ``doc``, ``noreplace``, ``excluded``, ``override``, …).
    ``kind`` OTHER: a special file, or not recorded (dpkg knows no links). ``mtime``: seconds since the epoch.
    """

    path: str
    kind: PackagedKind
    package: Package
    digest: str = ""
    size_bytes: int | None = None
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    link_target: str | None = None
    capabilities: str | None = None
    flags: frozenset[str] = frozenset()
    mtime: int | None = None


@dataclass(frozen=True, slots=True)
class Damage:
    """One part of the database that is missing or unreadable; the rest of it could be read.

    ``hint`` is what the administrator can do, one line.
    """

    path: str
    reason: str
    hint: str = ""


class PackageDatabase(abc.ABC):
    """An installed system's package database. Only files that should be there are listed."""

    format: str
    """``deb``, ``rpm``, ``apk`` or ``pacman``."""
    packages: Sequence[Package]
    damage: Sequence[Damage] = ()

    @abc.abstractmethod
    def files(self) -> Iterator[PackagedFile]:
        """Every path that the database says is there, with diversions, exclusions and aliases applied."""

    @abc.abstractmethod
    def lookup(self, path: str) -> tuple[PackagedFile, ...]:
        """Every package's entry for one path (merged-/usr aliases understood); empty when nobody owns it."""

    def package(self, name: str) -> Package | None:
        """The installed package of that name, or None (the first, where several architectures are)."""
        return next((p for p in self.packages if p.name == name), None)

"""The one protocol behind which dpkg, rpm, apk and pacman databases stand.

Paths are kept as ``str`` here, not as path objects: a guest may have 300,000
of them, and the tool stays within 300 MB.
"""

from __future__ import annotations

import abc
import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guestrepair.guest.package_formats import format_named
from guestrepair.model import GuestPath, PackagedKind, RestoreFile
from guestrepair.packages.aliases import forms
from guestrepair.packages.places import Links, real_place


@dataclass(frozen=True, slots=True)
class Details:
    """What a database says of a package besides who it is; "" where it does not.

    ``source`` is what the package was built from, in the database's words (a name, NAME (VERSION), a source
    rpm). ``digest`` is ``algorithm:hex`` of the package's own description: of rpm's header, of apk's control
    part. No database has a digest of the whole package file.
    """

    license: str = ""
    source: str = ""
    digest: str = ""


NO_DETAILS = Details()


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package; ``version`` has epoch, version and release."""

    name: str
    version: str
    architecture: str
    details: Details = field(default=NO_DETAILS, compare=False, repr=False)


class Flag(enum.StrEnum):
    """What a database says of a path beside its attributes, in its own words.

    Sources: rpm's ``include/rpm/rpmfiles.h`` (attributes, states, verify flags); dpkg-divert(1),
    dpkg-statoverride(1), dpkg(1) ``--path-exclude``; pacman's ``backup``, apk's protected paths.
    """

    CONFIG = "config"
    DOC = "doc"
    MISSING_OK = "missingok"
    NO_REPLACE = "noreplace"
    GHOST = "ghost"
    LICENSE = "license"
    README = "readme"
    ARTIFACT = "artifact"
    REPLACED = "replaced"
    """Another package's file lies in its place."""
    WRONG_COLOR = "wrongcolor"
    """The file of another architecture's package lies in its place."""
    NO_DIGEST = "nodigest"
    NO_SIZE = "nosize"
    NO_LINK = "nolink"
    NO_OWNER = "noowner"
    NO_GROUP = "nogroup"
    NO_MODE = "nomode"
    NO_CAPABILITIES = "nocaps"
    EXCLUDED = "excluded"
    DIVERTED = "diverted"
    OVERRIDE = "override"


class Provenance(enum.StrEnum):
    """Who says what mode and owner of a path should be."""

    DATABASE = "database"
    DONOR = "donor"
    """An installed system that has the package in the same version."""
    UNPACKED = "unpacked"
    """The package file: what is unpacked, before the package's scripts change some of it."""


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """What a database says of one path.

    ``digest`` is ``algorithm:hex``, empty where the database has none. ``mode`` has the permission bits
    only. None means that the database does not record it. ``kind`` OTHER: a special file, or not recorded
    (dpkg knows no links). ``mtime``: seconds since the epoch. ``provenance``: who says mode and owner.
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
    flags: frozenset[Flag] = frozenset()
    mtime: int | None = None
    provenance: Provenance = Provenance.DATABASE

    def restore(self, files: Links) -> RestoreFile:
        """The change that brings it back, where its directory really is (``/usr/bin`` for ``/bin``).

        All that the database records comes back with it, but for what a donor or a package file said.
        """
        is_file, recorded = self.kind is PackagedKind.FILE, self.provenance is Provenance.DATABASE
        return RestoreFile(
            path=real_place(files, GuestPath(self.path)),
            package=self.package.name,
            version=self.package.version,
            architecture=self.package.architecture,
            digest=self.digest,
            file_kind=self.kind,
            mode=self.mode if recorded else None,
            owner=self.owner if recorded else None,
            group=self.group if recorded else None,
            link_target=self.link_target,
            capabilities=self.capabilities if is_file else None,
            mtime=self.mtime if is_file else None,
        )


@dataclass(frozen=True, slots=True)
class Damage:
    """One part of the database that is missing or unreadable; the rest of it could be read.

    ``hint`` is what the administrator can do, one line.
    """

    path: str
    reason: str
    hint: str = ""


WANTED = frozenset({"unknown", "install", "hold", "deinstall", "purge"})
FLAGS = frozenset({"ok", "reinstreq", "hold", "hold-reinstreq"})
"""The first and the second of dpkg's three words of a status (dpkg(1), *Package states and flags*)."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A package whose installation, upgrade or removal has not come to its end, in dpkg's words.

    ``wanted`` is what was asked for (install, hold, deinstall, purge), ``flag`` ok or reinstreq, ``state``
    how far it came. ``place`` and ``line`` (1-based) are where the database says so.
    """

    package: Package
    wanted: str
    flag: str
    state: str
    place: str
    line: int

    @property
    def is_known(self) -> bool:
        """False where dpkg has no such word: what it means for the files cannot be told."""
        return self.wanted.lower() in WANTED and self.flag.lower() in FLAGS

    @property
    def is_removal(self) -> bool:
        """Its files are going away because somebody wanted that."""
        return self.wanted in {"deinstall", "purge"}


class Agreement(enum.StrEnum):
    """Which of two records of one package the files on the disk are of."""

    NEWER = "newer"
    OLDER = "older"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A package that the database holds more than once, as an update leaves it that was ended half-way.

    ``records`` are the newest first, ``numbers`` theirs in the database. ``reference`` speaks for the files.
    ``differing`` are files that tell the records apart (``compared`` in all) and are not the newest one's.
    """

    records: tuple[Package, ...]
    numbers: tuple[int, ...]
    reference: Package
    agreement: Agreement
    differing: tuple[str, ...] = ()
    compared: int = 0


class PackageDatabase(abc.ABC):
    """An installed system's package database. Only files that should be there are listed."""

    format: str
    """The name of its row in :data:`guestrepair.guest.package_formats.PACKAGE_FORMATS`."""
    packages: Sequence[Package]
    damage: Sequence[Damage] = ()
    unfinished: Sequence[Unfinished] = ()
    duplicates: Sequence[Duplicate] = ()
    place: str = ""
    """Its main file, where a message or a repair names one."""

    journal: Sequence[str] = ()
    """Files in which an interrupted run of the package manager left what it had not written back."""

    @abc.abstractmethod
    def files(self) -> Iterator[PackagedFile]:
        """Every path that the database says is there, with diversions, exclusions and aliases applied."""

    def files_of(self, package: Package) -> Iterator[PackagedFile]:
        """The files of one package."""
        return (file for file in self.files() if file.package == package)

    def lookup_many(self, paths: Iterable[str]) -> Mapping[str, tuple[PackagedFile, ...]]:
        """Every package's entries for each path, under any name of it; empty where nobody owns it.

        One pass over the database here; :class:`~guestrepair.packages.indexed.IndexedDatabase` is quicker.
        """
        return chosen(paths, self.files())

    def lookup(self, path: str) -> tuple[PackagedFile, ...]:
        """The same of one path: where there are more, ask for them together."""
        return self.lookup_many((path,))[path]

    def package(self, name: str) -> Package | None:
        """The installed package of that name, or None (the first, where several architectures are)."""
        return next((p for p in self.packages if p.name == name), None)

    @property
    def are_few(self) -> bool:
        """True where all files may be kept in memory: they are gone through several times."""
        return False

    @property
    def records_attributes(self) -> bool:
        """True when it knows the mode and owner of every path (dpkg does not)."""
        kind = format_named(self.format)
        return kind is None or kind.records_attributes

    @property
    def damage_hint(self) -> str:
        """What an administrator can do when it is damaged."""
        kind = format_named(self.format)
        return "restore it from a backup of the guest" if kind is None else kind.damage_hint


def chosen(paths: Iterable[str], files: Iterable[PackagedFile]) -> dict[str, tuple[PackagedFile, ...]]:
    """Those of the files that each of these paths names, under any name of it, the given one's first."""
    asked = {path: forms(path) for path in paths}
    wanted = {form for names in asked.values() for form in names}
    found: dict[str, list[PackagedFile]] = defaultdict(list)
    for file in files:
        if file.path in wanted:
            found[file.path].append(file)
    return {path: tuple(f for form in names for f in found.get(form, ())) for path, names in asked.items()}

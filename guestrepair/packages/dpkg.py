"""dpkg's database as it lies in /var/lib/dpkg, with diversions, overrides and exclusions applied.

The lists are kept as the bytes they are and taken apart on demand: a guest with
300,000 files costs their text and little more.

Sources: dpkg-query(1), deb-md5sums(5), dpkg's ``lib/dpkg/dbmodify.c`` (updates/) and ``src/main/verify.c``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from guestrepair.formats.dpkg_config import PathFilter
from guestrepair.formats.dpkg_lists import Diversion, StatOverride, parse_list, parse_md5sums
from guestrepair.model import PackagedKind
from guestrepair.packages.aliases import forms
from guestrepair.packages.base import Damage, Flag, Package, PackagedFile, Unfinished
from guestrepair.packages.indexed import IndexedDatabase


@dataclass(frozen=True, slots=True)
class Installed:
    """One package whose files are unpacked: its ``.list`` and ``.md5sums`` as they are, its conffiles."""

    package: Package
    listing: bytes
    md5sums: bytes
    conffiles: Mapping[str, str]
    essential: bool = False
    priority: str = ""


_NO_FLAGS = frozenset[Flag]()
KEPT_FILES = 40_000
"""Packaged files that are kept in memory; some 12 MB."""


class DpkgDatabase(IndexedDatabase):
    """What dpkg believes to be installed; what path-exclude leaves out carries the flag for it."""

    format = "deb"

    def __init__(
        self,
        installed: Sequence[Installed],
        *,
        diversions: Mapping[str, Diversion],
        overrides: Mapping[str, StatOverride],
        path_filter: PathFilter,
        damage: Sequence[Damage] = (),
        unfinished: Sequence[Unfinished] = (),
        journal: Sequence[str] = (),
    ) -> None:
        self.installed = tuple(installed)
        self.packages = tuple(entry.package for entry in installed)
        self.diversions = diversions
        self.overrides = overrides
        self.path_filter = path_filter
        self.damage = tuple(damage)
        self.unfinished = tuple(unfinished)
        self.journal = tuple(journal)

    @cached_property
    def are_few(self) -> bool:
        """See :attr:`PackageDatabase.are_few`."""
        return sum(entry.listing.count(b"\n") for entry in self.installed) <= KEPT_FILES

    def _files_of(self, number: int) -> Iterator[PackagedFile]:
        entry = self.installed[number]
        digests = parse_md5sums(entry.md5sums)
        digests.update(entry.conffiles)
        paths = tuple(parse_list(entry.listing))
        parents = {path.rpartition("/")[0] for path in paths}
        for path in paths:
            yield self._file(entry, path, digests.get(path), is_parent=path in parents)

    def _paths_of(self, number: int) -> Iterable[str]:
        entry = self.installed[number]
        return (self._place(path, entry.package.name) for path in parse_list(entry.listing))

    def _file(self, entry: Installed, path: str, digest: str | None, *, is_parent: bool) -> PackagedFile:
        place = self._place(path, entry.package.name)
        override = self._overridden.get(place)
        flags = _NO_FLAGS
        if path in entry.conffiles:
            flags |= {Flag.CONFIG}
        if self.path_filter.excludes(path):
            flags |= {Flag.EXCLUDED}
        if place != path:
            flags |= {Flag.DIVERTED}
        if override is not None:
            flags |= {Flag.OVERRIDE}
        if is_parent:
            kind = PackagedKind.DIRECTORY
        else:
            kind = PackagedKind.OTHER if digest is None else PackagedKind.FILE
        return PackagedFile(
            place,
            kind,
            entry.package,
            digest=f"md5:{digest}" if digest else "",
            mode=override.mode if override else None,
            owner=override.owner if override else None,
            group=override.group if override else None,
            flags=flags,
        )

    def _place(self, path: str, package: str) -> str:
        diversion = self.diversions.get(path)
        if diversion is None or diversion.package == package:
            return path
        return diversion.altered

    @cached_property
    def _overridden(self) -> Mapping[str, StatOverride]:
        """The overrides by every name of their paths; one for the very name comes first."""
        others = {form: override for name, override in self.overrides.items() for form in forms(name)}
        return {**others, **self.overrides}

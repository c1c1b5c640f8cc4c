"""dpkg's database as it lies in /var/lib/dpkg, with diversions, overrides and exclusions applied.

The lists are kept as the bytes they are and taken apart on demand: a guest with
300,000 files costs their text and little more.

Sources: dpkg-query(1), deb-md5sums(5), dpkg's ``lib/dpkg/dbmodify.c`` (updates/) and ``src/main/verify.c``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from guestrepair.formats.dpkg_config import PathFilter
from guestrepair.formats.dpkg_lists import Diversion, StatOverride, parse_list, parse_md5sums
from guestrepair.model import PackagedKind
from guestrepair.packages.aliases import forms
from guestrepair.packages.base import Damage, Package, PackageDatabase, PackagedFile


@dataclass(frozen=True, slots=True)
class Installed:
    """One package whose files are unpacked: its ``.list`` and ``.md5sums`` as they are, its conffiles."""

    package: Package
    listing: bytes
    md5sums: bytes
    conffiles: Mapping[str, str]
    essential: bool = False
    priority: str = ""


KEPT_FILES = 40_000
"""Packaged files that are kept in memory; some 12 MB."""


class DpkgDatabase(PackageDatabase):
    """What dpkg believes to be installed."""

    format = "deb"

    def __init__(
        self,
        installed: Sequence[Installed],
        *,
        diversions: Mapping[str, Diversion],
        overrides: Mapping[str, StatOverride],
        path_filter: PathFilter,
        damage: Sequence[Damage] = (),
    ) -> None:
        self.installed = tuple(installed)
        self.packages = tuple(entry.package for entry in installed)
        self.diversions = diversions
        self.overrides = overrides
        self.path_filter = path_filter
        self.damage = tuple(damage)
        self._altered = {d.altered: d for d in diversions.values()}

    def files(self) -> Iterator[PackagedFile]:
        """Every path of every package; those that path-exclude leaves out carry the flag ``excluded``."""
        return iter(self._kept) if self._are_few else self._made()

    @cached_property
    def _are_few(self) -> bool:
        return sum(entry.listing.count(b"\n") for entry in self.installed) <= KEPT_FILES

    @cached_property
    def _kept(self) -> tuple[PackagedFile, ...]:
        """They are gone through several times: where they are few, they are made once."""
        return tuple(self._made())

    def _made(self) -> Iterator[PackagedFile]:
        for entry in self.installed:
            digests = parse_md5sums(entry.md5sums)
            digests.update(entry.conffiles)
            paths = tuple(parse_list(entry.listing))
            parents = {path.rpartition("/")[0] for path in paths}
            for path in paths:
                yield self._file(entry, path, digests.get(path), is_parent=path in parents)

    def lookup(self, path: str) -> tuple[PackagedFile, ...]:
        """See :meth:`PackageDatabase.lookup`; a diverted file is found at the place where it lies."""
        found = []
        for name in forms(path):
            diversion = self._altered.get(name)
            for wanted in (name, diversion.contested) if diversion else (name,):
                found += [f for f in self._entries_of(wanted) if f.path in forms(path)]
        return tuple(found)

    def _entries_of(self, name: str) -> Iterator[PackagedFile]:
        """What each package says of a path by exactly this name."""
        encoded = name.encode("utf-8", "surrogateescape")
        text, starts = self._joined
        wanted = b"\n" + encoded + b"\n"
        at = text.find(wanted)
        while at >= 0:
            entry = self.installed[bisect_right(starts, at) - 1]
            digests = parse_md5sums(entry.md5sums)
            digests.update(entry.conffiles)
            is_parent = b"\n" + encoded + b"/" in b"\n" + entry.listing
            yield self._file(entry, name, digests.get(name), is_parent=is_parent)
            at = text.find(wanted, at + 1)

    @cached_property
    def _joined(self) -> tuple[bytes, list[int]]:
        """All lists as one text that begins with a newline, and where each package's list begins."""
        pieces, starts, offset = [], [], 0
        for entry in self.installed:
            piece = b"\n" + entry.listing.rstrip(b"\n") + b"\n"
            starts.append(offset)
            pieces.append(piece)
            offset += len(piece)
        return b"".join(pieces), starts

    def _file(self, entry: Installed, path: str, digest: str | None, *, is_parent: bool) -> PackagedFile:
        flags = set()
        if path in entry.conffiles:
            flags.add("config")
        if self.path_filter.excludes(path):
            flags.add("excluded")
        place = self._place(path, entry.package.name)
        if place != path:
            flags.add("diverted")
        override = self._override(place)
        if override is not None:
            flags.add("override")
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
            flags=frozenset(flags),
        )

    def _place(self, path: str, package: str) -> str:
        diversion = self.diversions.get(path)
        if diversion is None or diversion.package == package:
            return path
        return diversion.altered

    def _override(self, path: str) -> StatOverride | None:
        if not self.overrides:
            return None
        return next((self.overrides[name] for name in forms(path) if name in self.overrides), None)

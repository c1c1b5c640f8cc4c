"""Package files as a source: those in a directory of this host, and those in the guest's own cache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import GuestReadError
from guestrepair.guest.package_formats import PACKAGE_FORMATS
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.aliases import usr_form
from guestrepair.packages.base import Package, Provenance
from guestrepair.packages.reference import Attributes
from guestrepair.packages.sources.base import Refusal, SourcedChange, SourcedFile
from guestrepair.packages.sources.package_file import (
    SUFFIXES,
    Identified,
    find_in,
    identify,
    member_attributes,
)

MAX_FILES = 50_000
_CHUNK_BYTES = 48 * 1024**2
_PACKAGE_LIMIT_BYTES = 4 * 1024**3

CACHES = tuple(path for each in PACKAGE_FORMATS for path in each.caches)
"""Where package managers keep the packages that they installed."""


def wanted_package(change: SourcedChange) -> Package:
    """The package that a change needs, exactly."""
    return Package(change.package, change.version, change.architecture)


def _no_match(wanted: Package, seen: Sequence[Identified], place: str) -> str:
    """Why none of these files will do."""
    same = sorted({f"{f.package.version} {f.package.architecture}" for f in seen if f.package is not None})
    if same:
        has = ", ".join(same)
        return f"{place} has {wanted.name} {has}; the guest has {wanted.version} {wanted.architecture}"
    broken = [f for f in seen if f.problem]
    if broken:
        return f"{broken[0].path.name} cannot be read: {broken[0].problem}"
    return f"{place} has no package {wanted.name}"


class DirectorySource:
    """``--packages DIR``: package files on this host, found by what they say they are."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._identified: dict[Path, Identified] = {}
        self._attributes: dict[Package, Mapping[str, Attributes]] = {}

    @property
    def name(self) -> str:
        """See :class:`FileSource`."""
        return f"packages in {self.directory}"

    def find(
        self, changes: Sequence[SourcedChange], workdir: Path
    ) -> Mapping[SourcedChange, SourcedFile | Refusal]:
        """See :class:`FileSource`; all changes are of one package."""
        wanted = wanted_package(changes[0])
        match = self._match(wanted, workdir)
        if match is not None:
            return find_in(match, match.name, changes, workdir)
        likely = [path for path in self._files if path.name.startswith(wanted.name)]
        same = [
            f for f in self._identified.values() if f.package is not None and f.package.name == wanted.name
        ]
        broken = [f for f in self._identify(likely, workdir) if f.problem]
        return dict.fromkeys(changes, Refusal(_no_match(wanted, [*same, *broken], "the directory")))

    authority = Provenance.UNPACKED

    def attributes(self, package: Package, paths: Sequence[str]) -> Mapping[str, Attributes]:
        """See :class:`AttributeSource`; each package file is unpacked once, its attributes are kept."""
        if package not in self._attributes:
            with private_directory() as work:
                match = self._match(package, work)
                self._attributes[package] = {} if match is None else member_attributes(match, work)
        known = self._attributes[package]
        return {path: known[usr_form(path)] for path in paths if usr_form(path) in known}

    @cached_property
    def _files(self) -> Sequence[Path]:
        return sorted(path for path in self.directory.rglob("*") if path.name.endswith(SUFFIXES))[:MAX_FILES]

    def _match(self, wanted: Package, workdir: Path) -> Path | None:
        """The package file that is this package: looked for by name first, then among all."""
        likely = [path for path in self._files if path.name.startswith(wanted.name)]
        for group in (likely, self._files):
            for found in self._identify(group, workdir):
                if found.package == wanted:
                    return found.path
        return None

    def _identify(self, files: Sequence[Path], workdir: Path) -> Iterator[Identified]:
        unknown = [path for path in files if path not in self._identified]
        if unknown:
            self._identified.update((found.path, found) for found in identify(unknown, workdir))
        return (self._identified[path] for path in files)


class CacheSource:
    """The guest's own package cache: files are copied out only when their name fits the package."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    @property
    def name(self) -> str:
        """See :class:`FileSource`."""
        return "the guest's package cache"

    def find(
        self, changes: Sequence[SourcedChange], workdir: Path
    ) -> Mapping[SourcedChange, SourcedFile | Refusal]:
        """See :class:`FileSource`; all changes are of one package."""
        wanted = wanted_package(changes[0])
        seen: list[Identified] = []
        for path in self._candidates(wanted):
            try:
                copied = self._copy(path, workdir)
            except GuestReadError as error:
                seen.append(Identified(Path(path.name), None, error.reason))
                continue
            (found,) = identify([copied], workdir)
            if found.package == wanted:
                answer = find_in(copied, f"{path}", changes, workdir)
                copied.unlink()
                return answer
            seen.append(Identified(Path(path.name), found.package, found.problem))
            copied.unlink()
        return dict.fromkeys(changes, Refusal(_no_match(wanted, seen, "it")))

    def _candidates(self, wanted: Package) -> Iterator[GuestPath]:
        version = wanted.version.rpartition(":")[2]
        for path in self._files():
            if path.name.startswith(wanted.name) and version in path.name and path.name.endswith(SUFFIXES):
                yield path

    def _files(self) -> Iterator[GuestPath]:
        for cache in CACHES:
            pending = [cache] if self.guest.is_directory(cache) else []
            budget = 200
            while pending and budget:
                budget -= 1
                directory = pending.pop()
                stats = self.guest.lstat_many(directory / name for name in self.guest.listdir(directory))
                pending += [path for path, s in stats.items() if s is not None and s.is_directory]
                yield from (path for path, s in stats.items() if s is not None and s.is_file)

    def _copy(self, path: GuestPath, workdir: Path) -> Path:
        stat = self.guest.lstat(path)
        size = 0 if stat is None else stat.size_bytes
        if size > _PACKAGE_LIMIT_BYTES:
            raise GuestReadError(path, f"{size} bytes, larger than any package")
        suffix = next(s for s in SUFFIXES if path.name.endswith(s))
        with tempfile.NamedTemporaryFile(prefix="package-", suffix=suffix, dir=workdir, delete=False) as out:
            for offset in range(0, size, _CHUNK_BYTES):
                out.write(self.guest.read_range(path, offset, _CHUNK_BYTES))
        return Path(out.name)

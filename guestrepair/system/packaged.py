"""What the package database says of the guest's files, each by the name where the file really lies.

dpkg may list ``/bin/ls``, and a merged /usr has it in ``/usr/bin``: who asks here meets it under one name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

from guestrepair.model import ALIASED_DIRECTORIES, GuestPath, PackagedKind, RestoreFile
from guestrepair.packages.aliases import usr_form
from guestrepair.packages.base import Flag, PackageDatabase, PackagedFile
from guestrepair.system.fact import fact
from guestrepair.system.files import Files


class Packaged:
    """The packaged files of one guest."""

    def __init__(self, database: PackageDatabase, files: Files) -> None:
        self.database = database
        self._files = files

    @fact
    def merged(self) -> frozenset[str]:
        """The directories of / that are links into /usr: a path there has two names."""
        stats = self._files.lstat_many(GuestPath(f"/{name}") for name in ALIASED_DIRECTORIES)
        return frozenset(path.name for path, stat in stats.items() if stat is not None and stat.is_symlink)

    def files(self) -> Iterator[PackagedFile]:
        """Every path that the database says is there; a path of several packages comes several times."""
        return iter(self._kept) if self.database.are_few else self._all_placed()

    @fact
    def _kept(self) -> tuple[PackagedFile, ...]:
        return tuple(self._all_placed())

    def _all_placed(self) -> Iterator[PackagedFile]:
        return map(partial(_placed, self.merged), self.database.files())

    def lookup_many(self, paths: Iterable[str]) -> Mapping[str, tuple[PackagedFile, ...]]:
        """Every package's entries for each path; empty where nobody owns it."""
        placed = partial(_placed, self.merged)
        return {path: tuple(map(placed, files)) for path, files in self.database.lookup_many(paths).items()}

    def lookup(self, path: str) -> tuple[PackagedFile, ...]:
        """The same of one path: where there are more, ask for them together."""
        return tuple(_placed(self.merged, file) for file in self.database.lookup(path))

    @fact
    def _unfinished(self) -> frozenset[tuple[str, str]]:
        return frozenset((u.package.name, u.package.architecture) for u in self.database.unfinished)

    def is_unfinished(self, package: str, architecture: str) -> bool:
        """True where its unpacking or removal broke off: its files may be of two versions."""
        return (package, architecture) in self._unfinished

    def restore(self, path: GuestPath, *kinds: PackagedKind) -> RestoreFile | None:
        """The change that brings a path back from its package; None when no package has it to give.

        ``kinds`` are those that will do, any where none is named.
        """
        for file in self.lookup(str(path)):
            comes_with_it = Flag.GHOST not in file.flags or file.kind is PackagedKind.DIRECTORY
            if comes_with_it and (not kinds or file.kind in kinds):
                return file.restore(self._files)
        return None


def _placed(merged: frozenset[str], file: PackagedFile) -> PackagedFile:
    if file.path[1:].partition("/")[0] not in merged:
        return file
    path = usr_form(file.path)
    return file if path == file.path else replace(file, path=path)

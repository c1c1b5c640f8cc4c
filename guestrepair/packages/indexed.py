"""A database that keeps each package's list as it was read, and finds paths in it by an index."""

from __future__ import annotations

import abc
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from guestrepair.packages.aliases import forms
from guestrepair.packages.base import Package, PackageDatabase, PackagedFile, chosen


class PathIndex:
    """Which of some numbered lists may hold a path; 16 bytes a path, whatever its length.

    Paths are kept by their hash: two that share one make a list be looked through in vain.
    """

    def __init__(self, lists: Iterable[Iterable[str]]) -> None:
        hashes, numbers = array("q"), array("q")
        for number, paths in enumerate(lists):
            before = len(hashes)
            hashes.extend(map(hash, paths))
            numbers.extend([number] * (len(hashes) - before))
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        self._hashes = array("q", map(hashes.__getitem__, order))
        self._numbers = array("q", map(numbers.__getitem__, order))

    def holders(self, path: str) -> Iterator[int]:
        """The numbers of the lists that may hold this path."""
        wanted = hash(path)
        at = bisect_left(self._hashes, wanted)
        while at < len(self._hashes) and self._hashes[at] == wanted:
            yield self._numbers[at]
            at += 1


class IndexedDatabase(PackageDatabase):
    """What dpkg, rpm, apk and pacman have in common: a list of paths for each package.

    A path costs the list of its package, not the database; many paths of one package cost its list once.
    """

    @abc.abstractmethod
    def _files_of(self, number: int) -> Iterable[PackagedFile]:
        """The files of one package of ``packages``."""

    def _paths_of(self, number: int) -> Iterable[str]:
        """Their paths: for a database that has them more cheaply."""
        return (file.path for file in self._files_of(number))

    def files(self) -> Iterator[PackagedFile]:
        """See :meth:`PackageDatabase.files`."""
        return iter(self._kept) if self.are_few else self._made()

    @cached_property
    def _kept(self) -> tuple[PackagedFile, ...]:
        return tuple(self._made())

    def _made(self) -> Iterator[PackagedFile]:
        for number in range(len(self.packages)):
            yield from self._files_of(number)

    def files_of(self, package: Package) -> Iterator[PackagedFile]:
        """See :meth:`PackageDatabase.files_of`."""
        for number in self._numbers.get(package, ()):
            yield from self._files_of(number)

    @cached_property
    def _numbers(self) -> Mapping[Package, Sequence[int]]:
        numbers: dict[Package, list[int]] = {}
        for number, package in enumerate(self.packages):
            numbers.setdefault(package, []).append(number)
        return numbers

    def lookup_many(self, paths: Iterable[str]) -> Mapping[str, tuple[PackagedFile, ...]]:
        """See :meth:`PackageDatabase.lookup_many`."""
        asked = tuple(dict.fromkeys(paths))
        holders = {n for path in asked for form in forms(path) for n in self._index.holders(form)}
        return chosen(asked, (file for number in sorted(holders) for file in self._files_of(number)))

    @cached_property
    def _index(self) -> PathIndex:
        return PathIndex(map(self._paths_of, range(len(self.packages))))

"""Metadata of a mounted guest: whole directories at a time, asked for once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from guestrepair.guest.view import Stat
from guestrepair.session.backends import Backend, Directory

_KEPT_STATS = 150_000
"""Some 50 MB; what was asked for longest ago is asked for again where more are needed."""


class Metadata:
    """Cached lstat, listings and link targets of what a backend answers about.

    Paths given must have their parents' links resolved already.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._stats: dict[str, dict[str, Stat | None]] = {}
        self._count = 0
        self._listings: dict[str, tuple[str, ...]] = {}
        self._links: dict[str, dict[str, str]] = {}
        self._root: Stat | None = None

    def stats(self, directory: str, names: Iterable[str]) -> Mapping[str, Stat | None]:
        """Lstat of names in one directory that is known to exist."""
        known = self._stats.setdefault(directory, {})
        before = len(known)
        wanted = [name for name in names if name not in known]
        if wanted:
            known.update(self._backend.stats(self.directory(directory), wanted))
        if self._stats.get(directory) is known:
            self._count += len(known) - before
        while self._count > _KEPT_STATS and len(self._stats) > 1:
            self._count -= len(self._stats.pop(next(iter(self._stats))))
        return known

    def directory(self, path: str) -> Directory:
        """A directory as the backends are asked about it: with its own lstat."""
        if path == "/":
            return Directory(path)
        # From the top down, if what was known of the parents was let go: no recursion, however deep.
        waiting: list[tuple[str, str]] = []
        parent, name = _parted(path)
        while parent != "/" and name not in self._stats.get(parent, ()):
            waiting.append((parent, name))
            parent, name = _parted(parent)
        found = self.stats(parent, [name])[name]
        while waiting:
            parent, name = waiting.pop()
            found = self.stats(parent, [name])[name]
        return Directory(path, found)

    def root(self) -> Stat:
        """Stat of the root directory itself."""
        if self._root is None:
            self._root = self._backend.top()
        return self._root

    def listing(self, directory: str) -> tuple[str, ...]:
        """All names in a directory, sorted."""
        if directory not in self._listings:
            self._listings[directory] = tuple(sorted(self._backend.names(self.directory(directory))))
        return self._listings[directory]

    def links(self, directory: str, names: Iterable[str]) -> Mapping[str, str]:
        """Targets of symbolic links in one directory; "" for what is none."""
        known = self._links.setdefault(directory, {})
        wanted = [name for name in names if name not in known]
        if wanted:
            known.update(self._backend.targets(self.directory(directory), wanted))
        return known


def _parted(path: str) -> tuple[str, str]:
    parent, _, name = path.rpartition("/")
    return parent or "/", name

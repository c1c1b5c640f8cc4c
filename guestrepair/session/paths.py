"""Where the paths of a mounted guest lead: a step for each part of them, as its kernel goes.

Names and paths that are too long are not there, and after 40 links a path leads
nowhere (path_resolution(7)); what a directory was found to be is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from guestrepair.guest.view import MAX_LINKS, Stat, components, is_possible
from guestrepair.model import GuestPath
from guestrepair.session.metadata import Metadata

_DEEP, _KEPT_DIRECTORIES = 64, 200_000
"""Directories are kept up to so many parts of a path, and so many in all."""

_Reached: TypeAlias = tuple[GuestPath | None, int]
"""A real directory, and how many links lead there; None: there is none."""

_NOWHERE: _Reached = (None, 0)


class Directories:
    """The real directories behind the paths of one guest; ``inside`` gives the path that a kernel sees."""

    def __init__(self, metadata: Metadata, inside: Callable[[GuestPath], str]) -> None:
        self._metadata = metadata
        self._inside = inside
        self._kept: dict[str, _Reached] = {}

    def behind(self, path: str) -> str | None:
        """The real directory behind a path, both as text; None: there is none."""
        known = self._kept.get(path)
        found = (self.reach(GuestPath(path)) if known is None else known)[0]
        return None if found is None else str(found)

    def reach(self, path: GuestPath) -> _Reached:
        """The real directory behind a path, and how many links lead there; a step for each part of it."""
        known = self._kept.get(str(path))
        if known is not None:
            return known
        if len(self._kept) > _KEPT_DIRECTORIES:
            self._kept.clear()
        real, links, place = GuestPath("/"), 0, ""
        for depth, name in enumerate(reversed(components(path))):
            place = f"{place}/{name}"
            known = self._kept.get(place)
            if known is None:
                known = self._enter(real, links, name)
                if depth < _DEEP:
                    self._kept[place] = known
            if known[0] is None:
                return _NOWHERE
            real, links = known[0], known[1]
        return real, links

    def _enter(self, current: GuestPath, links: int, name: str) -> _Reached:
        """The real directory that a name in a real directory leads to; ``links`` were followed so far."""
        pending = [name]
        while pending:
            name = pending.pop()
            if name == "..":
                current = current.parent
                continue
            found = self._look(current, name)
            if found is None or not (found.is_directory or found.is_symlink):
                return _NOWHERE
            if found.is_directory:
                current /= name
                continue
            links += 1
            target = self._target(current, name) if links <= MAX_LINKS else None
            if target is None:
                return _NOWHERE
            current = GuestPath("/") if target.is_absolute() else current
            pending.extend(components(target))
        return current, links

    def _look(self, directory: GuestPath, name: str) -> Stat | None:
        """The lstat of a name in a real directory."""
        possible = is_possible(self._inside(directory / name))
        return self._metadata.stats(str(directory), (name,))[name] if possible else None

    def _target(self, directory: GuestPath, name: str) -> GuestPath | None:
        """Where a link in a real directory leads; None where that can be no path."""
        target = self._metadata.links(str(directory), (name,)).get(name, "")
        return GuestPath(target) if target and is_possible(target) else None

    def resolve(self, path: GuestPath) -> GuestPath | None:
        """The path with every link followed; None when that leads nowhere."""
        links = 0
        while is_possible(str(path)):
            if path.name in {"", ".."}:
                return self.reach(path)[0]
            directory, more = self.reach(path.parent)
            links += more
            found = None if directory is None or links > MAX_LINKS else self._look(directory, path.name)
            if directory is None or found is None:
                return None
            if not found.is_symlink:
                return directory / path.name
            links += 1
            target = self._target(directory, path.name)
            if target is None:
                return None
            path = directory / target
        return None

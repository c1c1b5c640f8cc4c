"""Where the paths of a mounted guest lead: a step for each part of them, as its kernel goes.

Names and paths that are too long are not there, and after 40 links a path leads
nowhere (path_resolution(7)); what a directory was found to be is kept. Paths are text here: tens of thousands
are asked for, and to make an object of each is most of the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from guestrepair.guest.view import MAX_LINKS, Stat, is_possible
from guestrepair.session.metadata import Metadata

_DEEP, _KEPT_DIRECTORIES = 64, 200_000
"""Directories are kept up to so many parts of a path, and so many in all."""

_Reached: TypeAlias = tuple[str | None, int]
"""A real directory, and how many links lead there; None: there is none."""

_NOWHERE: _Reached = (None, 0)


class Directories:
    """The real directories behind the paths of one guest; ``inside`` gives the path that a kernel sees."""

    def __init__(self, metadata: Metadata, inside: Callable[[str], str]) -> None:
        self._metadata = metadata
        self._inside = inside
        self._kept: dict[str, _Reached] = {}

    def reach(self, path: str) -> _Reached:
        """The real directory behind a path, and how many links lead there; a step for each part of it."""
        known = self._kept.get(path)
        if known is not None:
            return known
        if len(self._kept) > _KEPT_DIRECTORIES:
            self._kept.clear()
        real, links, place = "/", 0, ""
        for depth, name in enumerate(_names(path)):
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

    def _enter(self, current: str, links: int, name: str) -> _Reached:
        """The real directory that a name in a real directory leads to; ``links`` were followed so far."""
        pending = [name]
        while pending:
            name = pending.pop()
            if name == "..":
                current = current.rpartition("/")[0] or "/"
                continue
            found = self._look(current, name)
            if found is None or not (found.is_directory or found.is_symlink):
                return _NOWHERE
            if found.is_directory:
                current = child(current, name)
                continue
            links += 1
            target = self._target(current, name) if links <= MAX_LINKS else None
            if target is None:
                return _NOWHERE
            current = "/" if target.startswith("/") else current
            pending.extend(reversed(_names(target)))
        return current, links

    def _look(self, directory: str, name: str) -> Stat | None:
        """The lstat of a name in a real directory."""
        possible = is_possible(self._inside(child(directory, name)))
        return self._metadata.stats(directory, (name,))[name] if possible else None

    def _target(self, directory: str, name: str) -> str | None:
        """Where a link in a real directory leads; None where that can be no path."""
        target = self._metadata.links(directory, (name,)).get(name, "")
        return target if target and is_possible(target) else None

    def resolve(self, path: str) -> str | None:
        """The path with every link followed; None when that leads nowhere."""
        links = 0
        while is_possible(path):
            parent, _, name = path.rpartition("/")
            if name in {"", ".."}:
                return self.reach(path)[0]
            directory, more = self.reach(parent or "/")
            links += more
            found = None if directory is None or links > MAX_LINKS else self._look(directory, name)
            if directory is None or found is None:
                return None
            if not found.is_symlink:
                return child(directory, name)
            links += 1
            target = self._target(directory, name)
            if target is None:
                return None
            path = _joined("/" if target.startswith("/") else directory, target)
        return None


def is_plain(path: str) -> bool:
    """Whether an absolute path is written as a GuestPath writes it: each of its steps once, and no more."""
    return path == "/" or not ("//" in path or "/./" in path or path.endswith(("/", "/.")))


def child(directory: str, name: str) -> str:
    """The path of a name in a directory."""
    return f"/{name}" if directory == "/" else f"{directory}/{name}"


def _names(path: str) -> list[str]:
    """The names in a path, in their order."""
    return [name for name in path.split("/") if name not in {"", "."}]


def _joined(directory: str, target: str) -> str:
    """The path of what a target names, from a directory on."""
    return "".join(f"/{name}" for name in (*_names(directory), *_names(target))) or "/"

"""A guest with links that are not on its disk, as it will be once they are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from guestrepair.guest.filesystem_state import CheckResult, FilesystemUsage
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath


class LinkedGuest(Guest):
    """A guest with some top-level links that are not on its disk; everything else is its own.

    ``occupied`` are those of the links where a directory lies now. What that one has and the link's target
    has not is seen in both, as it will be once it is moved there; its resolved path is where it lies now.
    """

    def __init__(self, guest: Guest, links: Mapping[str, str], occupied: Iterable[str] = ()) -> None:
        self._guest = guest
        self._links = {GuestPath(path): target for path, target in links.items()}
        self._places = {path: GuestPath("/") / target for path, target in self._links.items()}
        self._moving = {self._places[path]: (path, self._alone(path)) for path in map(GuestPath, occupied)}
        self.os = guest.os
        self.block = guest.block
        self.mounts = guest.mounts
        self.unmounted = guest.unmounted

    def _alone(self, directory: GuestPath) -> frozenset[str]:
        """What a directory in a link's place has, and where the link leads has not."""
        target = self._places[directory]
        known = self._guest.listdir(target) if self._guest.is_directory(target) else ()
        return frozenset(self._guest.listdir(directory)) - {*known}

    def _place(self, path: GuestPath) -> GuestPath:
        """Where on the disk a path lies."""
        place = self._places.get(GuestPath("/", path.parts[1])) if len(path.parts) > 2 else None
        return self._still(path if place is None else place.joinpath(*path.parts[2:]))

    def _still(self, path: GuestPath) -> GuestPath:
        """Where something lies that is seen where it will be moved to."""
        for target, (directory, names) in self._moving.items():
            if target in path.parents and (rest := path.relative_to(target)).parts[0] in names:
                return directory / rest
        return path

    @property
    def damage(self) -> Mapping[str, str]:
        """See :attr:`Guest.damage`."""
        return self._guest.damage

    def resolve(self, path: GuestPath) -> GuestPath | None:
        """See :meth:`Guest.resolve`."""
        found = super().resolve(path)
        return None if found is None else self._still(found)

    def resolve_parent(self, path: GuestPath) -> GuestPath | None:
        """See :meth:`Guest.resolve_parent`."""
        found = super().resolve_parent(path)
        return None if found is None else self._still(found)

    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        """See :meth:`Guest.lstat_many`."""
        asked = {path: self._place(path) for path in paths}
        found = self._guest.lstat_many(place for path, place in asked.items() if path not in self._links)
        link = Stat(mode=0o120777)
        return {path: link if path in self._links else found[place] for path, place in asked.items()}

    def listdir(self, path: GuestPath) -> tuple[str, ...]:
        """See :meth:`Guest.listdir`."""
        place = self._places.get(path, self._place(path))
        _, moving = self._moving.get(place, (place, frozenset()))
        made = {link.name for link in self._links} if path == GuestPath("/") else moving
        names = self._guest.listdir(place)
        return tuple(sorted({*names, *made})) if made else names

    def readlink(self, path: GuestPath) -> str:
        """See :meth:`Guest.readlink`."""
        return self._links.get(path) or self._guest.readlink(self._place(path))

    def readlinks(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, str]:
        """See :meth:`Guest.readlinks`."""
        asked = {path: self._place(path) for path in paths}
        found = self._guest.readlinks(asked.values())
        return {path: self._links.get(path) or found[place] for path, place in asked.items()}

    def read_range(self, path: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_range`."""
        return self._guest.read_range(self._place(path), offset_bytes, size_bytes)

    def read_tree(
        self, path: GuestPath, *, exclude: Sequence[str] = (), limit_bytes: int = 256 * 1024 * 1024
    ) -> Mapping[str, bytes]:
        """See :meth:`Guest.read_tree`."""
        place = self._places.get(path, self._place(path))
        return self._guest.read_tree(place, exclude=exclude, limit_bytes=limit_bytes)

    def digests(
        self, algorithm: str, paths: Sequence[GuestPath], *, through_filesystem: bool = False
    ) -> Mapping[GuestPath, str]:
        """See :meth:`Guest.digests`."""
        asked = {path: self._place(path) for path in paths}
        places = list(dict.fromkeys(asked.values()))
        found = self._guest.digests(algorithm, places, through_filesystem=through_filesystem)
        return {path: found[place] for path, place in asked.items() if place in found}

    def xattr(self, path: GuestPath, name: str) -> bytes:
        """See :meth:`Guest.xattr`."""
        return self._guest.xattr(self._place(path), name)

    def read_device(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`Guest.read_device`."""
        return self._guest.read_device(device, offset_bytes, size_bytes)

    def stored_bytes(self, disk: str, offset_bytes: int, size_bytes: int) -> int:
        """See :meth:`Guest.stored_bytes`."""
        return self._guest.stored_bytes(disk, offset_bytes, size_bytes)

    def usage(self, target: str) -> FilesystemUsage:
        """See :meth:`Guest.usage`."""
        return self._guest.usage(target)

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`Guest.peek`."""
        return self._guest.peek(device)

    def peek_file(self, device: str, path: str, *, limit_bytes: int) -> bytes | None:
        """See :meth:`Guest.peek_file`."""
        return self._guest.peek_file(device, path, limit_bytes=limit_bytes)

    def check_filesystem(self, device: str) -> CheckResult:
        """See :meth:`Guest.check_filesystem`."""
        return self._guest.check_filesystem(device)

    def deletion_times(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, int]:
        """See :meth:`Guest.deletion_times`."""
        return self._guest.deletion_times(paths)

"""What lies at the paths of a guest: kinds, modes, owners, links and names, never content.

The paths are taken as they will be once the links of a merged /usr are whole: one missing /lib link
must not make everything below it read as missing to every rule. What has to be read *from* a file is a fact
of the module that knows its format.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath


def guest_path(text: str) -> GuestPath:
    """An absolute path that a file of the guest names; one without a leading slash is taken from the root.

    Two leading slashes are one here: pathlib would keep them as a root of their own.
    """
    return GuestPath("/" + text.lstrip("/"))


class Files:
    """Metadata by path, each asked of the guest in bulk and kept by it.

    Every question raises GuestReadError where the filesystem gives an error other than "not there":
    the rule that asked becomes inconclusive.
    """

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def lstat(self, path: GuestPath) -> Stat | None:
        """What is there, a last link not followed; None when nothing is."""
        return self._guest.lstat(path)

    def lstat_many(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, Stat | None]:
        """The same of many at once: the cost grows with the directories, not with the paths."""
        return self._guest.lstat_many(paths)

    def lstats(self, paths: Iterable[str]) -> Mapping[str, Stat | None]:
        """The same, of absolute paths as text."""
        return self._guest.lstats(paths)

    def stat(self, path: GuestPath) -> Stat | None:
        """What is there, links followed inside the guest."""
        return self._guest.stat(path)

    def exists(self, path: GuestPath) -> bool:
        """True when the path is there, links followed."""
        return self._guest.exists(path)

    def is_file(self, path: GuestPath) -> bool:
        """True for a regular file, links followed."""
        return self._guest.is_file(path)

    def is_directory(self, path: GuestPath) -> bool:
        """True for a directory, links followed."""
        return self._guest.is_directory(path)

    def resolve(self, path: GuestPath) -> GuestPath | None:
        """The path with every link followed; None when that leads nowhere."""
        return self._guest.resolve(path)

    def resolve_parent(self, path: GuestPath) -> GuestPath | None:
        """The path with the links of its parents followed; None when a parent is not there."""
        return self._guest.resolve_parent(path)

    def readlink(self, path: GuestPath) -> str:
        """The target of a link as it stands."""
        return self._guest.readlink(path)

    def readlinks(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, str]:
        """Targets of many links; "" for what is none."""
        return self._guest.readlinks(paths)

    def listdir(self, path: GuestPath) -> tuple[str, ...]:
        """Names in a directory, sorted."""
        return self._guest.listdir(path)

    def glob(self, directory: GuestPath, pattern: str) -> tuple[GuestPath, ...]:
        """Paths in one directory whose name matches a shell pattern; empty when it is not there."""
        return self._guest.glob(directory, pattern)

    def deletion_times(self, paths: Iterable[GuestPath]) -> Mapping[GuestPath, int]:
        """When missing paths were deleted, as far as the filesystem knows (seconds since the epoch)."""
        return self._guest.deletion_times(paths)

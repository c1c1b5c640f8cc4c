"""What a machine has left on its disk that belongs to it alone: logs, histories, keys, caches, by kind.

Only what :mod:`guestrepair.system.leftover_places` names is looked for, each kind when it is first asked for.
No directory is entered through a symbolic link (two usual ones apart): where somebody has moved it to,
other things may lie. Such a link is said. Empty files are nothing left.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.system.accounts import Accounts
from guestrepair.system.fact import fact
from guestrepair.system.files import guest_path
from guestrepair.system.leftover_places import COPY_PATTERNS, COPY_TREES, PLACES

MAX_ENTRIES = 200_000
"""Names looked at for one kind: a log directory of 10,000 files is large, one of more than this made so."""
MAX_HOMES = 2_000
_MAX_TEXT_BYTES = 1024 * 1024
_USUAL_LINKS = {
    "/var/run": "/run",
    "/var/spool/mail": "/var/mail",
    "/var/mail": "/var/spool/mail",
}
_WILD = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Leftover:
    """One file: where it really lies and its size. ``link_to``: it is a link, and leads to that."""

    path: GuestPath
    size_bytes: int
    link_to: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is no link, and has a name that the appliance can be asked to remove."""
        return not self.link_to and str(self.path).isprintable()


@dataclass(frozen=True, slots=True)
class Kind:
    """What is there of one kind, sorted by path; links in whose place a directory was to be looked at."""

    files: tuple[Leftover, ...] = ()
    moved: tuple[tuple[GuestPath, str], ...] = ()

    @property
    def size_bytes(self) -> int:
        """All of it together."""
        return sum(file.size_bytes for file in self.files)


class Leftovers:
    """What is left of each kind in one guest.

    Every question raises GuestReadError where a directory cannot be read, or holds more names than are looked
    at: what is there is then not known.
    """

    def __init__(self, guest: Guest, accounts: Accounts) -> None:
        self._guest, self._accounts = guest, accounts
        self._kinds: dict[str, Kind] = {}

    def of(self, kind: str) -> Kind:
        """What there is of a kind of :data:`PLACES`."""
        if kind not in self._kinds:
            self._kinds[kind] = _Search(self._guest, self.homes).kind(PLACES[kind].split())
        return self._kinds[kind]

    def text_of(self, path: GuestPath) -> bytes:
        """The whole of one of these files, which is to be a small one.

        Raises:
            GuestReadError: it cannot be read, or is larger than that.
        """
        return self._guest.read(path, limit_bytes=_MAX_TEXT_BYTES)

    @fact
    def copies(self) -> Kind:
        """What editors, people and this program left beside the files that they changed."""
        search = _Search(self._guest, ())
        for tree in COPY_TREES:
            top = GuestPath(tree)
            if search.is_directory(top):
                search.below(top, COPY_PATTERNS)
        return search.found

    @fact
    def homes(self) -> tuple[GuestPath, ...]:
        """Every home directory that is there, as it really lies: of accounts, and in /home."""
        guest = self._guest
        named = {guest_path(e.home) for e in self._accounts.passwd.entries if e.home.startswith("/")}
        in_home = guest.glob(GuestPath("/home"), "*")
        wanted = list(dict.fromkeys((GuestPath("/root"), *sorted(named), *in_home)))[:MAX_HOMES]
        found = {real for home in wanted if (real := guest.resolve(home)) is not None}
        stats = guest.lstat_many(found)
        top = GuestPath("/")
        return tuple(sorted(p for p, s in stats.items() if s is not None and s.is_directory and p != top))


class _Search:
    """One kind at work."""

    def __init__(self, guest: Guest, homes: Sequence[GuestPath]) -> None:
        self._guest, self._homes = guest, homes
        self._files: dict[GuestPath, Leftover] = {}
        self._moved: dict[GuestPath, str] = {}
        self._seen = 0

    @property
    def found(self) -> Kind:
        files = sorted(self._files.values(), key=lambda file: file.path)
        return Kind(tuple(files), tuple(sorted(self._moved.items())))

    def kind(self, specifications: Iterable[str]) -> Kind:
        for text in specifications:
            place, _, holds = text.partition("|")
            if place.startswith("link:"):
                self._link(GuestPath(place.removeprefix("link:")))
            elif place.startswith("~/"):
                self._expand(self._homes, place[2:].split("/"), holds.encode())
            else:
                self._expand((GuestPath("/"),), place[1:].split("/"), holds.encode())
        return self.found

    def _link(self, path: GuestPath) -> None:
        found = self._guest.lstat(path)
        if found is not None and found.is_symlink:
            self._files[path] = Leftover(path, found.size_bytes)

    def _expand(self, tops: Sequence[GuestPath], parts: Sequence[str], holds: bytes) -> None:
        directories = list(tops)
        for part in parts[:-1]:
            found_there = self._guest.lstat_many(self._children(directories, part))
            directories = [path for path, found in found_there.items() if self._may_enter(path, found)]
        if parts[-1] == "**":
            for directory in directories:
                self.below(directory, ("*",))
            return
        for path, found in self._guest.lstat_many(self._children(directories, parts[-1])).items():
            self._take(path, found, holds)

    def _children(self, directories: Iterable[GuestPath], part: str) -> list[GuestPath]:
        if not _WILD & set(part):
            return [directory / part for directory in directories]
        return [
            directory / name
            for directory in directories
            for name in self._names(directory)
            if fnmatch.fnmatchcase(name, part)
        ]

    def _names(self, directory: GuestPath) -> tuple[str, ...]:
        names = self._guest.listdir(directory)
        self._seen += len(names)
        if self._seen > MAX_ENTRIES:
            raise GuestReadError(directory, f"more than the {MAX_ENTRIES} names that are looked at")
        return names

    def is_directory(self, path: GuestPath) -> bool:
        """True for a directory that may be entered; a link in its place is kept, to be said."""
        return self._may_enter(path, self._guest.lstat(path))

    def _may_enter(self, path: GuestPath, found: Stat | None) -> bool:
        if found is None or not found.is_symlink:
            return found is not None and found.is_directory
        real = self._guest.resolve(path)
        target = None if real is None else self._guest.lstat(real)
        if real is not None and target is not None and target.is_directory:
            if _USUAL_LINKS.get(str(path)) == str(real):
                return True
            if self._guest.listdir(real):
                self._moved[path] = str(real)
        return False

    def below(self, directory: GuestPath, patterns: Sequence[str]) -> None:
        """Take the regular files of these names below a directory; links are left, and not followed."""
        waiting = [directory]
        while waiting:
            current = waiting.pop()
            for path, found in self._stats(current).items():
                if found is not None and found.is_directory:
                    waiting.append(path)
                elif found is not None and found.is_file and _named(path, patterns):
                    self._take(path, found, b"")

    def _stats(self, directory: GuestPath) -> Mapping[GuestPath, Stat | None]:
        return self._guest.lstat_many([directory / name for name in self._names(directory)])

    def _take(self, path: GuestPath, found: Stat | None, holds: bytes) -> None:
        if found is None:
            return
        link_to = ""
        if found.is_symlink:
            real = self._guest.resolve(path)
            found = None if real is None else self._guest.lstat(real)
            link_to = str(real)
        if found is None or not found.is_file or not found.size_bytes:
            return
        if holds and holds not in self._beginning(path, found):
            return
        real_path = path if link_to else self._real(path)
        self._files[real_path] = Leftover(real_path, found.size_bytes, link_to)

    def _real(self, path: GuestPath) -> GuestPath:
        return self._guest.resolve_parent(path) or path

    def _beginning(self, path: GuestPath, found: Stat) -> bytes:
        real = self._guest.resolve(path) or path
        return self._guest.read_range(real, 0, min(found.size_bytes, _MAX_TEXT_BYTES))


def _named(path: GuestPath, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(path.name, pattern) for pattern in patterns)

"""Bulk metadata of a mounted guest: whole directories at a time, asked for once.

The host answers first, where it can (:mod:`guestrepair.session.host.tree`). The appliance's
libguestfs answers "no such file" for every failed lstat in a bulk call, also
for one that failed with an I/O error. So a name that seems missing is looked up
in the directory's listing before it is believed to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from guestrepair.appliance import raw
from guestrepair.appliance.handle import Handle, reading
from guestrepair.disk.temporary import temporary_file
from guestrepair.errors import GuestReadError
from guestrepair.guest.view import Stat
from guestrepair.session.host.tree import HostTree

_NAMES_A_CALL = 2000
"""Names in one bulk call: each stat is about 250 bytes of a message of at most 4 MB."""

_KEPT_STATS = 150_000
"""Some 50 MB; what was asked for longest ago is asked for again where more are needed."""

MAX_DIRECTORY_BYTES = 64 * 1024 * 1024
"""A directory's listing larger than this (about two million names) is refused."""


class Metadata:
    """Cached lstat, listings and link targets under one mount prefix of the appliance.

    Paths given must have their parents' links resolved already.
    """

    def __init__(self, handle: Handle, prefix: str, host: HostTree | None = None) -> None:
        self._handle = handle
        self._host = host
        self._prefix = prefix
        self._stats: dict[str, dict[str, Stat | None]] = {}
        self._count = 0
        self._listings: dict[str, tuple[str, ...]] = {}
        self._asked: dict[str, tuple[str, ...]] = {}
        self._links: dict[str, dict[str, str]] = {}
        self._root: Stat | None = None

    def inside(self, path: PurePosixPath | str) -> str:
        """The appliance's path for a guest path."""
        text = str(path)
        return self._prefix + (text if text != "/" else "") or "/"

    # --- stat ---------------------------------------------------------------------

    def stats(self, directory: str, names: Iterable[str]) -> Mapping[str, Stat | None]:
        """Lstat of names in one directory that is known to exist."""
        known = self._stats.setdefault(directory, {})
        before = len(known)
        self._fill(directory, names, known)
        if self._stats.get(directory) is known:
            self._count += len(known) - before
        while self._count > _KEPT_STATS and len(self._stats) > 1:
            self._count -= len(self._stats.pop(next(iter(self._stats))))
        return known

    def _fill(self, directory: str, names: Iterable[str], known: dict[str, Stat | None]) -> None:
        wanted = [name for name in names if name not in known]
        if wanted and self._host is not None:
            known.update(self._host.stats(directory, self._own(directory), wanted))
            wanted = [name for name in wanted if name not in known]
        for name in wanted:
            if not raw.is_utf8(name):
                found = raw.lstat(self._handle, self.inside(PurePosixPath(directory) / name))
                known[name] = None if found is None else self._stat(directory, name, found)
        wanted = [name for name in wanted if name not in known]
        for start in range(0, len(wanted), _NAMES_A_CALL):
            self._fetch(directory, wanted[start : start + _NAMES_A_CALL], known)

    def _fetch(self, directory: str, names: list[str], known: dict[str, Stat | None]) -> None:
        with reading(self._handle, directory):
            answers = self._handle.lstatnslist(self.inside(directory), names)
        missing = []
        for name, answer in zip(names, answers, strict=True):
            if answer["st_ino"] == -1:
                missing.append(name)
            else:
                known[name] = self._stat(directory, name, answer)
        if not missing:
            return
        listed = set(self._ask(directory))  # not the host: it was not certain
        for name in missing:
            if name in listed:
                raise GuestReadError(
                    PurePosixPath(directory) / name,
                    "it is listed in its directory but cannot be examined (damaged filesystem?)",
                )
            known[name] = None

    def refuted(self, directory: str, names: Iterable[str]) -> str:
        """The first of those names that the appliance finds in the directory; "" when it finds none.

        Raises:
            GuestReadError: the directory cannot be looked at.
        """
        listed: list[str] = []
        for name in names:
            if raw.is_utf8(name):
                listed.append(name)
            elif raw.lstat(self._handle, self.inside(PurePosixPath(directory) / name)) is not None:
                return name
        for start in range(0, len(listed), _NAMES_A_CALL):
            part = listed[start : start + _NAMES_A_CALL]
            with reading(self._handle, directory):
                answers = self._handle.lstatnslist(self.inside(directory), part)
            for name, answer in zip(part, answers, strict=True):
                if answer["st_ino"] != -1:
                    return name
        return ""

    def _own(self, directory: str) -> Stat | None:
        """The lstat of a directory itself, by which the host finds what it holds."""
        if directory == "/":
            return None  # known by its mount
        # From the top down, if what was known of the parents was let go: no recursion, however deep.
        waiting: list[tuple[str, str]] = []
        parent, name = _parted(directory)
        while parent != "/" and name not in self._stats.get(parent, ()):
            waiting.append((parent, name))
            parent, name = _parted(parent)
        found = self.stats(parent, [name])[name]
        while waiting:
            parent, name = waiting.pop()
            found = self.stats(parent, [name])[name]
        return found

    def root(self) -> Stat:
        """Stat of the root directory itself."""
        if self._root is None and self._host is not None:
            self._root = self._host.top()
        if self._root is None:
            with reading(self._handle, "/"):
                self._root = _stat(self._handle.lstatns(self.inside("/")))
        return self._root

    def _stat(self, directory: str, name: str, answer: Mapping[str, Any]) -> Stat:
        """The appliance's answer, with the host's number of the filesystem where it has one."""
        path = f"{directory.rstrip('/')}/{name}"
        return _stat(answer, None if self._host is None else self._host.number(path))

    # --- listings -----------------------------------------------------------------

    def listing(self, directory: str) -> tuple[str, ...]:
        """All names in a directory, sorted."""
        if directory not in self._listings:
            self._listings[directory] = tuple(sorted(self._list(directory)))
        return self._listings[directory]

    def _list(self, directory: str) -> Iterable[str]:
        found = None if self._host is None else self._host.listing(directory, self._own(directory))
        return self._ask(directory) if found is None else found

    def _ask(self, directory: str) -> Iterable[str]:
        if directory not in self._asked:
            self._asked[directory] = tuple(self._asked_now(directory))
        return self._asked[directory]

    def _asked_now(self, directory: str) -> Iterable[str]:
        try:
            with reading(self._handle, directory):
                return self._handle.ls(self.inside(directory))
        except GuestReadError as error:
            # Names that are not UTF-8, or too many for one message: the slower way out through a file.
            if not isinstance(error.__cause__, UnicodeError) and "message" not in error.reason:
                raise
        with temporary_file() as out:
            with reading(self._handle, directory):
                self._handle.ls0(self.inside(directory), str(out))
            if out.stat().st_size > MAX_DIRECTORY_BYTES:
                raise GuestReadError(directory, f"more than {MAX_DIRECTORY_BYTES} bytes of names")
            names = out.read_bytes().split(b"\0")
        return [name.decode(errors="surrogateescape") for name in names if name]

    # --- links --------------------------------------------------------------------

    def links(self, directory: str, names: Iterable[str]) -> Mapping[str, str]:
        """Targets of symbolic links in one directory; "" for what is none."""
        known = self._links.setdefault(directory, {})
        wanted = [name for name in names if name not in known]
        if wanted and self._host is not None:
            known.update(self._host.targets(directory, self._own(directory), wanted))
            wanted = [name for name in wanted if name not in known]
        for start in range(0, len(wanted), _NAMES_A_CALL):
            part = wanted[start : start + _NAMES_A_CALL]
            known.update(zip(part, self._targets(directory, part), strict=True))
        return known

    def _targets(self, directory: str, names: list[str]) -> Sequence[str]:
        if all(map(raw.is_utf8, names)):
            try:
                with reading(self._handle, directory):
                    return self._handle.readlinklist(self.inside(directory), names)
            except GuestReadError as error:
                if not isinstance(error.__cause__, UnicodeError):
                    raise
        # A name or a target that is not UTF-8: one by one.
        place = PurePosixPath(directory)
        return [raw.readlink(self._handle, self.inside(place / name)) for name in names]


def _parted(path: str) -> tuple[str, str]:
    parent, _, name = path.rpartition("/")
    return parent or "/", name


def _stat(answer: Mapping[str, Any], device: int | None = None) -> Stat:
    return Stat(
        mode=answer["st_mode"],
        uid=answer["st_uid"],
        gid=answer["st_gid"],
        size_bytes=answer["st_size"],
        mtime=answer["st_mtime_sec"],
        inode=answer["st_ino"],
        links=answer["st_nlink"],
        device=answer["st_dev"] if device is None else device,
        ctime=answer["st_ctime_sec"],
    )

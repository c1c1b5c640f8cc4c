"""Bulk metadata of a mounted guest: whole directories at a time, asked for once.

libguestfs answers "no such file" for every failed lstat in a bulk call, also
for one that failed with an I/O error. So a name that seems missing is looked up
in the directory's listing before it is believed to be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from guestrepair.errors import GuestReadError
from guestrepair.guest import raw
from guestrepair.guest.handle import Handle, reading
from guestrepair.guest.host_tree import HostTree
from guestrepair.guest.temporary import temporary_file
from guestrepair.guest.view import Stat

_NAMES_A_CALL = 2000
"""Names in one bulk call: each stat is about 250 bytes of a message of at most 4 MB."""

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
        wanted = [name for name in names if name not in known]
        top = self._own(directory) if wanted else None
        if top is not None and self._host is not None:
            known.update(self._host.stats(top, directory, wanted))
            wanted = [name for name in wanted if name not in known]
        for name in wanted:
            if not raw.is_utf8(name):
                found = raw.lstat(self._handle, self.inside(PurePosixPath(directory) / name))
                known[name] = None if found is None else _stat(found)
        wanted = [name for name in wanted if name not in known]
        for start in range(0, len(wanted), _NAMES_A_CALL):
            self._fetch(directory, wanted[start : start + _NAMES_A_CALL], known)
        return known

    def _fetch(self, directory: str, names: list[str], known: dict[str, Stat | None]) -> None:
        with reading(self._handle, directory):
            answers = self._handle.lstatnslist(self.inside(directory), names)
        missing = []
        for name, answer in zip(names, answers, strict=True):
            if answer["st_ino"] == -1:
                missing.append(name)
            else:
                known[name] = _stat(answer)
        if not missing:
            return
        listed = set(
            self._ask(directory)
        )  # not the host: only the filesystem's own word makes a name missing
        for name in missing:
            if name in listed:
                raise GuestReadError(
                    PurePosixPath(directory) / name,
                    "it is listed in its directory but cannot be examined (damaged filesystem?)",
                )
            known[name] = None

    def _own(self, directory: str) -> Stat | None:
        """The lstat of a directory itself, where the host may know what it holds."""
        if self._host is None:
            return None
        place = PurePosixPath(directory)
        return (
            self.root() if place == place.parent else self.stats(str(place.parent), [place.name])[place.name]
        )

    def root(self) -> Stat:
        """Stat of the root directory itself."""
        if self._root is None:
            with reading(self._handle, "/"):
                self._root = _stat(self._handle.lstatns(self.inside("/")))
        return self._root

    # --- listings -----------------------------------------------------------------

    def listing(self, directory: str) -> tuple[str, ...]:
        """All names in a directory, sorted."""
        if directory not in self._listings:
            self._listings[directory] = tuple(sorted(self._list(directory)))
        return self._listings[directory]

    def _list(self, directory: str) -> Iterable[str]:
        top = self._own(directory)
        found = self._host.listing(top) if top is not None and self._host is not None else None
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
        top = self._own(directory) if wanted else None
        if top is not None and self._host is not None:
            known.update(self._host.targets(top, wanted))
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


def _stat(answer: Mapping[str, Any]) -> Stat:
    return Stat(
        mode=answer["st_mode"],
        uid=answer["st_uid"],
        gid=answer["st_gid"],
        size_bytes=answer["st_size"],
        mtime=answer["st_mtime_sec"],
        inode=answer["st_ino"],
        links=answer["st_nlink"],
        device=answer["st_dev"],
        ctime=answer["st_ctime_sec"],
    )

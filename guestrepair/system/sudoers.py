"""sudo's configuration: the files in the order in which sudo reads them, with what they include.

Sources: sudoers(5), @include and @includedir; sudo's ``plugins/sudoers/toke.l`` (names that it leaves out).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from guestrepair.errors import FormatError
from guestrepair.formats import sudoers
from guestrepair.formats.sudoers import SudoersLine
from guestrepair.formats.sudoers.settings import SETTINGS
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.packages.base import PackageDatabase
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.strange import Strange

MAIN = GuestPath("/etc/sudoers")
MAX_INCLUDED = 64
MAX_RULES = 50_000
_RELEASE = re.compile(r"(?:[0-9]+:)?([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})")
_PROGRAMS = (GuestPath("/usr/bin/sudo"), GuestPath("/usr/local/bin/sudo"))


@dataclass(frozen=True, slots=True)
class SudoersText:
    """The bytes of one file, and its lines that are neither blank nor comment."""

    data: bytes
    lines: tuple[SudoersLine, ...]


@dataclass(frozen=True, slots=True)
class SudoersFile:
    """One file that sudo reads: its name, where it really lies and what lies there, and its text."""

    path: GuestPath
    real_path: GuestPath
    stat: Stat
    text: SudoersText | Unreadable


class Sudoers:
    """What sudo of one guest is told."""

    def __init__(self, guest: Guest, packages: PackageDatabase | None = None) -> None:
        self._guest = guest
        self._packages = packages

    @fact
    def is_installed(self) -> bool:
        """True when there is a sudo."""
        return any(map(self._guest.exists, _PROGRAMS))

    @fact
    def release(self) -> sudoers.Release:
        """Which sudo it is, by its package; the newest where no package says so."""
        names = (str(path) for path in _PROGRAMS) if self._packages is not None else ()
        for name in names:
            for file in self._packages.lookup(name) if self._packages is not None else ():
                found = _RELEASE.match(file.package.version)
                if found is not None:
                    return int(found[1]), int(found[2]), int(found[3])
        return sudoers.NEWEST

    @fact
    def strange(self) -> tuple[Strange, ...]:
        """Settings that sudo is not known to have: it complains, and goes on without them."""
        found = []
        for file in self.files:
            if isinstance(file, Unreadable) or isinstance(file.text, Unreadable):
                continue
            for line in file.text.lines:
                names = [name.lstrip("!") for name, _ in line.entry.defaults] if line.entry else []
                unknown = (name for name in names if name.lower() not in SETTINGS)
                found += [Strange(file.path, line.number, name, "a setting of sudo") for name in unknown]
        return tuple(found)

    @fact
    def missing_includes(self) -> tuple[tuple[GuestPath, SudoersLine, GuestPath], ...]:
        """(file, its line, the path) of each single file that is to be read and is not there."""
        found = []
        for file in self.files:
            if isinstance(file, Unreadable) or isinstance(file.text, Unreadable):
                continue
            for line in file.text.lines:
                for is_directory, name in sudoers.includes((line,)):
                    path = file.path.parent / name
                    if not is_directory and "%h" not in name and not self._guest.exists(path):
                        found.append((file.path, line, path))
        return tuple(found)

    @fact
    def files(self) -> tuple[SudoersFile | Unreadable, ...]:
        """The files in their order, /etc/sudoers first; none where that is not there.

        What was not looked at, of more than anybody has, is unreadable.
        """
        return tuple(self._files())

    def _files(self) -> Iterator[SudoersFile | Unreadable]:
        pending, seen, rules = deque([MAIN]), {MAIN}, 0
        while pending:
            file = self._file(pending.popleft())
            if file is None:
                continue
            yield file
            if isinstance(file.text, Unreadable):
                continue
            lines = file.text.lines
            rules += len(lines)
            included = attempt(partial(self._included, file.path, lines), file.path)
            if isinstance(included, Unreadable):
                yield included
                continue
            fresh = [name for name in included if name not in seen]
            if len(seen) + len(fresh) > MAX_INCLUDED or rules > MAX_RULES:
                reason = f"more than {MAX_INCLUDED} included files or {MAX_RULES} rules of sudo"
                yield Unreadable(str(file.path), f"{reason}, not all of them were looked at")
                return
            seen.update(fresh)
            pending.extend(fresh)

    def _file(self, path: GuestPath) -> SudoersFile | None:
        real = self._guest.resolve(path)
        found = self._guest.lstat(real) if real is not None else None
        if real is None or found is None:
            return None
        return SudoersFile(path, real, found, attempt(lambda: self._text(path), path))

    def _text(self, path: GuestPath) -> SudoersText:
        data = self._guest.read(path, limit_bytes=sudoers.MAX_SIZE_BYTES)
        return SudoersText(data, sudoers.parse(data, self.release))

    def _included(self, path: GuestPath, lines: tuple[SudoersLine, ...]) -> list[GuestPath]:
        """The files that these lines have sudo read; one more than are followed at the most."""
        includes = dict.fromkeys(sudoers.includes(lines))
        if len(includes) > MAX_INCLUDED:
            raise FormatError(f"more than {MAX_INCLUDED} includes, not all of them were looked at")
        found: dict[GuestPath, None] = {}
        for is_directory, name in includes:
            inside = self._directory if is_directory else self._single
            found |= dict.fromkeys(islice(inside(path.parent / name), MAX_INCLUDED + 1))
        return list(found)[: MAX_INCLUDED + 1]

    def _single(self, path: GuestPath) -> Iterator[GuestPath]:
        if self._guest.is_file(path):
            yield path

    def _directory(self, path: GuestPath) -> Iterator[GuestPath]:
        """Names with a dot or a tilde at the end are left out (sudoers(5), @includedir)."""
        names = (p for p in self._guest.glob(path, "*") if "." not in p.name and not p.name.endswith("~"))
        yield from filter(self._guest.is_file, names)

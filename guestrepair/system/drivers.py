"""Which drivers the installed kernels have, and which of them modprobe will not load.

Sources: depmod(8), modules.dep(5), modprobe.d(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from guestrepair.errors import GuestReadError
from guestrepair.formats.modules import (
    MAX_SIZE_BYTES,
    Blocked,
    parse_aliases,
    parse_dependencies,
    parse_modprobe_conf,
    parse_modules_builtin,
)
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, fact, known, parsed

Release: TypeAlias = tuple[int, int]
T = TypeVar("T")

_MODULES = ("/usr/lib/modules", "/lib/modules")
_MODPROBE = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")


@dataclass(frozen=True, slots=True)
class KernelModules:
    """One kernel's modules by name."""

    release: str
    loadable: frozenset[str]
    builtin: frozenset[str]

    def has_any(self, names: AbstractSet[str]) -> bool:
        """True when one of them is there, in either way."""
        return bool(names & (self.loadable | self.builtin))


class Drivers:
    """The modules of each kernel of one guest. A list is read when something is asked of it, and once."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._of: dict[str, KernelModules | Unreadable | None] = {}
        self._dependencies: dict[str, Mapping[str, tuple[str, ...]] | Unreadable] = {}

    @fact
    def folder(self) -> GuestPath | None:
        """What holds a directory for each release; None when it is not there."""
        return next((p for p in map(GuestPath, _MODULES) if self._guest.is_directory(p)), None)

    @fact
    def kernels(self) -> tuple[KernelModules, ...]:
        """The kernels that have lists; one without says nothing.

        Raises:
            GuestReadError: a list cannot be read: that kernel may have any driver.
        """
        names = () if self.folder is None else self._guest.listdir(self.folder)
        found = (self.of(name) for name in names)
        return tuple(kernel for kernel in found if kernel is not None and kernel.loadable)

    def of(self, release: str) -> KernelModules | None:
        """The modules of one kernel; None where it has no list of them.

        Raises:
            GuestReadError: a list cannot be read: that kernel may have any driver.
        """
        if release not in self._of:
            self._of[release] = attempt(partial(self._kernel, release))
        return known(self._of[release])

    def _kernel(self, release: str) -> KernelModules | None:
        if self.folder is None:
            return None
        home = self.folder / release
        if not self._guest.exists(home / "modules.dep"):
            return None
        loadable, builtin = frozenset(self.dependencies(release)), self.builtin(release)
        if builtin is None:
            raise GuestReadError(home / "modules.builtin", "no such file")
        return KernelModules(release, loadable, builtin)

    def builtin(self, release: str) -> frozenset[str] | None:
        """The modules that are parts of one kernel; None where no list says which.

        Raises:
            GuestReadError: the list cannot be read.
        """
        return self._parsed(release, "modules.builtin", parse_modules_builtin)

    def dependencies(self, release: str) -> Mapping[str, tuple[str, ...]]:
        """The loadable modules of one kernel, each with those that are loaded before it.

        Raises:
            GuestReadError: the list cannot be read.
        """
        if release not in self._dependencies:
            self._dependencies[release] = attempt(
                lambda: self._parsed(release, "modules.dep", parse_dependencies) or {}
            )
        return known(self._dependencies[release])

    def aliases(self, release: str, devices: Collection[str]) -> Mapping[str, frozenset[str]]:
        """The loadable modules for each of these devices, by the kernel's own list.

        Raises:
            GuestReadError: the list cannot be read.
        """
        return self._parsed(release, "modules.alias", partial(parse_aliases, devices=devices)) or {}

    def _parsed(self, release: str, name: str, parse: Callable[[bytes], T]) -> T | None:
        if self.folder is None or not release or "/" in release or release in {".", ".."}:
            return None
        path = self.folder / release / name
        if not self._guest.exists(path):
            return None
        return parsed(parse, self._read(path), path)

    def _read(self, path: GuestPath) -> bytes:
        return self._guest.read(path, limit_bytes=MAX_SIZE_BYTES)

    @fact
    def releases(self) -> tuple[Release, ...]:
        """The releases of all kernels, as (major, minor); empty when one's name tells none."""
        found = [re.match(r"(\d{1,4})\.(\d{1,4})", kernel.release) for kernel in self.kernels]
        return tuple((int(m[1]), int(m[2])) for m in found if m is not None) if all(found) else ()

    @fact
    def blocked(self) -> tuple[tuple[str, Blocked], ...]:
        """(file and line, what it blocks) of every rule of modprobe.d that can be read."""
        return tuple(b for b in self._blocked_or_unread if not isinstance(b, Unreadable))

    @fact
    def unread(self) -> tuple[Unreadable, ...]:
        """Files of modprobe.d that cannot be read."""
        return tuple(b for b in self._blocked_or_unread if isinstance(b, Unreadable))

    @fact
    def _blocked_or_unread(self) -> tuple[tuple[str, Blocked] | Unreadable, ...]:
        return tuple(self._read_blocked())

    def _read_blocked(self) -> Iterator[tuple[str, Blocked] | Unreadable]:
        seen: set[str] = set()
        for folder in map(GuestPath, _MODPROBE):
            for path in self._guest.glob(folder, "*.conf"):
                if path.name in seen:
                    continue  # a file in /etc replaces one of the same name in /usr/lib (modprobe.d(5))
                seen.add(path.name)
                data = attempt(partial(self._guest.read, path))
                if isinstance(data, Unreadable):
                    yield data
                    continue
                rules = attempt(partial(parse_modprobe_conf, data), path)
                yield from () if isinstance(rules, Unreadable) else ((f"{path}:{b.line}", b) for b in rules)

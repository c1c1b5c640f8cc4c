"""Which drivers the installed kernels have, and which of them modprobe will not load.

Sources: depmod(8), modules.dep(5), modprobe.d(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from guestrepair.formats.modules import (
    MAX_SIZE_BYTES,
    Blocked,
    parse_modprobe_conf,
    parse_modules_builtin,
    parse_modules_dep,
)
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, fact, known

Release: TypeAlias = tuple[int, int]

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
    """The modules of each kernel of one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def kernels(self) -> tuple[KernelModules, ...]:
        """The kernels that have lists; one without says nothing.

        Raises:
            GuestReadError: a list cannot be read: that kernel may have any driver.
        """
        folder = next((p for p in map(GuestPath, _MODULES) if self._guest.is_directory(p)), None)
        if folder is None:
            return ()
        found = (self._kernel(folder / name) for name in self._guest.listdir(folder))
        return tuple(kernel for kernel in found if kernel is not None and kernel.loadable)

    def _kernel(self, folder: GuestPath) -> KernelModules | None:
        dep, builtin = folder / "modules.dep", folder / "modules.builtin"
        if not self._guest.exists(dep):
            return None
        return KernelModules(
            folder.name,
            known(attempt(lambda: parse_modules_dep(self._read(dep)), dep)),
            known(attempt(lambda: parse_modules_builtin(self._read(builtin)), builtin)),
        )

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

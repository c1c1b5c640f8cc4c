"""Which libraries the guest's programs are loaded with, as ld.so(8) would find them; nothing is run.

What was read for one question serves the next: all analyzers share what is known here.
Sources: ld.so(8), FILES (``/etc/ld.so.preload``); ldconfig(8).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from functools import partial

from guestrepair.formats.elf import read_elf
from guestrepair.formats.ldso import parse_preload
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.closure import Closure
from guestrepair.packages.loading import Loading, Unresolved
from guestrepair.system.boot_programs import BootPrograms
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.preload import Preloaded, judge_preload
from guestrepair.system.shadows import Shadow, find_shadows

PRELOAD = GuestPath("/etc/ld.so.preload")
_MAX_CANDIDATES = 50


class Libraries:
    """The libraries of one guest."""

    def __init__(self, guest: Guest, programs: BootPrograms) -> None:
        self._guest = guest
        self._programs = programs
        self._closure = Closure(guest)

    @fact
    def of_boot(self) -> Loading:
        """What loading the programs of boot and login comes to."""
        return self.load(self._programs.paths)

    def load(self, paths: Iterable[GuestPath]) -> Loading:
        """What loading these programs or libraries comes to; those that are not there are passed over."""
        return self._closure.load(paths)

    def resolve(self, path: GuestPath) -> GuestPath | None:
        """The path with every link followed; None when that leads nowhere."""
        return self._guest.resolve(path)

    def candidates(self, problem: Unresolved) -> tuple[GuestPath, ...]:
        """The places where a library that could not be loaded would be looked for, or lies unusable."""
        return self._closure.candidates(problem)

    @fact
    def preload_content(self) -> bytes:
        """ld.so.preload as it is; empty where there is none."""
        return self._guest.read_if_there(PRELOAD) or b""

    @fact
    def preloaded(self) -> tuple[Preloaded, ...]:
        """What ld.so.preload has every program load, and what comes of it."""
        return judge_preload(self._closure, parse_preload(self.preload_content), self._programs.paths)

    def shadows(self, owned: Callable[[Iterable[GuestPath]], Container[GuestPath]]) -> tuple[Shadow, ...]:
        """Libraries that programs of boot and login get, and that do not serve them; see Shadow."""
        return find_shadows(self._closure, self.of_boot, self._programs.paths, owned)

    def with_soname(self, place: GuestPath) -> GuestPath | None:
        """A library beside it whose SONAME is this name: ldconfig would make the link (ldconfig(8))."""
        stem = place.name.partition(".so")[0]
        for candidate in self._guest.glob(place.parent, f"{stem}*.so*")[:_MAX_CANDIDATES]:
            stat = self._guest.lstat(candidate)
            if stat is None or not stat.is_file or candidate.name == place.name:
                continue
            elf = attempt(partial(read_elf, partial(self._guest.read_range, candidate)), candidate)
            # One that cannot be read or is damaged is none that a link could be made to.
            if not isinstance(elf, Unreadable) and elf.soname == place.name:
                return candidate
        return None

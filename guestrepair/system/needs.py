"""What boot cannot do without, and what nobody logs in without: programs, modules and the libraries of both.

A file that is gone is known by its name: that of a program, or of a library that one of them needs.
Sources: systemd(1), bootup(7); the list of programs in boot_programs.py.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from guestrepair.model import GuestPath
from guestrepair.packages.aliases import forms
from guestrepair.packages.loading import Loading
from guestrepair.system.boot_programs import BootPrograms
from guestrepair.system.fact import fact
from guestrepair.system.libraries import Libraries

_BOOT_PROGRAMS = frozenset(
    {
        "init", "mount", "fsck", "udevadm", "udevd", "kmod", "modprobe", "sh", "openrc", "openrc-init",
        "runit-init", "busybox", "systemd", "systemd-executor", "systemd-udevd", "systemd-journald",
        "systemd-fsck", "systemd-remount-fs",
    }
)  # fmt: skip
_BOOT_PLACES = ("/boot/", "/efi/")
_BOOT_UNITS = frozenset(
    {
        "default.target", "basic.target", "sysinit.target", "local-fs.target", "multi-user.target",
        "graphical.target",
    }
)  # fmt: skip
_UNITS = "/usr/lib/systemd/system/"


class Stage(enum.StrEnum):
    """What fails without a file."""

    BOOT = "boot"
    LOGIN = "login"
    OTHER = "other"


class Needs:
    """Which stage a path of the guest is needed for."""

    def __init__(self, programs: BootPrograms, libraries: Libraries) -> None:
        self._programs = programs
        self._libraries = libraries

    def stage(self, path: str) -> Stage:
        """The first stage that fails without this path, there or not."""
        names = {GuestPath(name) for name in forms(path)}
        if path.startswith(_BOOT_PLACES) or self._is_unit(names) or self._is_program(names, boot=True):
            return Stage.BOOT
        if self._is_library(names, self._of_boot):
            return Stage.BOOT
        if self._is_program(names, boot=False) or self._is_library(names, self._of_all):
            return Stage.LOGIN
        return Stage.OTHER

    def first(self, paths: Iterable[str]) -> Stage:
        """The first stage that fails without any of these."""
        order = tuple(Stage)
        return min((self.stage(path) for path in paths), key=order.index, default=Stage.OTHER)

    @staticmethod
    def _is_unit(names: Iterable[GuestPath]) -> bool:
        return any(str(name).startswith(_UNITS) and name.name in _BOOT_UNITS for name in names)

    def _is_program(self, names: Iterable[GuestPath], *, boot: bool) -> bool:
        return any(name in self._known and (name.name in _BOOT_PROGRAMS) is boot for name in names)

    @fact
    def _known(self) -> frozenset[GuestPath]:
        """The programs under all their names, and the files that these lead to."""
        return self._programs.names | self._real.keys()

    @fact
    def _real(self) -> dict[GuestPath, GuestPath]:
        """The real path of each program, with the name that it was found by."""
        return {
            real: path for path in self._programs.paths if (real := self._libraries.resolve(path)) is not None
        }

    @staticmethod
    def _is_library(names: Iterable[GuestPath], known: tuple[frozenset[GuestPath], tuple[str, ...]]) -> bool:
        files, needed = known
        for name in names:
            if name in files:
                return True
            if ".so" in name.name and any(name.name == n or name.name.startswith(f"{n}.") for n in needed):
                return True
        return False

    @fact
    def _of_boot(self) -> tuple[frozenset[GuestPath], tuple[str, ...]]:
        boot = [path for path in self._programs.paths if path.name in _BOOT_PROGRAMS]
        return self._made_of(self._libraries.load(boot))

    @fact
    def _of_all(self) -> tuple[frozenset[GuestPath], tuple[str, ...]]:
        return self._made_of(self._libraries.of_boot)

    def _made_of(self, loading: Loading) -> tuple[frozenset[GuestPath], tuple[str, ...]]:
        """The files that are loaded, and the names by which libraries are needed that are not there."""
        lost = dict.fromkeys(GuestPath(problem.library).name for problem in loading.unresolved)
        return frozenset((*loading.files, *loading.places.values())), tuple(lost)

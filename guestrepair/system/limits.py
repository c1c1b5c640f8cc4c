"""Resource limits: what pam_limits sets at a login, what the kernel refuses, and systemd's own defaults.

Sources: limits.conf(5), pam_limits(8), setrlimit(2), proc(5) fs/nr_open, sysctl.d(5),
systemd-system.conf(5) DefaultLimit…=, systemd.exec(5) Limit…=; systemd ``src/core/main.c``
bump_file_max_and_nr_open(), which not all distributions build in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.formats.limits import Limit, Person, parse_limits, rank, unknown_words
from guestrepair.formats.systemd_unit import Unit, parse_unit
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact, parsed
from guestrepair.system.kernel_settings import KernelSettings
from guestrepair.system.pam import Pam
from guestrepair.system.strange import Strange
from guestrepair.system.systemd import LoadedUnit, chosen_files

DEFAULT_NR_OPEN = 1024 * 1024
"""fs.nr_open as the kernel starts with it."""

BUMPED_NR_OPEN = 1_073_741_816
"""The same after a systemd that raises it."""

_PLACES = tuple(GuestPath(p) for p in ("/etc/security", "/usr/etc/security", "/usr/share/security"))
_MANAGERS = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_CORE_DIRECTORIES = (
    GuestPath("/usr/lib/systemd"),
    GuestPath("/usr/lib64/systemd"),
    GuestPath("/lib/systemd"),
)
_SYSTEM_CONF = GuestPath("/etc/systemd/system.conf")
_SYSTEM_CONF_DIRECTORIES = tuple(
    GuestPath(p)
    for p in (
        "/etc/systemd/system.conf.d",
        "/usr/local/lib/systemd/system.conf.d",
        "/usr/lib/systemd/system.conf.d",
    )
)
_PROGRAM_LIMIT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LimitsFile:
    """One file that pam_limits reads: its path, its bytes and its lines."""

    path: GuestPath
    data: bytes
    lines: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """One file of settings of systemd: its path, its bytes and its assignments."""

    path: GuestPath
    data: bytes
    unit: Unit


@dataclass(frozen=True, slots=True)
class SetLimit:
    """A limit in force for somebody: the file and the line that set it."""

    file: LimitsFile
    line: Limit


class Limits:
    """The limits of one guest."""

    def __init__(self, guest: Guest, pam: Pam, kernel_settings: KernelSettings) -> None:
        self._guest = guest
        self._pam = pam
        self._kernel_settings = kernel_settings
        self._named: dict[GuestPath, tuple[LimitsFile, ...]] = {}

    @fact
    def files(self) -> tuple[LimitsFile, ...]:
        """The files that pam_limits reads, in their order.

        Raises:
            GuestReadError: one is there and cannot be read.
        """
        main = next((d / "limits.conf" for d in _PLACES if self._guest.is_file(d / "limits.conf")), None)
        inside: dict[str, GuestPath] = {}
        for directory in _PLACES:
            for path in self._guest.glob(directory / "limits.d", "*.conf"):
                inside.setdefault(path.name, path)
        paths = [*([main] if main is not None else []), *(inside[name] for name in sorted(inside))]
        return tuple(self._read(path) for path in paths if self._guest.is_file(path))

    @fact
    def strange(self) -> tuple[Strange, ...]:
        """What stands in these files and pam_limits passes over."""
        return tuple(Strange(f.path, *found) for f in self.files for found in unknown_words(f.data))

    def files_of(self, arguments: Sequence[str]) -> tuple[LimitsFile, ...]:
        """The same for a call of pam_limits with these arguments; ``conf=`` names the one file."""
        named = [word.partition("=")[2] for word in arguments if word.startswith("conf=/")]
        if not named:
            return self.files
        path = GuestPath(named[-1])
        if path not in self._named:
            self._named[path] = (self._read(path),) if self._guest.is_file(path) else ()
        return self._named[path]

    def _read(self, path: GuestPath) -> LimitsFile:
        data = self._guest.read(path)
        return LimitsFile(path, data, parsed(parse_limits, data, path))

    @fact
    def default_is_for_root(self) -> bool:
        """True where ``*`` and groups set limits for root, too; Debian's pam_limits asks for root's name."""
        return not {self._guest.os.distro, *self._guest.os.id_like} & {"debian", "ubuntu"}

    @fact
    def nofile_is_clamped(self) -> bool:
        """True when this pam_limits takes an unlimited ``nofile`` for fs.nr_open; older ones are refused."""
        module = self._module
        return module is None or b"nr_open" in module

    @fact
    def refusal_is_fatal(self) -> bool:
        """True where pam_limits fails when the kernel refuses a limit; Debian's goes on without that limit.

        Told by the words that Debian's own log messages have (its patches 032 and 040 go together).
        """
        module = self._module
        return self.default_is_for_root if module is None else b"to soft=%d, hard=%d" not in module

    @fact
    def _module(self) -> bytes | None:
        path = self._pam.module_file("pam_limits.so")
        return None if path is None else self._guest.read(path, limit_bytes=_PROGRAM_LIMIT_BYTES)

    @fact
    def nr_open(self) -> int:
        """What fs.nr_open will be once booted: the most that ``nofile`` can be."""
        assigned = self._kernel_settings.sysctl.get("fs/nr_open")
        if assigned is not None and re.fullmatch(r"[0-9]{1,12}", assigned.setting.value):
            return int(assigned.setting.value)
        return BUMPED_NR_OPEN if self._systemd_raises_it() else DEFAULT_NR_OPEN

    def _systemd_raises_it(self) -> bool:
        guest = self._guest
        paths = [GuestPath(path) for path in _MANAGERS]
        for directory in _CORE_DIRECTORIES:
            paths += guest.glob(directory, "libsystemd-core-*.so")
        real = dict.fromkeys(guest.resolve(path) for path in paths)
        return any(
            b"Couldn't write fs.nr_open" in guest.read(path, limit_bytes=_PROGRAM_LIMIT_BYTES)
            for path in real
            if path is not None and guest.is_file(path)
        )

    # --- systemd ------------------------------------------------------------------------

    @fact
    def manager(self) -> tuple[SettingsFile, ...]:
        """systemd's own configuration, file by file in their order (systemd-system.conf(5))."""
        paths = [
            *([_SYSTEM_CONF] if self._guest.is_file(_SYSTEM_CONF) else []),
            *chosen_files(self._guest, _SYSTEM_CONF_DIRECTORIES, ".conf"),
        ]
        return tuple(map(self._settings, paths))

    def settings_of(self, unit: LoadedUnit) -> tuple[SettingsFile, ...]:
        """The files of a unit, its drop-ins last."""
        return tuple(map(self._settings, (unit.path, *unit.drop_ins)))

    def _settings(self, path: GuestPath) -> SettingsFile:
        data = self._guest.read(path)
        return SettingsFile(path, data, parsed(parse_unit, data, path))


def in_force(
    files: Sequence[LimitsFile], person: Person, *, default_is_for_root: bool
) -> dict[tuple[str, str], SetLimit]:
    """(item, soft or hard) to the line that sets it for a person; none for one who is freed of all."""
    found: dict[tuple[str, str], tuple[int, SetLimit]] = {}
    for file, line, closeness in _meant(files, person, default_is_for_root=default_is_for_root):
        if not line.item:
            return {}
        counts = line.item in ("maxlogins", "maxsyslogins")  # one limit, whatever its name and type
        if line.value is None or (closeness in (2, 3) and line.item != "maxlogins"):
            continue
        for kind in ("hard",) if counts else line.types:
            key = ("maxlogins" if counts else line.item, kind)
            if key in found and found[key][0] < closeness:
                break
            found[key] = (closeness, SetLimit(file, line))
    return {key: each for key, (_, each) in found.items()}


def _meant(
    files: Sequence[LimitsFile], person: Person, *, default_is_for_root: bool
) -> Iterator[tuple[LimitsFile, Limit, int]]:
    for file in files:
        for line in file.lines:
            closeness = rank(line.domain, person, default_is_for_root=default_is_for_root)
            if closeness is not None and (line.item or closeness < 2):  # neither * nor % frees anybody
                yield file, line, closeness

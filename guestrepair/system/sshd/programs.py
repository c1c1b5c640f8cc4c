"""The programs that sshd consists of and starts, and the libraries that they and its PAM modules need.

Sources: OpenSSH sshd.c, main(); sshd_config(5), Subsystem, SshdSessionPath; systemd.service(5), ExecStart=.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guestrepair.model import GuestPath
from guestrepair.packages.closure import Closure
from guestrepair.packages.loading import Unresolved
from guestrepair.system.files import guest_path

if TYPE_CHECKING:
    from guestrepair.system.sshd.sshd import Sshd

SESSION_SINCE = (9, 8)
AUTH_SINCE = (10, 0)
HELPER_DIRECTORIES = tuple(
    GuestPath(p)
    for p in ("/usr/lib/openssh", "/usr/libexec/openssh", "/usr/lib/ssh", "/usr/libexec/ssh", "/usr/libexec")
)
"""Where Debian, Red Hat, Arch and Alpine, SUSE, and a plain build put the helper programs."""

_HELPERS = (("sshd-session", SESSION_SINCE, "sshdsessionpath"), ("sshd-auth", AUTH_SINCE, "sshdauthpath"))
_SPECIAL = re.compile(r"[%$\\\"']")


class Role(enum.Enum):
    """What a program does for sshd."""

    SERVER = enum.auto()
    UNIT = enum.auto()
    HELPER = enum.auto()
    SUBSYSTEM = enum.auto()


@dataclass(frozen=True, slots=True)
class Program:
    """A program: its path, what names it, its role, and the name of a subsystem."""

    path: GuestPath
    source: str
    role: Role
    subsystem: str = ""


@dataclass(frozen=True, slots=True)
class Libraries:
    """What cannot be loaded; ``unread`` says what was not looked at, where a missing library may lie."""

    unresolved: tuple[Unresolved, ...]
    unread: tuple[str, ...]


def find_programs(sshd: Sshd) -> Iterator[Program]:
    """The server, what its units start beside it, its helpers, its subsystems."""
    yield Program(sshd.server.binary, sshd.name, Role.SERVER)
    for path, unit in dict(_of_units(sshd)).items():
        yield Program(path, unit, Role.UNIT)
    for name, since, keyword in _HELPERS:
        if sshd.server.release >= since:
            path, source = _helper(sshd, name, sshd.settings.text(keyword))
            yield Program(path, source, Role.HELPER)
    for line in sshd.settings.every("subsystem"):
        command = line.args[1] if len(line.args) > 1 else ""
        if command.startswith("/"):
            place = f"{line.place.file}:{line.place.line}"
            yield Program(guest_path(command), place, Role.SUBSYSTEM, line.args[0])


def _of_units(sshd: Sshd) -> Iterator[tuple[GuestPath, str]]:
    """What the units start, other than sshd itself; after a leading - it does not matter if it is missing."""
    for service in sshd.services:
        for key in ("ExecStartPre", "ExecStart"):
            for command in service.unit.values("Service", key):
                word = command.split()[0] if command.split() else ""
                name = word.lstrip("@-+!:")
                may_fail = "-" in word[: len(word) - len(name)]
                path = guest_path(name)
                plain = name.startswith("/") and not _SPECIAL.search(name)
                if plain and not may_fail and not _is_server(sshd, path):
                    yield path, str(service.path)


def _is_server(sshd: Sshd, path: GuestPath) -> bool:
    binary = sshd.server.binary
    resolved = sshd.files.resolve(path)
    return path == binary or (resolved is not None and resolved == sshd.files.resolve(binary))


def _helper(sshd: Sshd, name: str, configured: str) -> tuple[GuestPath, str]:
    if configured.startswith("/"):
        return guest_path(configured), str(sshd.config_path)
    for text in sorted(sshd.server.paths):
        if text.endswith(f"/{name}"):
            return GuestPath(text), f"strings of {sshd.server.binary}"
    packages = sshd.system.packages
    candidates = [d / name for d in HELPER_DIRECTORIES]
    there = next((p for p in candidates if sshd.files.exists(p)), None)
    packaged = (p for p in candidates if packages is not None and packages.lookup(str(p)))
    usual = candidates[0 if sshd.server.family in ("debian", "ubuntu") else 1]
    return there or next(packaged, usual), "where distributions put it"


def find_libraries(sshd: Sshd) -> Libraries:
    """What the programs that are there, and the PAM modules of sshd's service, cannot load."""
    programs = [program.path for program in sshd.programs if sshd.files.is_file(program.path)]
    modules = [path for _, path in sshd.pam_modules if path is not None]
    closure = Closure(sshd.system.view)
    found = tuple(closure.unresolved((*programs, *modules)))
    return Libraries(found, tuple(dict.fromkeys(closure.unread)))

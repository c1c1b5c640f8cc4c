"""What systemd-tmpfiles makes, changes and removes at boot.

Source: tmpfiles.d(5), *Configuration Directories and Precedence*.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.formats.tmpfiles import MAKES_DIRECTORY, REMOVES, TmpfilesLine, parse_tmpfiles
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact, parsed
from guestrepair.system.systemd import chosen_files

_DIRECTORIES = tuple(
    GuestPath(p)
    for p in ("/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d", "/lib/tmpfiles.d")
)
_ONLY_ADJUSTS = "e"


@dataclass(frozen=True, slots=True)
class BootLine:
    """One line that is in force, and the file that holds it."""

    file: GuestPath
    line: TmpfilesLine

    @property
    def path(self) -> GuestPath:
        """What the line is about."""
        return GuestPath(self.line.path)

    @property
    def makes_directory(self) -> bool:
        """True where the line makes a directory that is not there."""
        return self.line.type in MAKES_DIRECTORY and self.line.type != _ONLY_ADJUSTS

    @property
    def removes(self) -> bool:
        """True where the line removes what is there, at boot at least (``r!`` only then)."""
        return self.line.type in REMOVES

    @property
    def place(self) -> str:
        """``FILE:LINE``."""
        return f"{self.file}:{self.line.number}"


class Tmpfiles:
    """The lines of one guest's tmpfiles.d that apply at boot, in systemd's order: the first for a path wins.

    A file that cannot be read raises GuestReadError: what it says may decide.
    """

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def lines(self) -> tuple[BootLine, ...]:
        """Every line that can be read."""
        return tuple(
            BootLine(path, line)
            for path in chosen_files(self._guest, _DIRECTORIES, ".conf")
            for line in parsed(parse_tmpfiles, self._guest.read(path), path).lines
        )

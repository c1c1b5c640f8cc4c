"""What loading programs comes to, as data: what fails, what was found where, and the process that loads.

Source: ld.so(8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from guestrepair.formats.elf import ElfFile
from guestrepair.formats.ldso import LoaderPlaces
from guestrepair.model import GuestPath
from guestrepair.packages.search_path import lib_of


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A library (or interpreter) that an ELF file names and that cannot be loaded, and why.

    ``path`` is the file that names it, ``root`` the program that was asked about.
    ``found`` is where an unusable file of that name lies, "" when there is none.
    """

    path: GuestPath
    library: str
    reason: str
    root: GuestPath
    found: str = ""


@dataclass(frozen=True, slots=True)
class MissingVersions:
    """A library is found under a name, and lacks symbol versions that ``path`` needs: ld.so ends the program.

    ``found`` is its real path, ``place`` where it was found; ``some_processors``: only some take that one.
    """

    path: GuestPath
    library: str
    found: GuestPath
    place: GuestPath
    versions: tuple[str, ...]
    root: GuestPath
    some_processors: bool = False


@dataclass(frozen=True, slots=True)
class Loading:
    """What loading some programs comes to: what fails, and the ELF files that they are made of, by real path.

    ``unread`` says what was not looked at (of the loader's configuration that cannot be read, or of a
    guest with more than anybody has): what seems to be missing then may lie there. ``places`` tells under
    which path each library was found, ``users`` who needs it, and by which name.
    """

    unresolved: tuple[Unresolved, ...]
    files: tuple[GuestPath, ...]
    unread: tuple[str, ...] = ()
    versions: tuple[MissingVersions, ...] = ()
    places: Mapping[GuestPath, GuestPath] = field(default_factory=dict)
    users: Mapping[GuestPath, Mapping[GuestPath, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file of the right name that the loader could not use; ``ends_search``: it gives up there."""

    path: GuestPath
    reason: str
    ends_search: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A library: its real path, where it was found, and what some processors take in its place."""

    real: GuestPath
    place: GuestPath
    variants: tuple[GuestPath, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """A program as its loader sees it: the loader's real path, and what it has built in."""

    path: GuestPath
    real: GuestPath
    elf: ElfFile
    loader: GuestPath | None
    is_musl: bool
    built_in: LoaderPlaces | None

    @property
    def lib(self) -> str:
        """What ``$LIB`` stands for."""
        return lib_of(self.elf, self.real, self.built_in)

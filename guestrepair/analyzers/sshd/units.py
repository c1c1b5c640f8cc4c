"""systemd units and tmpfiles.d of the guest, read as systemd would at boot.

Sources: systemd.unit(5) *Unit File Load Path*, tmpfiles.d(5) *Configuration
Directories and Precedence*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.formats.systemd_unit import Unit, merge_units, parse_unit
from guestrepair.formats.tmpfiles import TmpfilesLine, parse_tmpfiles
from guestrepair.guest.masks import is_masked, leads_to_null
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

UNIT_DIRECTORIES = tuple(
    GuestPath(p)
    for p in (
        "/etc/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    )
)
"""Where unit files are looked for, the first one wins (without what exists only while running)."""

VENDOR_DIRECTORIES = UNIT_DIRECTORIES[1:]

TMPFILES_DIRECTORIES = tuple(
    GuestPath(p)
    for p in ("/etc/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d", "/lib/tmpfiles.d")
)


@dataclass(frozen=True, slots=True)
class LoadedUnit:
    """A unit by its name: fragment path, whether it is masked, and its assignments with drop-ins."""

    name: str
    path: GuestPath
    masked: bool
    unit: Unit


def load_unit(
    guest: Guest, name: str, *, directories: Sequence[GuestPath] = UNIT_DIRECTORIES
) -> LoadedUnit | None:
    """The unit of that name with its drop-ins, or None when no directory has it.

    Raises:
        GuestReadError: the fragment is there and cannot be read.
    """
    for directory in directories:
        path = directory / name
        if guest.lstat(path) is None:
            continue
        if is_masked(guest, path):
            return LoadedUnit(name, path, True, Unit())
        if not guest.is_file(path):
            continue  # a dangling link: systemd goes on as if it were not there
        parts = [parse_unit(guest.read(path))]
        names = dict.fromkeys((_real_name(guest, path), name))  # drop-ins of an alias and of the unit itself
        folders = [d / f"{n}.d" for d in directories for n in names]
        parts.extend(parse_unit(data) for _, data in drop_ins(guest, folders, ".conf"))
        return LoadedUnit(name, path, False, merge_units(parts))
    return None


def _real_name(guest: Guest, path: GuestPath) -> str:
    """The name of the file that a link leads to, which is the unit's own (systemd.unit(5), Alias=)."""
    resolved = guest.resolve(path)
    return path.name if resolved is None or resolved.suffix != path.suffix else resolved.name


def drop_ins(
    guest: Guest, directories: Sequence[GuestPath], suffix: str
) -> Iterator[tuple[GuestPath, bytes]]:
    """The files of configuration directories in systemd's order: by name, the first directory wins.

    One that is no regular file is passed over, as systemd does after a warning.

    Raises:
        GuestReadError: one of them cannot be read; what it says may decide.
    """
    chosen: dict[str, GuestPath] = {}
    for directory in directories:
        for path in guest.glob(directory, f"*{suffix}"):
            chosen.setdefault(path.name, path)
    for name in sorted(chosen):
        path = chosen[name]
        if not leads_to_null(guest, path) and guest.is_file(path):
            yield path, guest.read(path)


def tmpfiles_lines(guest: Guest) -> tuple[tuple[GuestPath, TmpfilesLine], ...]:
    """Every line of the guest's tmpfiles.d that applies at boot, with the file that holds it."""
    return tuple(
        (path, line)
        for path, data in drop_ins(guest, TMPFILES_DIRECTORIES, ".conf")
        for line in parse_tmpfiles(data).lines
    )

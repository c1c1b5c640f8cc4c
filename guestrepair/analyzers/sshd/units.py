"""systemd units and tmpfiles.d of the guest, read as systemd would at boot.

Sources: systemd.unit(5) *Unit File Load Path*, tmpfiles.d(5) *Configuration
Directories and Precedence*.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.errors import GuestReadError
from guestrepair.formats.systemd_unit import Unit, merge_units, parse_unit
from guestrepair.formats.tmpfiles import TmpfilesLine, parse_tmpfiles
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

NULL_DEVICE = "/dev/null"


@dataclass(frozen=True, slots=True)
class LoadedUnit:
    """A unit by its name: fragment path, whether it is masked, and its assignments with drop-ins."""

    name: str
    path: GuestPath
    masked: bool
    unit: Unit


def is_null_link(guest: Guest, path: GuestPath) -> bool:
    """True for a link to /dev/null, which masks a unit or a configuration file."""
    found = guest.lstat(path)
    if found is None or not found.is_symlink:
        return False
    target = guest.readlink(path)
    return target == NULL_DEVICE or str(path.parent / target).replace("/..", "") == NULL_DEVICE


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
        if is_null_link(guest, path):
            return LoadedUnit(name, path, True, Unit())
        found = guest.stat(path)
        if found is None or not found.is_file:
            continue  # a dangling link: systemd goes on as if it were not there
        if found.size_bytes == 0:
            return LoadedUnit(name, path, True, Unit())
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

    A file that cannot be read or is no regular file is passed over, as systemd does after a warning.
    """
    chosen: dict[str, GuestPath] = {}
    for directory in directories:
        for path in guest.glob(directory, f"*{suffix}"):
            chosen.setdefault(path.name, path)
    for name in sorted(chosen):
        path = chosen[name]
        if is_null_link(guest, path) or not guest.is_file(path):
            continue
        try:
            yield path, guest.read(path)
        except GuestReadError:
            continue


def tmpfiles_lines(guest: Guest) -> tuple[tuple[GuestPath, TmpfilesLine], ...]:
    """Every line of the guest's tmpfiles.d that applies at boot, with the file that holds it."""
    return tuple(
        (path, line)
        for path, data in drop_ins(guest, TMPFILES_DIRECTORIES, ".conf")
        for line in parse_tmpfiles(data).lines
    )

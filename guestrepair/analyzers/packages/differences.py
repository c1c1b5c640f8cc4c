"""What differs between a path's mode and owner and what they should be, and how bad that is.

Where the database does not record them (dpkg), plain impossibilities decide: a packaged path that everybody
may write, a program that nobody may execute, one that belongs to a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from guestrepair.analyzers.packages.packaged import is_documentation, is_program_place, matters_for_login
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath, PackagedKind, Severity
from guestrepair.packages.base import Flag, PackagedFile, Provenance
from guestrepair.packages.debian_attributes import AFTER_INSTALLATION, SETUID, Installed
from guestrepair.system.files import Files
from guestrepair.system.packaged import Packaged

FIRST_PERSON = 1000
"""AccountNames from here on belong to people (login.defs(5), UID_MIN): no packaged program is theirs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One path whose mode (``is_mode``) or owner is not what it should be."""

    is_mode: bool
    file: PackagedFile
    severity: Severity
    observed: str
    expected: str
    opened: bool = False
    """Everybody may write it, or it belongs to a person, and the package does not say so."""


def differences(names: AccountNames, file: PackagedFile, stat: Stat) -> Iterator[Difference]:
    """What is wrong with the mode and the owner of one path."""
    expected_mode = f"{file.mode:04o}" if file.mode is not None else "the packaged mode"
    if _mode_is_wrong(file, stat):
        severity = _mode_severity(file, stat)
        opened = bool(stat.permissions & 0o002 & ~(file.mode or 0))
        yield Difference(True, file, severity, f"{stat.permissions:04o}", expected_mode, opened)
    if _owner_is_wrong(names, file, stat):
        observed = f"{names.user(stat.uid)}:{names.group(stat.gid)}"
        yield Difference(
            False,
            file,
            Severity.NOTE if only_the_donors(file) and stat.uid < FIRST_PERSON else _owner_severity(file),
            observed,
            f"{file.owner or 'root'}:{file.group or 'root'}",
            stat.uid >= FIRST_PERSON,
        )


def _owner_is_wrong(names: AccountNames, file: PackagedFile, stat: Stat) -> bool:
    if not file.owner or file.provenance is Provenance.UNPACKED:
        # What a package's scripts chown belongs to an account of the system, never to a person.
        return Flag.CONFIG not in file.flags and stat.uid >= FIRST_PERSON
    return bool(owner_differs(names, file, stat))


def owner_differs(names: AccountNames, file: PackagedFile, stat: Stat) -> bool | None:
    """By name, as rpm compares: the number belongs to that name in the guest.

    None when nothing tells whose a number is: a name that cannot be looked up is no wrong owner.
    """
    same: list[bool | None] = []
    if file.owner and Flag.NO_OWNER not in file.flags:
        same.append(names.is_user(stat.uid, file.owner))
    if file.group and Flag.NO_GROUP not in file.flags:
        same.append(names.is_group(stat.gid, file.group))
    if False in same:
        return True
    return None if None in same else False


def _mode_is_wrong(file: PackagedFile, stat: Stat) -> bool:
    if file.mode is None and not stat.is_symlink:
        return suspicious_mode(file, stat)
    return mode_differs(file, stat)


def mode_differs(file: PackagedFile, stat: Stat) -> bool:
    """Another mode than the recorded one; against a .deb only what was lost or opened since.

    The scripts of a package may rightly have set other bits than its archive has.
    """
    if file.mode is None or stat.is_symlink or Flag.NO_MODE in file.flags:
        return False
    if file.provenance is Provenance.UNPACKED:
        return bool(file.mode & ~stat.permissions & 0o6555 or stat.permissions & 0o022 & ~file.mode)
    return stat.permissions != file.mode


def suspicious_mode(file: PackagedFile, stat: Stat) -> bool:
    """A mode that no package gives, where the database records none."""
    mode = stat.permissions
    if stat.is_directory:
        return bool(mode & 0o002) and not mode & 0o1000
    if not stat.is_file:
        return False
    if mode & 0o002 or not mode & 0o444:
        return True
    directory = file.path.rpartition("/")[0]
    return directory.endswith(("/bin", "/sbin")) and file.kind is PackagedKind.FILE and not mode & 0o111


def _mode_severity(file: PackagedFile, stat: Stat) -> Severity:
    opened = stat.permissions & 0o022 & ~(file.mode or 0o755)
    if file.flags & {Flag.CONFIG, Flag.GHOST}:
        login = matters_for_login(file.path)
        return Severity.WARNING if opened or (login and Flag.GHOST not in file.flags) else Severity.NOTE
    if is_documentation(file):
        return Severity.NOTE
    if only_the_donors(file) and not opened & 0o002:
        return Severity.NOTE
    lost = (file.mode if file.mode is not None else 0o555) & ~stat.permissions & 0o6555
    needed = is_program_place(file.path) or stat.is_directory
    if needed and (lost & 0o6111 or (lost & 0o444 and stat.is_file) or opened):
        return Severity.ERROR
    return Severity.WARNING


def _owner_severity(file: PackagedFile) -> Severity:
    if file.flags & {Flag.CONFIG, Flag.GHOST} or is_documentation(file):
        return Severity.WARNING if matters_for_login(file.path) else Severity.NOTE
    return Severity.ERROR if is_program_place(file.path) else Severity.WARNING


def only_the_donors(file: PackagedFile) -> bool:
    """Outside of programs and libraries, scripts of packages that the donor has not may have set it."""
    return file.provenance is Provenance.DONOR and not is_program_place(file.path)


def lost_setuid(files: Files, packaged: Packaged) -> Iterator[tuple[PackagedFile, Stat]]:
    """Setuid and setgid programs of Debian's packages that lost their bit or group.

    Stat overrides go before the table, and so does a database that records modes.
    """
    if packaged.database.records_attributes:
        return
    table = SETUID | {p: k for p, k in AFTER_INSTALLATION.items() if k.mode & 0o6000}
    stats = files.lstat_many(map(GuestPath, table))
    there = {path: stat for path in table if (stat := stats[GuestPath(path)]) is not None}
    lost = [path for path, stat in there.items() if stat.is_file and _lost(table[path], stat)]
    for path, entries in packaged.lookup_many(lost).items():
        known = table[path]
        for file in entries:
            if file.mode is None:
                kind = PackagedKind.FILE
                right = replace(file, kind=kind, mode=known.mode, owner=known.owner, group=known.group)
                yield right, there[path]


def _lost(known: Installed, stat: Stat) -> bool:
    return (known.mode & 0o6000) != (stat.permissions & 0o6000) and bool(
        known.mode & ~stat.permissions & 0o6000
    )

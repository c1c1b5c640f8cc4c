"""Mount, automount and swap units whose name is not that of their place: systemd does not load them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.formats.fstab import normalize_target
from guestrepair.formats.systemd_unit import unit_name_of_path
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    MakeLink,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.fact import Unreadable
from guestrepair.system.guest_system import System
from guestrepair.system.mounts.spec import BOOT
from guestrepair.system.mounts.units import OwnUnit

MOUNT_UNIT = Rule(
    name="fstab/mount-unit",
    summary="a mount or swap unit whose name does not agree with its place",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="An enabled mount or automount unit of the administrator has a Where= that its file name is not "
    "made of, or that goes through a symbolic link; or a swap unit has such a What=.",
    why="systemd refuses to load the unit, or to mount over a link, and a target that requires it is not "
    "started. Boot goes on without local-fs.target, with some services failing, so that it is an error only "
    "where the place is one that boot needs (/usr, /var, /etc, /boot), or another target of the boot "
    "requires the unit.",
    repair="The unit, and the links that start it, get the name of its place. Where a link is in the way, "
    "the place is written without it.",
    example="/etc/systemd/system/data.mount with Where=/srv/data must be called srv-data.mount",
    sources=("systemd.mount(5)", "systemd.swap(5)", "systemd-escape(1), --path"),
)

_NEEDED = frozenset({"/", "/usr", "/var", "/etc", "/boot", "/boot/efi", "/efi", "/var/lib"})
"""Places without whose files a system does not come up, or not the next time."""

_CANONICAL_SINCE = 240
"""The first systemd that refuses a link anywhere in a place; before, only as the last part of it."""


def check_units(context: Context) -> Iterator[Finding]:
    """The names of mount and swap units that a boot starts."""
    for unit in context.system.mounts.own_units:
        if isinstance(unit, Unreadable) or not unit.started or not _is_judged(unit.value):
            continue
        place = normalize_target(unit.value)
        real = place if unit.suffix == ".swap" else _without_links(context.system, place)
        if unit_name_of_path(place) + unit.suffix not in unit.names:
            yield _misnamed(context.system, unit, real)
        elif real != place:
            yield _through_link(context.system, unit, place, real)


def _is_judged(value: str) -> bool:
    """Where no path is written, systemd takes the place from the name; specifiers are for systemd alone."""
    return value.startswith("/") and "%" not in value and ".." not in value.split("/") and "\0" not in value


def _without_links(system: System, place: str) -> str:
    """The place as systemd will find it; what is not there, or hidden by another mount, is taken as it is."""
    path, version = GuestPath(place), system.systemd.version
    if version is not None and version < _CANONICAL_SINCE and not system.files.readlinks([path])[path]:
        return place
    for above in (path, *path.parents):
        real = system.files.resolve(above) if system.mounts.covered(str(above)) else None
        if real is not None:
            return str(real / path.relative_to(above))
    return place


def _misnamed(system: System, unit: OwnUnit, real: str) -> Finding:
    name = unit_name_of_path(real) + unit.suffix
    return MOUNT_UNIT.finding(
        _subject(unit),
        f"{_subject(unit)}: {unit.key}={unit.value} asks for the name {name}, and not {unit.path.name}: "
        f"systemd does not load the unit{_consequence(unit)}",
        severity=_severity(unit),
        evidence=(Evidence(_subject(unit), f"{unit.key}={unit.value}", f"in a unit that is called {name}"),),
        repair=_renamed(system, unit, name, real),
    )


def _through_link(system: System, unit: OwnUnit, place: str, real: str) -> Finding:
    name = unit_name_of_path(real) + unit.suffix
    return MOUNT_UNIT.finding(
        _subject(unit),
        f"{_subject(unit)}: {unit.key}={unit.value} goes through a symbolic link, and is {real}: systemd "
        f"refuses to mount there{_consequence(unit)}",
        severity=_severity(unit),
        evidence=(Evidence(place, f"leads to {real}", f"{unit.key}={real} in {name}"),),
        repair=_renamed(system, unit, name, real),
    )


def _subject(unit: OwnUnit) -> Subject:
    return Subject.of_line(unit.path, unit.line) if unit.line else Subject.of_path(unit.path)


def _severity(unit: OwnUnit) -> Severity:
    """sysinit.target only wants local-fs.target: boot goes on, but not without what is in some places."""
    if not unit.required:
        return Severity.WARNING
    by = {link.parent.stem for link, _ in unit.links if link.parent.suffix == ".requires"} & BOOT
    is_needed = unit.suffix != ".swap" and normalize_target(unit.value) in _NEEDED
    return Severity.ERROR if is_needed or by - {"local-fs.target", "swap.target"} else Severity.WARNING


def _consequence(unit: OwnUnit) -> str:
    return ", and the target that requires it is not started" if unit.required else ""


def _renamed(system: System, unit: OwnUnit, name: str, place: str) -> Repair:
    """The same unit and links under the right name; only where nothing else has to do with the old one."""
    new = unit.path.with_name(name)
    links = [(link.with_name(name), target) for link, target in unit.links]
    taken = [path for path, found in system.files.lstat_many([new, *(p for p, _ in links)]).items() if found]
    content = _with_place(unit, place)
    if not unit.plain or taken or content is None:
        return edits.manual(f"call the unit {name} by hand, with its drop-ins and the links that start it")
    return Repair(
        f"call the unit {name}",
        Safety.REVIEW,
        (
            WriteFile(path=new, before=None, after=content),
            *(MakeLink(path=p, target=target.replace(unit.path.name, name)) for p, target in links),
            *(replace(RemoveFile(path=link), backup=False) for link, _ in unit.links),
            RemoveFile(path=unit.path),
        ),
    )


def _with_place(unit: OwnUnit, place: str) -> bytes | None:
    """The unit's text with that place; None where the place stands in no line of it."""
    if normalize_target(unit.value) == place:
        return unit.data
    lines = unit.data.split(b"\n")
    old, new = (text.encode("utf-8", "surrogateescape") for text in (unit.value, place))
    if not unit.line or lines[unit.line - 1].count(old) != 1:
        return None
    lines[unit.line - 1] = lines[unit.line - 1].replace(old, new)
    return b"\n".join(lines)

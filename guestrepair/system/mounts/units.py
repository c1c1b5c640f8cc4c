"""The administrator's own mount, automount and swap units: what they are called, and what starts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from guestrepair.formats.systemd_unit import parse_unit
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.mounts.spec import BOOT
from guestrepair.system.systemd import OWN, Systemd

_KEYS = {".mount": ("Mount", "Where"), ".automount": ("Automount", "Where"), ".swap": ("Swap", "What")}
_MAX_UNITS = 200
_WANTED = frozenset({"remote-fs.target", "swap.target", "local-fs-pre.target"})
"""Targets that a boot goes on without."""


@dataclass(frozen=True, slots=True)
class OwnUnit:
    """One unit that something starts, with the setting that its name must agree with.

    ``line`` is where the setting stands in ``data``, 0 where a drop-in has it; ``links`` are those that start
    it, by their targets. ``plain`` is true for a file of its own without drop-ins, under one name.
    """

    path: GuestPath
    names: frozenset[str]
    data: bytes
    key: str
    value: str
    line: int
    links: tuple[tuple[GuestPath, str], ...]
    required: bool
    started: bool
    plain: bool

    @property
    def suffix(self) -> str:
        """``.mount``, ``.automount`` or ``.swap``."""
        return self.path.suffix


def own_units(guest: Guest, systemd: Systemd) -> Iterator[OwnUnit | Unreadable]:
    """Every such unit that some link starts; masked ones, and those of packages, are left out."""
    if not guest.is_directory(OWN):
        return
    names = [n for n in guest.listdir(OWN) if GuestPath(n).suffix in _KEYS]
    for name in names[:_MAX_UNITS]:
        found = attempt(partial(_own_unit, guest, systemd, name), OWN / name)
        if found is not None:
            yield found


def _own_unit(guest: Guest, systemd: Systemd, name: str) -> OwnUnit | None:
    links = systemd.pulled_in_by(name)
    unit = systemd.load(name) if links else None
    if unit is None or unit.masked or unit.path != OWN / name:
        return None
    section, key = _KEYS[GuestPath(name).suffix]
    value = unit.unit.last(section, key)
    data = guest.read(unit.path)
    lines = [
        a.line for a in parse_unit(data).assignments if (a.section, a.key, a.value) == (section, key, value)
    ]
    targets = guest.readlinks(links)
    others = {GuestPath(n).stem for n in systemd.unit_names if GuestPath(n).suffix in _KEYS and n != name}
    found = guest.lstat(unit.path)
    return OwnUnit(
        path=unit.path,
        names=systemd.names_of(name),
        data=data,
        key=key,
        value=value,
        line=lines[-1] if lines else 0,
        links=tuple((link, targets[link]) for link in links),
        required=any(link.parent.suffix == ".requires" and _boot_needs(link) for link in links),
        started=any(_boot_needs(link) or _boot_wants(systemd, link) for link in links),
        plain=(
            found is not None
            and found.is_file
            and not unit.drop_ins
            and not unit.unread
            and GuestPath(name).stem not in others
            and all(link.parent.parent == OWN and link.name == name and targets[link] for link in links)
        ),
    )


def _boot_needs(link: GuestPath) -> bool:
    return link.parent.stem in BOOT - {"swap.target"}


def _boot_wants(systemd: Systemd, link: GuestPath) -> bool:
    return link.parent.stem in _WANTED or link.parent.stem in systemd.started_at_boot

"""What is to be mounted, from wherever it is declared: a line of fstab, or a systemd mount or swap unit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from guestrepair.formats.fstab import Entry, normalize_target, split_options
from guestrepair.formats.systemd_unit import parse_unit
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.mounts import types
from guestrepair.system.systemd import OWN, Systemd

BOOT = frozenset(
    [
        *("local-fs.target", "sysinit.target", "basic.target", "multi-user.target", "graphical.target"),
        *("default.target", "swap.target"),
    ]
)
"""Targets that a boot reaches; what one of them requires, it waits for (systemd.special(7))."""

_MAX_UNITS = 200
_OF_NETWORK = re.compile(r"iscsi|nvmf|nvmefc|network|remote-fs|rbdmap|nbd|drbd")


@dataclass(frozen=True, slots=True)
class Spec:
    """One mount or swap area. ``before`` is the file's content; ``offset`` and ``length`` span its source.

    The span is of length 0 where the source stands nowhere in the file as it is.
    """

    file: GuestPath
    before: bytes
    number: int
    source: str
    target: str
    type: str
    options: tuple[str, ...]
    required: bool
    offset: int
    length: int
    entry: Entry | None = None

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.number}"

    @property
    def is_swap(self) -> bool:
        """True for a swap area."""
        return self.type == "swap"

    @property
    def is_remote(self) -> bool:
        """True for a line that waits with remote-fs.target, which boot wants and does not require.

        So boot goes on without it. / and /usr, and what the initramfs mounts, are needed all the same
        (systemd.mount(5), _netdev; systemd.special(7), remote-fs.target).
        """
        if self.entry is None or self.is_swap or self.target in {"/", "/usr"}:
            return False
        if self.option("x-systemd.required-by") is not None or self.option("x-initrd.mount") is not None:
            return False
        return self.option("_netdev") is not None or types.base_type(self.type) in types.IMPLIED_NETDEV

    @property
    def asks_for_network(self) -> bool:
        """True for a line that is ordered after a service of the network, and does not say _netdev."""
        if self.is_remote or self.entry is None:
            return False
        asked = [
            o.partition("=")[2]
            for o in self.options
            if o.startswith(("x-systemd.requires=", "x-systemd.after="))
        ]
        return any(_OF_NETWORK.search(unit) for unit in asked)

    @property
    def stops_boot(self) -> bool:
        """True when boot stops where it fails."""
        return self.required and not self.is_remote

    @property
    def name(self) -> str:
        """What a person calls it: the mount point, or ``swap``."""
        return "swap" if self.is_swap else self.target

    def option(self, name: str) -> str | None:
        """The value of an option, "" without one, None when it is not there."""
        found = [o.partition("=")[2] for o in self.options if o.partition("=")[0] == name]
        return found[-1] if found else None


def from_entry(file: GuestPath, before: bytes, entry: Entry) -> Spec:
    """The specification that a line of fstab gives."""
    token = entry.source_token
    return Spec(
        file=file,
        before=before,
        number=entry.number,
        source=entry.source,
        target=entry.target,
        type=entry.type,
        options=entry.options,
        required=entry.required,
        offset=token.offset,
        length=len(token.raw),
        entry=entry,
    )


def from_units(guest: Guest, systemd: Systemd) -> Iterator[Spec | Unreadable]:
    """The administrator's own mount and swap units that are enabled; those that cannot be read, as such.

    A unit counts as enabled when a ``.wants`` or ``.requires`` directory links to it (systemd.unit(5)).
    """
    if not guest.is_directory(OWN):
        return
    names = [n for n in guest.listdir(OWN) if n.endswith((".mount", ".swap"))]
    for name in names[:_MAX_UNITS]:
        found = attempt(partial(_from_unit, guest, systemd, name), OWN / name)
        if found is not None:
            yield found


def _from_unit(guest: Guest, systemd: Systemd, name: str) -> Spec | None:
    pulled = systemd.pulled_in_by(name)
    unit = systemd.load(name) if pulled else None
    if unit is None or unit.masked or unit.path != OWN / name:
        return None
    section = "Swap" if name.endswith(".swap") else "Mount"
    source = unit.unit.last(section, "What")
    if not source:
        return None
    data = guest.read(unit.path)
    number, offset, length = _written(data, section, source)
    return Spec(
        file=unit.path,
        before=data,
        number=number,
        source=source,
        target="none" if section == "Swap" else normalize_target(unit.unit.last("Mount", "Where")),
        type="swap" if section == "Swap" else unit.unit.last("Mount", "Type") or "auto",
        options=split_options(unit.unit.last(section, "Options")),
        required=any(path.parent.suffix == ".requires" and path.parent.stem in BOOT for path in pulled),
        offset=offset,
        length=length,
    )


def _written(data: bytes, section: str, source: str) -> tuple[int, int, int]:
    """Line, offset and length of the ``What=`` that holds the source; length 0 where a drop-in has it."""
    found = [a for a in parse_unit(data).assignments if a.section == section and a.key == "What"]
    if not found or found[-1].value != source:
        return 1, 0, 0
    number = found[-1].line
    start = sum(len(line) + 1 for line in data.split(b"\n")[: number - 1])
    raw = source.encode("utf-8", "surrogateescape")
    offset = data.find(raw, start)
    return (number, offset, len(raw)) if offset >= 0 else (number, 0, 0)

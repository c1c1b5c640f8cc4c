"""What is known of a guest's network configuration, as plain data."""

from __future__ import annotations

import enum
import fnmatch
from dataclasses import dataclass, field

from guestrepair.guest.view import MAX_PATTERN
from guestrepair.model import GuestPath
from guestrepair.system.strange import Strange


class Manager(enum.StrEnum):
    """Who configures cards, in its own spelling."""

    NETPLAN = "netplan"
    NETWORKD = "systemd-networkd"
    NETWORK_MANAGER = "NetworkManager"
    IFUPDOWN = "ifupdown"
    INITSCRIPTS = "the network scripts"
    WICKED = "wicked"
    CLOUD_INIT = "cloud-init"


class Reach(enum.StrEnum):
    """Which card a configuration is for, seen from a machine whose cards nobody has seen yet."""

    ANY = "any"
    """Any Ethernet card."""
    NAME = "name"
    """The card whose name comes from its slot or MAC (``ens192``)."""
    KERNEL_NAME = "kernel name"
    """The card that is called ``eth0`` or so, where cards get other names."""
    MAC = "mac"
    """The card with a certain MAC address."""
    OTHER = "other"
    """Something else (a driver, a path, a name that somebody gives): a new card may be it or not."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a card must be: one of the names (patterns), of the MACs; ``others`` are further conditions."""

    names: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def has_name(self, name: str) -> bool:
        """True where a card of that name is meant; patterns with ``!`` in front are taken out."""
        wanted = [n for n in self.names if not n.startswith("!")]
        unwanted = [n[1:] for n in self.names if n.startswith("!")]
        if any(_fits(name, pattern) for pattern in unwanted):
            return False
        return any(_fits(name, pattern) for pattern in wanted) if wanted else True


def _fits(name: str, pattern: str) -> bool:
    return len(pattern) <= MAX_PATTERN and fnmatch.fnmatchcase(name, pattern)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file of the guest: ``path`` as the manager names it, ``line`` 1-based."""

    path: GuestPath
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What one manager would do with a card.

    ``name``: what the manager calls it. ``dhcp`` are the protocols that ask for addresses (``dhcp4``,
    ``dhcp6``, ``ra``), ``addresses`` the static ones. ``part_of``: the bridge or bond of which it is a port.
    ``at_boot``: it is activated without anybody asking. ``pins`` are the places that bind it to a card,
    ``place`` is where it begins, ``files`` what it is read from where that is more than the place's file.
    """

    manager: Manager
    name: str
    match: Match
    place: Place
    dhcp: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    part_of: str = ""
    at_boot: bool = True
    pins: tuple[Place, ...] = ()
    backend: Manager | None = None
    files: tuple[GuestPath, ...] = ()

    def stands_in(self, path: GuestPath) -> bool:
        """True where a part of it is in that file."""
        return path == self.place.path or path in self.files

    @property
    def served_by(self) -> Manager:
        """The program that does it: netplan only writes configuration for another."""
        return self.backend or self.manager

    @property
    def is_useful(self) -> bool:
        """True where a card gets an address of it, or carries the traffic of what has one."""
        return bool(self.dhcp or self.addresses or self.part_of)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a manager refuses: where, what, and what that costs.

    ``stops``: the manager then does nothing for the card, or for any. ``mode``: the file's mode or owner is
    why. ``active``: that manager runs. ``works``: the card gets an address
    all the same.
    """

    manager: Manager
    place: Place
    what: str
    consequence: str
    stops: bool = True
    mode: bool = False
    works: bool = False
    active: bool = True


@dataclass(frozen=True, slots=True)
class Program:
    """A manager: installed or not, started at boot or not, masked by what.

    ``starts`` is None where that cannot be told (an init system that is not known).
    """

    manager: Manager
    installed: bool
    starts: bool | None = False
    masked_by: GuestPath | None = None
    unit: str = ""

    @property
    def is_active(self) -> bool:
        """True where it runs, or may run."""
        return self.installed and self.starts is not False


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a manager's files say, together: configurations, problems, and what was not understood.

    ``unknown`` may set up cards, so that nothing may be said to be missing; ``strange`` are single words.
    """

    configurations: tuple[Configuration, ...] = ()
    problems: tuple[Problem, ...] = ()
    unknown: tuple[str, ...] = field(default=())
    strange: tuple[Strange, ...] = ()

"""One thing that happened in the guest: when, how certainly, what, who, and where that is on record."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

NANOSECOND = 1_000_000_000


class Kind(enum.StrEnum):
    """What an event is about."""

    FILE = "file"
    LOGIN = "login"
    COMMAND = "command"
    PACKAGE = "package"
    BOOT = "boot"
    SERVICE = "service"
    ACCOUNT = "account"
    FIREWALL = "firewall"
    CONFIGURATION = "configuration"
    LOG = "log"


class Certainty(enum.StrEnum):
    """How far the time of an event can be relied on."""

    EXACT = "exact"
    """It is on record with its zone, or counted in UTC."""
    INFERRED = "inferred"
    """Its year, zone or day was worked out from what stands around it."""
    BOUNDED = "bounded"
    """Only known to be no later than that: order is on record, and not time."""


LOGIN, LOG, COMMAND, FILE = Kind.LOGIN, Kind.LOG, Kind.COMMAND, Kind.FILE
EXACT, INFERRED = Certainty.EXACT, Certainty.INFERRED
"""What is asked for by the million: by its name in the enumeration, it would take longer than all else."""


class Event(NamedTuple):
    """One thing that happened. Made and read by the million: a tuple takes a fraction of a class's time.

    ``time_ns`` is in nanoseconds since the epoch, UTC. ``description`` says which time that is, in the words
    of plaso ("Metadata Modification Time", "Last Login Time", "Start Time", "End Time", "Installation Time",
    "Update Time", "Content Deletion Time", "Recorded Time", "Last Time Executed"). ``source`` is where it is
    on record: ``/var/log/auth.log:212``, ``/etc/fstab (inode 131)``, ``/var/log/journal/…: cursor``.
    ``actor`` is an account's name, only where the record names it; ``path`` the guest path that it is about.
    ``detail`` holds further facts by their name (``from``, ``pid``, ``package``, ``version``, ``key``…).
    Texts are the guest's, and as hostile as that.
    """

    time_ns: int
    source: str
    kind: Kind
    description: str
    message: str
    certainty: Certainty = Certainty.EXACT
    actor: str | None = None
    path: str | None = None
    detail: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """A further fact by its name; "" where it is not on record."""
        for key, value in self.detail:
            if key == name:
                return value
        return ""


def known_details(*pairs: tuple[str, str | None]) -> tuple[tuple[str, str], ...]:
    """Further facts of an event: of these, the ones that are on record."""
    return tuple((name, value) for name, value in pairs if value)


@dataclass(frozen=True, slots=True)
class Unread:
    """A record, or a whole source, that could not be read: where, and why. It costs nothing else."""

    source: str
    reason: str


class Reader(Protocol):
    """One source of events. What it cannot read it yields as :class:`Unread`, and goes on."""

    name: str

    def events(self) -> Iterator[Event | Unread]:
        """Its events, in any order."""
        ...

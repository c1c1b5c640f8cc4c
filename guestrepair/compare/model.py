"""What is different between two systems, as plain data. Every text in it may be the guest's own."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from guestrepair.fence import MIB


class Section(enum.StrEnum):
    """What a difference is about; in the order of reports."""

    SYSTEM = "system"
    DISKS = "partition tables"
    FILESYSTEMS = "filesystems"
    PACKAGES = "packages"
    BOOT = "boot entries"
    FSTAB = "fstab"
    ACCOUNTS = "accounts"
    KEYS = "keys"
    UNITS = "units"
    NETWORK = "network"
    FIREWALL = "firewall"
    CONFIGURATION = "configuration"
    FILES = "files"
    ATTRIBUTES = "attributes"


class Kind(enum.StrEnum):
    """What became of it, from the first system to the second."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Noise(enum.StrEnum):
    """Classes of what differs between any two runs of a system; hidden unless asked for."""

    LOGS = "logs"
    CACHES = "caches"
    PACKAGE_STATE = "state of the package manager"
    IDENTITY = "machine ids"
    SEEDS = "random seeds"
    LEASES = "leases and clocks"
    TEMPORARY = "temporary files"
    COPIES = "older copies of account files"
    TIMES = "times alone"


@dataclass(frozen=True, slots=True)
class Text:
    """Both contents of a text file; None where it is not there."""

    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not the same in both systems.

    ``name`` is a guest path, or what the thing is called in its section. ``before`` and ``after`` say how it
    is in the first and the second system, "" where it is not there. ``detail`` adds what else is known.
    ``folded`` are the paths that differ with it. ``explains`` are files of which it tells all there is.
    """

    section: Section
    kind: Kind
    name: str
    before: str = ""
    after: str = ""
    detail: str = ""
    noise: Noise | None = None
    text: Text | None = None
    folded: tuple[str, ...] = ()
    explains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class NotCompared:
    """What could not be looked at: in which system (A, B, or "" for both), what, and why."""

    side: str
    what: str
    reason: str


@dataclass(slots=True)
class Comparison:
    """All differences, and what could not be compared."""

    differences: list[Difference] = field(default_factory=list)
    not_compared: list[NotCompared] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was taken for the same by its size and times alone, and its like."""
    missing: dict[str, list[str]] = field(default_factory=dict)
    """By system, the real paths that the other one alone has: its listings name them nowhere."""

    def shown(self, *, noise: bool) -> Iterator[Difference]:
        """The differences in the order of reports; those that are noise only where they are asked for."""
        order = {section: number for number, section in enumerate(Section)}
        wanted = (d for d in self.differences if noise or d.noise is None)
        return iter(sorted(wanted, key=lambda d: (order[d.section], d.name, d.kind, d.detail)))

    def noise(self) -> dict[str, int]:
        """How many differences of each class of noise there are."""
        counts = dict.fromkeys(Noise, 0)
        for difference in self.differences:
            if difference.noise is not None:
                counts[difference.noise] += 1
        return {noise.value: count for noise, count in counts.items() if count}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """How thoroughly: ``deep`` compares the content of every file, not only of those with other times."""

    deep: bool = False


MAX_TEXT_BYTES = MIB // 4
"""A longer file is told by its size and digest."""

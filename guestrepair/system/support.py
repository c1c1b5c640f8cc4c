"""Until when the guest's release gets security updates: as it says itself, else as a dated table has it.

Sources: os-release(5), SUPPORT_END; ``releases.toml`` beside this module, each distribution with its page and
the day on which that was read.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from guestrepair.guest.devices import OperatingSystem

_TABLE = Path(__file__).with_name("releases.toml")


class Known(enum.StrEnum):
    """What is known of the end of a release's support."""

    END = "end"
    """The last day."""
    NO_RELEASE = "no release"
    """A distribution, or a branch of one, that is updated without releases: it has no end."""
    UNKNOWN = "unknown"
    """Nobody here knows this distribution, or this release of it."""


@dataclass(frozen=True, slots=True)
class Support:
    """Until when a release is supported. ``end`` is the last day, where ``known`` says that there is one.

    ``what`` is whose support is counted, ``source`` the page or file that has the date, ``read`` the day on
    which it was read there, None for the guest's own word.
    """

    known: Known
    end: dt.date | None = None
    what: str = ""
    source: str = ""
    read: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One of the table: ``parts`` of a version name a release, ``ends`` are the last days by release."""

    rolling: bool = False
    parts: int = 1
    what: str = ""
    source: str = ""
    read: dt.date | None = None
    ends: Mapping[str, dt.date] = field(default_factory=dict)


@cache
def distributions() -> Mapping[str, Distribution]:
    """Every distribution of the table, by its ID in os-release(5).

    Raises:
        ValueError: the table is not as it must be: a fault of guestrepair itself.
    """
    import tomllib

    given = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {name: Distribution(**each) for name, each in given.items()}


def support_of(system: OperatingSystem) -> Support:
    """Until when the release of a system is supported."""
    try:
        own = dt.date.fromisoformat(system.support_end)
    except ValueError:
        own = None  # nothing, or no date
    if own is not None:
        return Support(Known.END, own, "what the distribution promises", "SUPPORT_END in os-release")
    found = distributions().get(system.distro)
    if found is None:
        return Support(Known.UNKNOWN)
    if found.rolling or not system.version[:1].isdigit():  # Debian's testing and unstable have no number
        return Support(Known.NO_RELEASE)
    release = ".".join(system.version.split(".")[: found.parts])
    end = found.ends.get(release)
    if end is None:
        return Support(Known.UNKNOWN, what=found.what, source=found.source, read=found.read)
    return Support(Known.END, end, found.what, found.source, found.read)

"""What was looked for on this host, and what came out: plain frozen data."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """Whether something can be used."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


class Area(enum.StrEnum):
    """What a check is about, in the order of the report."""

    PYTHON = "Python"
    APPLIANCE = "the appliance"
    FILESYSTEMS = "filesystems and volumes in the appliance"
    SAFETY = "safety"
    PLACES = "places on this host"
    EXTRAS = "single commands and options"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing: ``found`` is its version or what is wrong, ``purpose`` what does not work without it.

    ``mend`` is the command that brings it or puts it right, or what to do in words; "" for one that is ok.
    ``packages`` are keys of :data:`guestrepair.host_packages.PACKAGES`.
    """

    area: Area
    name: str
    state: State
    purpose: str
    needed: bool = False
    """Whether a scan and a repair of most disks go without it; other things are recommended."""
    found: str = ""
    mend: str = ""
    packages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """All checks; ``system`` is the distribution's name for itself, ``python`` the interpreter's version."""

    system: str
    python: str
    checks: tuple[Check, ...]

    @property
    def lacking(self) -> tuple[Check, ...]:
        """What is not ok, the needed things first."""
        return tuple(sorted((c for c in self.checks if c.state is not State.OK), key=lambda c: not c.needed))

    @property
    def exit_status(self) -> int:
        """1 when something that is needed is not ok."""
        return int(any(check.needed for check in self.lacking))

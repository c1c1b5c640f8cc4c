"""A platform and its requirements, as plain frozen data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from guestrepair.model import Severity
from guestrepair.platforms.parameters import Parameters

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that a platform requires: the rule that judges it, and by what parameters.

    ``severity`` is that of a finding where it is another than the rule's usual one. ``source`` is the page
    that says so (a file, for a machine's description), ``read`` the day on which it was last read, None where
    that is not on record.
    """

    rule: str
    parameters: Parameters
    why: str
    source: str
    read: dt.date | None = None
    severity: Severity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What a guest is to run on.

    ``unknown`` is what a machine's description says and nobody here understands: such
    a platform cannot be judged wholly.
    """

    name: str
    title: str
    requirements: tuple[Requirement, ...]
    unknown: tuple[str, ...] = ()

    def requires(self, rule: str) -> tuple[Requirement, ...]:
        """What it requires of one rule."""
        return tuple(each for each in self.requirements if each.rule == rule)


@dataclass(frozen=True, slots=True)
class Asked:
    """One requirement of a rule, and every platform that has exactly it, in the order given."""

    platforms: tuple[str, ...]
    requirement: Requirement

    @property
    def named(self) -> str:
        """The platforms, for a message."""
        return ", ".join(self.platforms)


def asked(platforms: tuple[Platform, ...], rule: str) -> tuple[Asked, ...]:
    """What these platforms require of a rule, each once: those that agree in parameters and severity."""
    found: dict[object, Asked] = {}
    for platform in platforms:
        for each in platform.requires(rule):
            key = (each.parameters, each.severity)
            known = found.get(key)
            names = (platform.name,) if known is None else (*known.platforms, platform.name)
            found[key] = Asked(names, each if known is None else known.requirement)
    return tuple(found.values())


def of_kind(found: tuple[Asked, ...], kind: type[P]) -> Iterator[tuple[Asked, P]]:
    """Each with its parameters, which are of that kind: the loader has seen to it."""
    for each in found:
        if isinstance(each.requirement.parameters, kind):
            yield each, each.requirement.parameters

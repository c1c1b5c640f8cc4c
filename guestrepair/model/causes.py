"""Why a finding came about: when its subject changed, between which boots, and who may have done it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Confidence(enum.StrEnum):
    """How much a record says about who did it."""

    STRONG = "strong"
    """It names the path, or the package that owns it, at that time."""
    LIKELY = "likely"
    """Nobody else was there."""
    POSSIBLE = "possible"
    """It happened at that time."""

    @property
    def rank(self) -> int:
        """0 for the strongest."""
        return tuple(Confidence).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """When a path changed: content and inode, in nanoseconds since the epoch; None where that is not kept."""

    path: str
    modified_ns: int | None = None
    changed_ns: int | None = None

    @property
    def when_ns(self) -> int | None:
        """The time of the inode's change, which nobody can set; else that of the content."""
        return self.changed_ns if self.changed_ns is not None else self.modified_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """What may have done it, by a named rule, with the record that says so.

    ``who`` is an account's name as the record has it, or None; ``source`` is where the record stands.
    """

    rule: str
    confidence: Confidence
    who: str | None
    what: str
    when_ns: int
    certainty: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What is known of how a finding came about; no suspects: the guest's records do not say."""

    changed: tuple[Changed, ...] = ()
    last_good_boot_ns: int | None = None
    first_bad_boot_ns: int | None = None
    suspects: tuple[Suspect, ...] = ()

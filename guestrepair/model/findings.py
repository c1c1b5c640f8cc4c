"""Findings: what is wrong in a guest, on what evidence, and the right way to mend it.

Everything here is frozen, and can be compared, hashed and pickled. A finding's identity is its rule
and subject, never its wording.
"""

from __future__ import annotations

import enum
import fnmatch
from dataclasses import dataclass, field
from typing import NamedTuple

from guestrepair.model.causes import Cause
from guestrepair.model.changes import Change
from guestrepair.model.paths import GuestPath


class Severity(enum.StrEnum):
    """How bad a finding is: error = no boot, no login or a lost file; warning = breaks at the next change."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for an error, rising as it gets milder: sorts the worst first."""
        return ("error", "warning", "note").index(self.value)


class Effect(enum.StrEnum):
    """What a finding does to the guest, the worst first."""

    STOPS_BOOT = "stops-boot"
    STOPS_LOGIN = "stops-login"
    DEGRADES = "degrades"
    HYGIENE = "hygiene"

    def at_most(self, other: Effect) -> Effect:
        """The milder of the two."""
        order = tuple(Effect)
        return max(self, other, key=order.index)


class Safety(enum.StrEnum):
    """Who decides on a repair: ``--yes`` (safe), its name or ``--all`` (review), a person (manual)."""

    SAFE = "safe"
    REVIEW = "review"
    MANUAL = "manual"


class Status(enum.StrEnum):
    """What became of a finding in this run."""

    OPEN = "open"
    REPAIRED = "repaired"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation: where it was made, what was seen, and what should have been seen."""

    source: str
    observed: str
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Repair:
    """A right way to mend a finding: one line of summary, who decides, and the changes in order.

    ``changes`` is empty exactly where ``safety`` is manual.
    """

    summary: str
    safety: Safety
    changes: tuple[Change, ...] = ()


class Subject(str):
    """What a finding is about, as users name it: a guest path, ``PATH:LINE`` (1-based), or a device.

    It is that text, and knows its parts; make one with :meth:`of_path`, :meth:`of_line` or :meth:`of_device`.
    """

    path: GuestPath | None = None
    line: int | None = None
    device: str | None = None

    @classmethod
    def of_path(cls, path: GuestPath) -> Subject:
        """A file, directory or link of the guest."""
        return cls._made(str(path), path, None, None)

    @classmethod
    def of_line(cls, path: GuestPath, line: int) -> Subject:
        """A line of a text file of the guest."""
        return cls._made(f"{path}:{line}", path, line, None)

    @classmethod
    def of_device(cls, device: str) -> Subject:
        """A disk, partition or volume, by the name that it has in the appliance."""
        return cls._made(device, None, None, device)

    @classmethod
    def _made(cls, text: str, path: GuestPath | None, line: int | None, device: str | None) -> Subject:
        made = cls(text)
        made.path, made.line, made.device = path, line, device
        return made

    def __reduce__(self) -> tuple[object, ...]:
        return (Subject._made, (str(self), self.path, self.line, self.device))


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that is known: it is shown as such and fails nothing.

    ``kind`` is "ignore" (by a policy) or "baseline" (there already when that was written); ``expires`` is
    the day until which that holds (ISO 8601), or "".
    """

    kind: str
    reason: str
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong (or worth knowing) in the guest.

    ``rule`` is ``analyzer/name``. ``subject`` is the guest path, with ``:LINE``
    for a line of a text file (1-based), or the device for a filesystem or
    partition. ``folded`` holds the subjects that share this finding's cause. ``effect`` is what it does
    to boot and login. ``cause`` is how it came about, where somebody has looked for that. ``suppressed`` says
    why it is known and fails nothing. ``platforms`` are those of the named ones that it keeps the guest from
    fitting, where it is about what they require.
    """

    rule: str
    severity: Severity
    subject: str
    message: str
    evidence: tuple[Evidence, ...] = ()
    repair: Repair | None = None
    folded: tuple[str, ...] = ()
    status: Status = field(default=Status.OPEN, compare=False)
    effect: Effect = field(default=Effect.DEGRADES, compare=False)
    cause: Cause | None = field(default=None, compare=False)
    suppressed: Suppressed | None = field(default=None, compare=False)
    platforms: tuple[str, ...] = field(default=(), compare=False)

    @property
    def analyzer(self) -> str:
        """The part of the rule's name before the slash."""
        return self.rule.partition("/")[0]

    @property
    def identity(self) -> tuple[str, str]:
        """Rule and subject: what makes two findings the same one."""
        return (self.rule, self.subject)

    @property
    def order(self) -> tuple[int, str, str]:
        """What findings are sorted by: the worst first, then by rule and subject."""
        return (self.severity.rank, self.rule, self.subject)

    @property
    def is_open(self) -> bool:
        """Whether it is still wrong, and was not known before."""
        return self.status is not Status.REPAIRED and self.suppressed is None


def names_rule(pattern: str, rule: str) -> bool:
    """Whether a rule's name, a shell pattern of names, or the name of an area means that rule."""
    return pattern in (rule, rule.partition("/")[0]) or fnmatch.fnmatchcase(rule, pattern)


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """An analyzer could not look at something, and why: never the same as healthy.

    ``platforms`` are those of the named ones that cannot be judged for it alone.
    """

    analyzer: str
    reason: str
    platforms: tuple[str, ...] = field(default=(), compare=False)


class Examination(NamedTuple):
    """What analyzers found, the worst first, and what they could not look at."""

    findings: list[Finding]
    inconclusive: list[Inconclusive]

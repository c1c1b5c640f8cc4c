"""A policy as plain frozen data."""

from __future__ import annotations

import datetime as dt
import fnmatch
from dataclasses import dataclass

from guestrepair.model import Finding, Severity, Subject, names_rule
from guestrepair.model.requirements import AnyRequirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Another severity for the rules of a pattern; ``platform`` is "" where it holds for all."""

    rule: str
    severity: Severity
    place: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignore:
    """Findings that are known: those of the rules of a pattern, about the subjects of a pattern ("": any).

    It holds until the end of the day ``expires`` (UTC).
    """

    rule: str
    subject: str = ""
    reason: str
    expires: dt.date | None = None
    place: str = ""
    platform: str = ""

    @property
    def name(self) -> str:
        """``RULE@SUBJECT``, as it is written."""
        return f"{self.rule}@{self.subject}" if self.subject else self.rule

    def names(self, finding: Finding) -> bool:
        """Whether it means a finding, and all the subjects that the finding stands for."""
        if not names_rule(self.rule, finding.rule):
            return False
        return not self.subject or all(
            self._names_subject(subject) for subject in (finding.subject, *finding.folded)
        )

    def _names_subject(self, subject: str) -> bool:
        """A file means each of its lines: where they stand changes."""
        if fnmatch.fnmatchcase(subject, self.subject):
            return True
        line = isinstance(subject, Subject) and subject.line is not None
        return line and fnmatch.fnmatchcase(str(getattr(subject, "path", "")), self.subject)

    def has_expired(self, today: dt.date) -> bool:
        """Whether its last day is over."""
        return self.expires is not None and today > self.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy: where it was read, what holds where the command line says nothing, and what it weighs."""

    path: str
    platforms: tuple[str, ...] = ()
    profile: str = ""
    fail_on: str = ""
    overrides: tuple[Override, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    requirements: tuple[AnyRequirement, ...] = ()

    def severity(self, rule: str, platform: str = "") -> Severity | None:
        """The severity that it gives a rule: a platform's before that for all, a name before a pattern."""
        for where in dict.fromkeys((platform, "")):
            fitting = [o for o in self.overrides if o.platform == where and names_rule(o.rule, rule)]
            if fitting:
                return max(fitting, key=lambda o: closeness(o.rule, rule)).severity
        return None


def closeness(pattern: str, rule: str) -> int:
    """How closely a pattern names a rule: 2 by its name, 1 otherwise."""
    return 2 if pattern == rule else 1

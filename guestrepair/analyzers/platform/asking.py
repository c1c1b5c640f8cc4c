"""What all rules of this folder do alike: ask a requirement, and say for which platforms it is not met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guestrepair.analyzers.base import Rule
from guestrepair.model import Evidence, Finding, Inconclusive, Repair, Severity
from guestrepair.platforms.model import Asked

NAME = "platform"
PAGE = "the platform's own page (guestrepair explain --platform NAME)"
"""What each rule here names among its sources."""


@dataclass(frozen=True, slots=True)
class Unmet:
    """A requirement that is not met; ``wants`` ends the sentence "PLATFORMS need …"."""

    asked: Asked
    wants: str

    def severity(self, rule: Rule) -> Severity:
        """What the platform says, else the rule's usual one."""
        return self.asked.requirement.severity or rule.severities[0]


def not_met(
    rule: Rule,
    subject: str,
    fact: str,
    unmet: Sequence[Unmet],
    *,
    evidence: Iterable[Evidence] = (),
    repair: Repair | None = None,
) -> Finding:
    """One finding for all that is asked of one subject: as bad as it is for the platform that it hits worst.

    Those of which it is only a note stand in the message: it does not keep the guest from fitting them.
    """
    ranked = [(each.severity(rule), each) for each in unmet]
    worst = min((severity for severity, _ in ranked), key=lambda severity: severity.rank)
    grave = [each for severity, each in ranked if severity is not Severity.NOTE] or list(unmet)
    names = dict.fromkeys(name for each in grave for name in each.asked.platforms)
    by_name: dict[str, list[str]] = {}
    for each in unmet:
        for name in each.asked.platforms:
            by_name.setdefault(name, []).append(each.wants)
    wishes: dict[str, list[str]] = {}
    for name, wants in by_name.items():
        wishes.setdefault(" and ".join(dict.fromkeys(wants)), []).append(name)
    said = "; ".join(f"{', '.join(who)} {_verb(who)} {wants}" for wants, who in wishes.items())
    why = {each.asked.requirement.source: each.asked.requirement.why for each in unmet}
    return rule.finding(
        subject,
        f"{fact}: {said}",
        severity=worst,
        evidence=(*evidence, *(Evidence(source, words) for source, words in why.items())),
        repair=repair,
        platforms=tuple(names),
    )


def _verb(names: Sequence[str]) -> str:
    return "needs" if len(names) == 1 else "need"


def cannot_tell(asked: Asked, what: str, reason: str) -> Inconclusive:
    """That it is not known whether a requirement is met: those platforms cannot be judged."""
    return Inconclusive(NAME, f"{asked.named}: {what} cannot be told: {reason}", platforms=asked.platforms)


def listed(words: Sequence[str], last: str = "or") -> str:
    """``a, b or c``; "" for nothing."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)

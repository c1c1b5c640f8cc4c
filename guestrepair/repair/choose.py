"""Which findings a run repairs: the safe ones, those named, or all; and why the others are left."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guestrepair.errors import UsageError
from guestrepair.model import Finding, Safety, names_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user asked for: ``select`` names the only repairs, ``everything`` adds the review ones."""

    everything: bool = False
    select: tuple[str, ...] = ()

    def takes(self, finding: Finding) -> bool:
        """True when this finding's repair is to be applied."""
        if finding.repair is None or finding.repair.safety is Safety.MANUAL:
            return False
        if self.select:
            return any(matches(pattern, finding) for pattern in self.select)
        return self.everything or finding.repair.safety is Safety.SAFE

    def left_for_review(self, findings: Iterable[Finding]) -> int:
        """How many repairs are left only since they are marked review; none where the user named some."""
        if self.select:
            return 0
        return sum(
            finding.repair is not None
            and finding.repair.safety is Safety.REVIEW
            and finding.is_open
            and not self.takes(finding)
            for finding in findings
        )


def matches(pattern: str, finding: Finding) -> bool:
    """True when ``RULE[@SUBJECT]`` names the finding: a rule, an area (``fstab``) or a shell pattern."""
    rule, _, subject = pattern.partition("@")
    if subject and not fnmatch.fnmatchcase(finding.subject, subject):
        return False
    return names_rule(rule, finding.rule)


def check_selection(select: Sequence[str], rules: Sequence[str]) -> None:
    """Refuse names that no rule has.

    Raises:
        UsageError: a pattern that matches no rule.
    """
    areas = {rule.partition("/")[0] for rule in rules}
    for pattern in select:
        name = pattern.partition("@")[0]
        if name not in areas and not fnmatch.filter(rules, name):
            raise UsageError(
                f"--select {pattern}: no such rule", hint="guestrepair explain lists all rules and areas"
            )

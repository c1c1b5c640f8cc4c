"""Which findings keep the guest from fitting the named platforms, and what that makes of each platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from guestrepair.model import Examination, Finding, Inconclusive, Severity
from guestrepair.platforms.model import Platform, Requirement
from guestrepair.platforms.parameters import Clean
from guestrepair.report.data import ImageReport, PlatformVerdict, keeps_from_fitting


def concerning(found: Examination, platforms: Sequence[Platform]) -> Examination:
    """The same, with the platforms named in findings of rules that know of none, and that one requires.

    Such a requirement is that the rule finds nothing.
    """
    if not platforms:
        return found
    findings = [_concerning(finding, platforms) for finding in found.findings]
    findings.sort(key=lambda finding: finding.order)
    return Examination(findings, found.inconclusive)


def _concerning(finding: Finding, platforms: Sequence[Platform]) -> Finding:
    if finding.platforms or finding.severity is Severity.NOTE:
        return finding
    asking = [platform.name for platform in platforms if _clean(platform, finding.rule)]
    return replace(finding, platforms=tuple(dict.fromkeys(asking))) if asking else finding


def _clean(platform: Platform, rule: str) -> tuple[Requirement, ...]:
    return tuple(each for each in platform.requires(rule) if isinstance(each.parameters, Clean))


def judge(report: ImageReport, platforms: Sequence[Platform]) -> None:
    """Put the verdict for each into the report.

    It is no where an error or warning concerns it, else None where something it requires was not judged.
    """
    ran = frozenset(report.ran) if report.analyzed else frozenset()
    report.platforms = tuple(
        PlatformVerdict(each.name, _fits(each, ran, report.findings, report.inconclusive))
        for each in platforms
    )


def _fits(
    platform: Platform,
    judged: frozenset[str],
    findings: Sequence[Finding],
    inconclusive: Sequence[Inconclusive],
) -> bool | None:
    if any(keeps_from_fitting(finding, platform.name) for finding in findings):
        return False
    required = {each.rule for each in platform.requirements}
    areas = {rule.partition("/")[0] for rule in required} | {"platform"}
    unclear = any(
        platform.name in each.platforms if each.platforms else each.analyzer in areas for each in inconclusive
    )
    return None if unclear or platform.unknown or not required <= judged else True

"""Weighing what was found by a policy and a baseline: one pure function from a report to a report.

Where several platforms were asked for, each has its own view of a finding (what the policy says of all, and
of that platform); the strictest of them counts. The effect of a finding, what it does to the guest, is never
weighed: a policy changes what fails a run, and not what happens when the guest is started.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from guestrepair.analyzers.policy import IGNORE_EXPIRED, IGNORE_UNUSED
from guestrepair.model import Evidence, Finding, Severity, Suppressed, names_rule
from guestrepair.policy.baseline import OF_THE_POLICY, Baseline
from guestrepair.policy.model import Ignore, Policy
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.fingerprint import fingerprints


@dataclass(frozen=True, slots=True, kw_only=True)
class Standards:
    """What a report is weighed by; ``platforms`` are those that were asked for, ``today`` is in UTC."""

    policy: Policy | None = None
    baseline: Baseline | None = None
    platforms: tuple[str, ...] = ()
    today: dt.date

    @property
    def views(self) -> tuple[str, ...]:
        """The platforms; "" stands for none in particular."""
        return self.platforms or ("",)


@dataclass(slots=True)
class _Use:
    """What of the ignores matched, and where, by the image's place in the report."""

    matched: dict[Ignore, set[int]] = field(default_factory=dict)

    def note(self, ignore: Ignore, image: int) -> None:
        self.matched.setdefault(ignore, set()).add(image)


def apply(standards: Standards, report: Report) -> Report:
    """The same report with the policy's severities, what is known marked so, and the policy's own findings.

    Nothing is taken out of a report: a finding that is known stays in it.
    """
    use = _Use()
    images = [replace(image) for image in report.images]
    for number, image in enumerate(images):
        image.findings = [_weighed(standards, finding, use, number) for finding in image.findings]
        if standards.baseline is not None:
            image.findings = list(_against(standards.baseline, image.findings))
    for number, finding in _of_the_policy(standards, images, use):
        images[number].findings.append(finding)
    for image in images:
        image.findings.sort(key=lambda finding: finding.order)
        if standards.policy is not None and standards.policy.ignores and image.ran:
            image.ran = tuple(sorted({*image.ran, *OF_THE_POLICY}))
    return replace(report, images=images)


def _weighed(standards: Standards, finding: Finding, use: _Use, image: int) -> Finding:
    policy = standards.policy
    if policy is None:
        return finding
    severity = _severity(standards, policy, finding)
    ignores = [_ignore(standards, policy, finding, view, use, image) for view in standards.views]
    held = [ignore for ignore in ignores if ignore is not None]
    suppressed = finding.suppressed
    if len(held) == len(ignores):
        ends = [ignore.expires for ignore in held if ignore.expires is not None]
        expires = min(ends).isoformat() if ends else ""
        reason = "; ".join(dict.fromkeys(ignore.reason for ignore in held))
        suppressed = Suppressed("ignore", reason, expires)
    return replace(finding, severity=severity, suppressed=suppressed)


def _severity(standards: Standards, policy: Policy, finding: Finding) -> Severity:
    given = (policy.severity(finding.rule, view) or finding.severity for view in standards.views)
    return min(given, key=lambda severity: severity.rank)


def _ignore(
    standards: Standards, policy: Policy, finding: Finding, view: str, use: _Use, image: int
) -> Ignore | None:
    """The ignore that holds for a finding on one platform, the one that does so longest."""
    matching = [i for i in policy.ignores if i.platform in {"", view} and i.names(finding)]
    for ignore in matching:
        use.note(ignore, image)
    valid = [ignore for ignore in matching if not ignore.has_expired(standards.today)]
    return max(valid, key=lambda ignore: ignore.expires or dt.date.max, default=None)


def _against(baseline: Baseline, findings: Sequence[Finding]) -> Iterator[Finding]:
    for print_, finding in zip(fingerprints(findings), findings, strict=True):
        known = baseline.entries.get(print_)
        if known is None or finding.suppressed is not None or not known.covers(finding):
            yield finding
        else:
            reason = f"in the baseline, first seen {known.first_seen.isoformat()}"
            yield replace(finding, suppressed=Suppressed("baseline", reason))


# --- what of the policy has had its day -----------------------------------------------------


def _of_the_policy(
    standards: Standards, images: Sequence[ImageReport], use: _Use
) -> Iterator[tuple[int, Finding]]:
    """Findings about the ignores, each with the number of the image that it is said on.

    One that is about no image in particular is said once, on the first that was analyzed.
    """
    analyzed = [number for number, image in enumerate(images) if image.analyzed]
    if standards.policy is None or not analyzed:
        return
    for ignore in standards.policy.ignores:
        if ignore.platform not in {"", *standards.platforms}:
            continue
        matched = sorted(use.matched.get(ignore, ()))
        if ignore.has_expired(standards.today):
            for number in matched or analyzed[:1]:
                yield number, _own(standards, _expired(ignore, matches=bool(matched)))
        elif not matched and all(_is_judged(ignore, image) for image in images):
            yield analyzed[0], _own(standards, _unused(ignore))


def _own(standards: Standards, finding: Finding) -> Finding:
    """A finding about the policy, of the severity that the policy gives it."""
    policy = standards.policy
    return finding if policy is None else replace(finding, severity=_severity(standards, policy, finding))


def _is_judged(ignore: Ignore, image: ImageReport) -> bool:
    """Whether all that it means was looked at on an image: else nobody knows that it matches nothing."""
    rules = [rule for rule in image.ran if names_rule(ignore.rule, rule)]
    areas = {rule.partition("/")[0] for rule in rules}
    unclear = {each.analyzer for each in image.inconclusive}
    return image.analyzed and bool(rules) and not image.errors and not areas & unclear


def _expired(ignore: Ignore, *, matches: bool) -> Finding:
    day = ignore.expires.isoformat() if ignore.expires is not None else ""
    hides = "what it hid is reported again" if matches else "it would hide nothing here"
    return IGNORE_EXPIRED.finding(
        ignore.name,
        f"the ignore of {ignore.name} held until {day}: {hides} ({ignore.reason})",
        evidence=(Evidence(ignore.place, f"expires = {day}", "a later date, or no entry"),),
    )


def _unused(ignore: Ignore) -> Finding:
    return IGNORE_UNUSED.finding(
        ignore.name,
        f"the ignore of {ignore.name} matches nothing ({ignore.reason})",
        evidence=(Evidence(ignore.place, "no finding", "a finding that it hides, or no entry"),),
    )

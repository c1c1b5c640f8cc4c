"""JUnit's XML: a test suite an image, a test case for each rule that was judged, green ones among them.

A finding that makes the command fail (``--fail-on``) is a failure; a milder one, or one that is known, does
not make it red. Where an area could not be examined there is an error, and its rules that found nothing
are skipped: they are not known to be well.

Source: the schema of the Jenkins xUnit plugin (junit-10.xsd), which GitLab and Jenkins read alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from guestrepair.guest.devices import OperatingSystem
from guestrepair.model import Finding, Severity, Status
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.escape import printable
from guestrepair.report.headline import headline
from guestrepair.report.writers.places import could_not_look, shown

_MAX_BODY_LINES = 1_000
_MAX_LINE = 2_000


@dataclass(slots=True)
class _Counts:
    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0

    def add(self, other: _Counts) -> None:
        self.tests += other.tests
        self.failures += other.failures
        self.errors += other.errors
        self.skipped += other.skipped

    def __str__(self) -> str:
        return (
            f'tests="{self.tests}" failures="{self.failures}" errors="{self.errors}" skipped="{self.skipped}"'
        )


def render(report: Report) -> str:
    """All images as test suites."""
    total = _Counts()
    suites: list[str] = []
    for image in report.images:
        counts, text = _suite(image, report.fail_on)
        total.add(counts)
        suites.append(text)
    seconds = sum(_seconds(image) for image in report.images)
    head = f'<testsuites name="guestrepair" {total} time="{seconds:.3f}">'
    return "".join(['<?xml version="1.0" encoding="UTF-8"?>\n', head, "\n", *suites, "</testsuites>\n"])


def _suite(image: ImageReport, fail_on: Severity | None) -> tuple[_Counts, str]:
    counts = _Counts()
    cases = "".join([*_unexamined(image, counts), *_rules(image, fail_on, counts)])
    host = f" hostname={_attribute(image.os.hostname)}" if image.os is not None and image.os.hostname else ""
    head = f'<testsuite name={_attribute(image.path)}{host} {counts} time="{_seconds(image):.3f}">'
    return counts, f"{head}\n{_facts(image)}{cases}</testsuite>\n"


def _seconds(image: ImageReport) -> float:
    return sum(seconds for _, seconds in image.timings)


def _facts(image: ImageReport) -> str:
    system = image.os or OperatingSystem()
    facts = [
        ("headline", headline(image)), ("distro", system.distro), ("version", system.version),
        ("confirmed", str(image.confirmed).lower()),
        *((f"platform {each.name}", _fits(each.fits)) for each in image.platforms),
        *(("warning", warning) for warning in image.warnings),
    ]  # fmt: skip
    properties = "".join(
        f"<property name={_attribute(name)} value={_attribute(value)}/>\n" for name, value in facts if value
    )
    return f"<properties>\n{properties}</properties>\n" if properties else ""


def _fits(fits: bool | None) -> str:
    return "not known" if fits is None else "fits" if fits else "does not fit"


def _unexamined(image: ImageReport, counts: _Counts) -> Iterator[str]:
    for area, why in could_not_look(image):
        counts.errors += 1
        body = f'<error type="not examined" message={_attribute(why)}></error>'
        yield _case(area, "could not be examined", body, counts)


def _rules(image: ImageReport, fail_on: Severity | None, counts: _Counts) -> Iterator[str]:
    by_rule: dict[str, list[Finding]] = {rule: [] for rule in image.ran}
    for finding in image.findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    unclear = {item.analyzer for item in image.inconclusive}
    for rule in sorted(by_rule):
        area, _, name = rule.partition("/")
        yield _case(
            area, rule if name else area, _outcome(by_rule[rule], fail_on, area in unclear, counts), counts
        )


def _outcome(findings: Sequence[Finding], fail_on: Severity | None, unclear: bool, counts: _Counts) -> str:
    wrong = [finding for finding in findings if finding.is_open]
    failing = [f for f in wrong if _fails(f, fail_on)]
    mild = "".join(f"{line}\n" for line in _lines(f for f in findings if not _fails(f, fail_on)))
    if failing:
        counts.failures += 1
        worst = min(failing, key=lambda f: f.severity.rank)
        more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
        body = "\n".join(_lines(failing))
        message = _attribute(worst.message, more)
        return f'<failure type="{worst.severity.value}" message={message}>{_text(body)}</failure>' + _said(
            mild
        )
    if unclear and not wrong:
        counts.skipped += 1
        return '<skipped message="this area could not be examined as a whole"/>' + _said(mild)
    if findings and not wrong and all(f.suppressed is not None for f in findings):
        counts.skipped += 1
        reasons = "; ".join(dict.fromkeys(f.suppressed.reason for f in findings if f.suppressed is not None))
        return f"<skipped message={_attribute(f'known: {reasons}')}/>" + _said(mild)
    return _said(mild)


def _fails(finding: Finding, fail_on: Severity | None) -> bool:
    if not finding.is_open:
        return False
    return fail_on is not None and finding.severity.rank <= fail_on.rank


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Every subject with its message and evidence; a long list is cut, and says by how much."""
    left = 0
    for number, finding in enumerate(findings):
        if number >= _MAX_BODY_LINES:
            left += 1
            continue
        state = "" if finding.status is Status.OPEN else f" [{finding.status.value}]"
        known = f" [known: {finding.suppressed.reason}]" if finding.suppressed is not None else ""
        yield shown(f"{finding.severity.value} {finding.subject}{state}{known}: {finding.message}", _MAX_LINE)
        for evidence in finding.evidence[:8]:
            expected = f" (expected: {evidence.expected})" if evidence.expected else ""
            yield shown(f"  - {evidence.source}: {evidence.observed}{expected}", _MAX_LINE)
        for subject in finding.folded[:100]:
            yield shown(f"  same cause: {subject}", _MAX_LINE)
        if len(finding.folded) > 100:
            yield f"  same cause: {len(finding.folded) - 100} more"
        if finding.repair is not None and finding.status is not Status.REPAIRED:
            yield shown(f"  repair ({finding.repair.safety}): {finding.repair.summary}", _MAX_LINE)
    if left:
        yield f"{left} more are left out; --format json has all"


def _case(area: str, name: str, body: str, counts: _Counts) -> str:
    counts.tests += 1
    head = f"<testcase classname={_attribute(f'guestrepair.{area}')} name={_attribute(name)}"
    return f"{head}>{body}</testcase>\n" if body else f"{head}/>\n"


def _said(text: str) -> str:
    return f"<system-out>{_text(text)}</system-out>" if text else ""


def _text(text: str) -> str:
    """Text between tags: what XML has no character for is written out by printable()."""
    return escape(printable(text, keep_newlines=True))


def _attribute(text: str, ending: str = "") -> str:
    return quoteattr(shown(text, _MAX_LINE) + ending)

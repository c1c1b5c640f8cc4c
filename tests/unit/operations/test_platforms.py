"""The verdict for a platform: yes, no, or not to be told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.model import Examination, Finding, Inconclusive, Severity, Status, Suppressed
from guestrepair.operations.platforms import concerning, judge
from guestrepair.platforms.model import Platform, Requirement
from guestrepair.platforms.parameters import Clean, Console
from guestrepair.report.data import ImageReport
from guestrepair.report.table import render_image


def _required(rule: str, parameters: Clean | Console) -> Requirement:
    return Requirement(rule=rule, parameters=parameters, why="so", source="https://example.org")


HERE = Platform(
    name="here",
    title="",
    requirements=(
        _required("platform/console", Console(any=("ttyS0",))),
        _required("fstab/device-name", Clean()),
    ),
)
RAN = ("fstab/device-name", "platform/console")
AGAINST = Finding("platform/console", Severity.WARNING, "/a", "no console", platforms=("here",))


@pytest.mark.parametrize(
    ("findings", "inconclusive", "ran", "fits"),
    [
        ([], [], RAN, True),
        ([AGAINST], [], RAN, False),
        ([AGAINST], [Inconclusive("platform", "x", ("here",))], RAN, False),
        ([replace(AGAINST, severity=Severity.NOTE)], [], RAN, True),
        ([replace(AGAINST, status=Status.REPAIRED)], [], RAN, True),
        ([replace(AGAINST, suppressed=Suppressed("ignore", "so"))], [], RAN, True),
        ([replace(AGAINST, platforms=("there",))], [], RAN, True),
        ([Finding("fstab/bad-option", Severity.ERROR, "/a", "x")], [], RAN, True),
        ([], [Inconclusive("platform", "x", ("here",))], RAN, None),
        ([], [Inconclusive("platform", "x", ("there",))], RAN, True),
        ([], [Inconclusive("platform", "stopped")], RAN, None),
        ([], [Inconclusive("fstab", "unreadable")], RAN, None),
        ([], [Inconclusive("sshd", "unreadable")], RAN, True),
        ([], [], RAN[:1], None),
        ([], [], (), None),
    ],
)
def test_the_verdict(
    findings: list[Finding], inconclusive: list[Inconclusive], ran: tuple[str, ...], fits: bool | None
) -> None:
    report = ImageReport(path="a", findings=findings, inconclusive=inconclusive, ran=ran, analyzed=True)
    judge(report, (HERE,))
    assert [(each.name, each.fits) for each in report.platforms] == [("here", fits)]


def test_what_was_not_analyzed_or_is_not_understood_has_none() -> None:
    report = ImageReport(path="a", ran=RAN)
    judge(report, (HERE,))
    assert report.platforms[0].fits is None
    report.analyzed = True
    judge(report, (HERE, replace(HERE, name="odd", unknown=("a card",))))
    assert [each.fits for each in report.platforms] == [True, None]


def test_findings_of_rules_that_must_find_nothing_name_the_platform() -> None:
    named = Finding("fstab/device-name", Severity.WARNING, "/etc/fstab:1", "x")
    others = [replace(named, severity=Severity.NOTE), Finding("fstab/missing", Severity.ERROR, "/a", "x")]
    found = concerning(Examination([named, *others], []), (HERE,)).findings
    assert {(f.rule, f.severity): f.platforms for f in found} == {
        ("fstab/missing", Severity.ERROR): (),
        ("fstab/device-name", Severity.WARNING): ("here",),
        ("fstab/device-name", Severity.NOTE): (),
    }


def test_the_table_says_it_at_the_top() -> None:
    report = ImageReport(path="a", findings=[AGAINST], ran=RAN, analyzed=True)
    judge(report, (HERE, replace(HERE, name="odd", unknown=("a card",))))
    lines = render_image(report).splitlines()
    assert lines[2:4] == ["  here: does not fit (platform/console)", "  odd: cannot be judged"]

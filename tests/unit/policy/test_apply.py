"""Weighing a report: what a policy and a baseline make known, and what they never do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.model import Effect, Finding, GuestPath, Inconclusive, Severity, Subject, Suppressed
from guestrepair.policy.apply import Standards, apply
from guestrepair.policy.baseline import Baseline, baseline_of
from guestrepair.policy.model import Ignore, Override, Policy
from guestrepair.report.data import ImageReport, Report, StageError
from guestrepair.report.headline import headline

TODAY = dt.date(2026, 12, 1)
ERROR, WARNING, NOTE = Severity
FSTAB = GuestPath("/etc/fstab")
LINE = Finding("fstab/source-not-found", ERROR, Subject.of_line(FSTAB, 3), "gone", effect=Effect.STOPS_BOOT)
KEY = Finding("sshd/hostkey-missing", ERROR, "/etc/ssh/key", "no key", effect=Effect.STOPS_LOGIN)
MILD = Finding("fstab/order", WARNING, "/etc/fstab", "odd")
RAN = ("fstab/order", "fstab/source-not-found", "sshd/hostkey-missing")


def image(*findings: Finding) -> ImageReport:
    return ImageReport(path="x", findings=list(findings), analyzed=True, ran=RAN)


def ignore(rule: str, subject: str = "", *, expires: dt.date | None = None, platform: str = "") -> Ignore:
    return Ignore(
        rule=rule, subject=subject, reason="known", expires=expires, place="p.toml:7", platform=platform
    )


def policy(*ignores: Ignore, overrides: Iterable[Override] = ()) -> Policy:
    return Policy(path="p.toml", ignores=ignores, overrides=tuple(overrides))


def weighed(
    what: Policy | Baseline, *images: ImageReport, platforms: tuple[str, ...] = ()
) -> list[ImageReport]:
    given_policy, baseline = (what, None) if isinstance(what, Policy) else (None, what)
    standards = Standards(policy=given_policy, baseline=baseline, platforms=platforms, today=TODAY)
    return apply(standards, Report(list(images))).images


def known(images: list[ImageReport]) -> set[tuple[str, str]]:
    return {f.identity for each in images for f in each.findings if f.suppressed is not None}


def own(images: list[ImageReport]) -> list[tuple[int, str, str]]:
    return [
        (number, f.rule, f.subject)
        for number, each in enumerate(images)
        for f in each.findings
        if f.analyzer == "policy"
    ]


@pytest.mark.parametrize(
    ("one", "hidden"),
    [
        (ignore("fstab/source-not-found"), {LINE}),
        (ignore("fstab"), {LINE, MILD}),
        (ignore("fstab/*"), {LINE, MILD}),
        (ignore("fstab/*", "/etc/fstab"), {LINE, MILD}),
        (ignore("fstab/*", "/etc/fstab:3"), {LINE}),
        (ignore("fstab/*", "/etc/fstab:4"), set()),
        (ignore("fstab/*", "/etc/*:*"), {LINE}),
        (ignore("*", "/etc/ssh/*"), {KEY}),
        (ignore("sshd/*", "/etc/ssh"), set()),
        (ignore("sshd/*", expires=TODAY), {KEY}),
        (ignore("sshd/*", expires=TODAY - dt.timedelta(1)), set()),
        (ignore("sshd/*", platform="kvm"), set()),
    ],
)
def test_what_an_ignore_hides(one: Ignore, hidden: set[Finding]) -> None:
    images = weighed(policy(one), image(LINE, KEY, MILD))
    assert known(images) == {f.identity for f in hidden}
    assert {f.identity for f in images[0].findings} >= {f.identity for f in (LINE, KEY, MILD)}
    assert {f.suppressed for f in images[0].findings if f.suppressed is not None} <= {
        Suppressed("ignore", "known", one.expires.isoformat() if one.expires else "")
    }


def test_a_finding_that_stands_for_more_than_is_named_is_not_hidden() -> None:
    folded = replace(KEY, folded=(Subject.of_path(GuestPath("/etc/ssh/key2")), "/srv/key"))
    assert known(weighed(policy(ignore("sshd/*", "/etc/ssh/*")), image(folded))) == set()
    assert known(weighed(policy(ignore("sshd/*")), image(folded))) == {KEY.identity}


def test_nothing_is_changed_in_the_report_that_was_given() -> None:
    before = image(LINE, KEY)
    weighed(policy(ignore("*"), overrides=[Override(rule="*", severity=NOTE)]), before)
    assert (before.findings, before.ran) == ([LINE, KEY], RAN)
    assert all(f.suppressed is None for f in before.findings)


NAMES = st.sampled_from(["a/x", "a/xy", "b/x", "b/y"])
SUBJECTS = st.sampled_from(["/a", "/a/b", "/ab", "/a:1", "/a:2", "/b", "/dev/sda1"])


def _subject(text: str) -> Subject:
    path, colon, line = text.partition(":")
    return Subject.of_line(GuestPath(path), int(line)) if colon else Subject.of_path(GuestPath(path))


FINDINGS = st.builds(
    lambda rule, subject, folded: Finding(
        rule, ERROR, _subject(subject), "m", folded=tuple(map(_subject, folded))
    ),
    NAMES, SUBJECTS, st.lists(SUBJECTS, max_size=2),
)  # fmt: skip


@given(st.lists(FINDINGS, max_size=8), NAMES, SUBJECTS)
def test_an_ignore_never_hides_another_subject_or_rule(
    findings: list[Finding], rule: str, subject: str
) -> None:
    (after,) = weighed(policy(ignore(rule, subject)), image(*findings))
    for finding in after.findings:
        subjects = {finding.subject, *finding.folded}
        meant = finding.rule == rule and all(s == subject or s.partition(":")[0] == subject for s in subjects)
        assert (finding.suppressed is not None) == meant or finding.analyzer == "policy"
    assert [f for f in after.findings if f.analyzer != "policy"] == sorted(
        findings, key=lambda f: (f.rule, f.subject)
    )


@given(st.lists(FINDINGS, max_size=8), st.lists(FINDINGS, max_size=8))
def test_a_baseline_never_hides_what_was_not_there(before: list[Finding], after: list[Finding]) -> None:
    baseline = baseline_of([before], TODAY, None)
    (found,) = weighed(baseline, image(*after))
    for rule, path in {(f.rule, f.subject.partition(":")[0]) for f in after}:
        alike = [f for f in found.findings if (f.rule, f.subject.partition(":")[0]) == (rule, path)]
        were = [f for f in before if (f.rule, f.subject.partition(":")[0]) == (rule, path)]
        assert sum(f.suppressed is not None for f in alike) <= len(were)
    (again,) = weighed(baseline, image(*before))
    assert all(f.suppressed is not None for f in again.findings)


# --- severities ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "platforms", "severity"),
    [
        ([("fstab/*", NOTE, "")], (), NOTE),
        ([("fstab/*", NOTE, ""), ("fstab/source-not-found", WARNING, "")], (), WARNING),
        ([("fstab/*", NOTE, "kvm")], (), ERROR),
        ([("fstab/*", NOTE, "kvm")], ("kvm",), NOTE),
        ([("fstab/*", NOTE, "kvm")], ("kvm", "gce"), ERROR),
        ([("fstab/*", NOTE, "kvm"), ("fstab/*", WARNING, "")], ("kvm", "gce"), WARNING),
        ([("sshd/*", NOTE, "")], (), ERROR),
    ],
)
def test_severities(
    overrides: list[tuple[str, Severity, str]], platforms: tuple[str, ...], severity: Severity
) -> None:
    made = [Override(rule=rule, severity=s, platform=where) for rule, s, where in overrides]
    (after,) = weighed(policy(overrides=made), image(LINE), platforms=platforms)
    assert after.findings[0].severity is severity
    assert after.findings[0].effect is Effect.STOPS_BOOT  # what happens when it is started is no opinion
    assert headline(after).startswith("Does not boot: gone")


def test_an_ignore_of_one_platform_hides_nothing_of_another() -> None:
    one = policy(ignore("fstab/*", platform="kvm"))
    assert known(weighed(one, image(LINE), platforms=("kvm",))) == {LINE.identity}
    assert known(weighed(one, image(LINE), platforms=("kvm", "gce"))) == set()
    both = policy(ignore("fstab/*", platform="kvm"), ignore("fstab/*", platform="gce"))
    assert known(weighed(both, image(LINE), platforms=("kvm", "gce"))) == {LINE.identity}


# --- what the policy itself comes to -----------------------------------------------------------

USED, UNUSED = ignore("fstab/*"), ignore("sshd/*", "/nothing")
OVER = ignore("fstab/*", expires=dt.date(2026, 1, 1))
OVER_UNUSED = ignore("sshd/*", "/nothing", expires=dt.date(2026, 1, 1))
UNCLEAR = replace(image(LINE), inconclusive=[Inconclusive("sshd", "unreadable")])
ENDED = replace(image(), errors=[StageError("analyze", "stopped")], analyzed=False, ran=())
EXPIRED_RULE, UNUSED_RULE = "policy/ignore-expired", "policy/ignore-unused"


@pytest.mark.parametrize(
    ("one", "images", "said"),
    [
        (USED, [image(LINE)], []),
        (USED, [image(), image(LINE)], []),
        (UNUSED, [image(LINE)], [(0, UNUSED_RULE, "sshd/*@/nothing")]),
        (UNUSED, [image(LINE), image()], [(0, UNUSED_RULE, "sshd/*@/nothing")]),
        (UNUSED, [UNCLEAR], []),
        (UNUSED, [image(), UNCLEAR], []),
        (UNUSED, [image(), ENDED], []),
        (UNUSED, [replace(image(), ran=("fstab/order",))], []),
        (ignore("sshd/*", platform="kvm"), [image()], []),
        (OVER, [image(LINE)], [(0, EXPIRED_RULE, "fstab/*")]),
        (OVER, [image(), image(LINE)], [(1, EXPIRED_RULE, "fstab/*")]),
        (OVER_UNUSED, [image(), image()], [(0, EXPIRED_RULE, "sshd/*@/nothing")]),
        (OVER_UNUSED, [ENDED], []),
    ],
)
def test_expired_and_unused(one: Ignore, images: list[ImageReport], said: list[tuple[int, str, str]]) -> None:
    after = weighed(policy(one), *images)
    assert own(after) == said
    for each in after:
        for finding in each.findings:
            if finding.analyzer == "policy":
                assert finding.evidence[0].source == "p.toml:7"
                assert finding.severity is (WARNING if finding.rule == EXPIRED_RULE else NOTE)


def test_the_policy_weighs_its_own_findings_and_hides_none_of_them() -> None:
    weights = policy(
        UNUSED, ignore("policy/*"), overrides=[Override(rule="policy/*", severity=ERROR, place="p:1")]
    )
    (after,) = weighed(weights, replace(image(), ran=(*RAN, "policy/require")))
    assert [(f.rule, f.severity, f.suppressed) for f in after.findings] == [
        (UNUSED_RULE, ERROR, None), (UNUSED_RULE, ERROR, None),
    ]  # fmt: skip
    assert set(after.ran) >= {EXPIRED_RULE, UNUSED_RULE}


# --- the exit status, the summary, the sentence at the top ---------------------------------------


def test_what_is_known_fails_nothing_and_is_still_said() -> None:
    (after,) = weighed(policy(ignore("fstab/*")), image(LINE, KEY))
    assert Report([after]).exit_status(ERROR) == 1
    assert headline(after) == ("Does not boot, as is known: gone; nobody can log in over SSH: no key.")
    (after,) = weighed(policy(ignore("*")), image(LINE, KEY))
    assert Report([after]).exit_status(NOTE) == 0
    assert "Nothing found" not in headline(after)


# --- baselines ---------------------------------------------------------------------------------


def test_a_baseline_knows_what_was_there_and_nothing_worse() -> None:
    baseline = baseline_of([[LINE, replace(MILD, folded=("/a",))]], dt.date(2026, 1, 2), None)
    (after,) = weighed(baseline, image(LINE, KEY, replace(MILD, folded=("/a",))))
    assert known([after]) == {LINE.identity, MILD.identity}
    reasons = {f.suppressed.reason for f in after.findings if f.suppressed}
    assert reasons == {"in the baseline, first seen 2026-01-02"}
    moved = replace(LINE, subject=Subject.of_line(FSTAB, 30), message="other words")
    assert known(weighed(baseline, image(moved))) == {moved.identity}
    assert known(weighed(baseline, image(replace(MILD, severity=ERROR)))) == set()
    assert known(weighed(baseline, image(replace(MILD, folded=("/a", "/b"))))) == set()
    assert known(weighed(baseline, image(replace(LINE, severity=WARNING)))) == {LINE.identity}
    second = replace(LINE, subject=Subject.of_line(FSTAB, 9))
    assert known(weighed(baseline, image(LINE, second))) == {LINE.identity}


def test_an_ignore_comes_before_a_baseline() -> None:
    baseline = baseline_of([[LINE]], TODAY, None)
    standards = Standards(policy=policy(ignore("fstab/*")), baseline=baseline, today=TODAY)
    (after,) = apply(standards, Report([image(LINE)])).images
    assert after.findings[0].suppressed == Suppressed("ignore", "known")

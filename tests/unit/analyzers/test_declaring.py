"""A finding is made from its rule's declaration; checks stand alone; a subject knows what it is about."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest

from guestrepair.analyzers.base import Analyzer, Context, Rule, UndeclaredError, run_analyzer
from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Effect, Finding, GuestPath, Inconclusive, Repair, Safety, Severity, Subject

RULE = Rule(
    name="motd/writable",
    summary="",
    severities=(Severity.WARNING, Severity.NOTE),
    effect=Effect.HYGIENE,
    safeties=(Safety.SAFE,),
    what="",
    why="",
    repair="",
)
MOTD = Subject.of_path(GuestPath("/etc/motd"))


def test_a_finding_has_its_rules_usual_severity_unless_said() -> None:
    assert RULE.finding(MOTD, "words") == Finding("motd/writable", Severity.WARNING, "/etc/motd", "words")
    assert RULE.finding(MOTD, "words", severity=Severity.NOTE).severity is Severity.NOTE


@pytest.mark.parametrize(
    ("severity", "safety"), [(Severity.ERROR, Safety.SAFE), (None, Safety.MANUAL), (None, Safety.REVIEW)]
)
def test_what_the_rule_does_not_declare_cannot_be_made(severity: Severity | None, safety: Safety) -> None:
    with pytest.raises(UndeclaredError, match="it declares"):
        RULE.finding(MOTD, "words", severity=severity, repair=Repair("", safety))


def test_an_unreadable_fact_costs_its_check_and_is_said_once() -> None:
    def unreadable() -> tuple[Finding, ...]:
        raise GuestReadError("/etc/passwd", "Input/output error")

    def unlucky(_context: Context) -> Iterator[Finding | Inconclusive]:
        yield from unreadable()

    def lucky(_context: Context) -> Iterator[Finding | Inconclusive]:
        yield RULE.finding(MOTD, "words")

    analyzer = Analyzer(name="motd", summary="", rules=(RULE,), checks=(unlucky, lucky, unlucky))
    findings, inconclusive = run_analyzer(analyzer, Context(MemoryGuest()))
    assert [f.subject for f in findings] == ["/etc/motd"]
    assert inconclusive == [Inconclusive("motd", "/etc/passwd: Input/output error")]


def test_the_facts_of_a_context_are_read_once_and_anew_after_it_was_stopped() -> None:
    context = Context(MemoryGuest())
    before = context.system
    assert context.system is before
    context.start_over()
    assert context.system is not before


@pytest.mark.parametrize(
    ("subject", "text", "parts"),
    [
        (Subject.of_path(GuestPath("/etc/a:3")), "/etc/a:3", (GuestPath("/etc/a:3"), None, None)),
        (Subject.of_line(GuestPath("/etc/fstab"), 3), "/etc/fstab:3", (GuestPath("/etc/fstab"), 3, None)),
        (Subject.of_device("/dev/sda1"), "/dev/sda1", (None, None, "/dev/sda1")),
    ],
)
def test_a_subject_is_its_text_and_knows_its_parts(
    subject: Subject, text: str, parts: tuple[GuestPath | None, int | None, str | None]
) -> None:
    again = pickle.loads(pickle.dumps(subject))  # noqa: S301 - our own
    for each in (subject, again):
        assert each == text
        assert (each.path, each.line, each.device) == parts

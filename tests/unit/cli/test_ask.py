"""The questions of a repair on a terminal: each answer does what the help says."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from guestrepair.cli.ask import Asker
from guestrepair.cli.console import Console
from guestrepair.model import Effect, Finding, GuestPath, Repair, Safety, SetMode, Severity
from guestrepair.repair.plan import Plan, Step

CHANGE = SetMode(path=GuestPath("/etc/shadow"), before=0o666, after=0o640)
ONE = Finding(
    "system/critical-modes", Severity.ERROR, "/etc/shadow", "open to all\x1b[2J",
    repair=Repair("mode 0640", Safety.REVIEW, (CHANGE,)), effect=Effect.STOPS_LOGIN,
)  # fmt: skip
SAME_RULE = Finding("system/critical-modes", Severity.ERROR, "/etc/passwd", "open", repair=ONE.repair)
OTHER_RULE = Finding("fstab/order", Severity.WARNING, "/etc/fstab:1", "odd", repair=ONE.repair)
PLAN = Plan((ONE,), (Step(CHANGE),))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is typed at the prompts, in order; the end of input after that."""
    typed: list[str] = []

    def prompt(*_words: object, **_options: object) -> str:
        if not typed:
            raise click.Abort
        return typed.pop(0)

    monkeypatch.setattr(click, "prompt", prompt)
    return typed


def wants(asker: Asker, *findings: Finding) -> Iterator[bool]:
    return (asker.wants(finding, PLAN) for finding in findings)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        (["y", "n", "y"], [True, False, True]),
        (["a", "n"], [True, True, False]),  # the second is of the same rule, and not asked for
        (["n", "q"], [False, False, False]),
        (["?", "d", "e", "Y", "no", "q"], [True, False, False]),
    ],
)
def test_each_answer(answers: list[str], typed: list[str], wanted: list[bool]) -> None:
    answers += typed
    assert list(wants(Asker(Console()), ONE, SAME_RULE, OTHER_RULE)) == wanted
    assert not answers


def test_the_end_of_input_is_an_interruption(answers: list[str]) -> None:
    assert not answers
    with pytest.raises(KeyboardInterrupt):
        Asker(Console()).wants(ONE, PLAN)


def test_d_shows_the_change_and_e_the_page(answers: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    answers += ["d", "e", "n"]
    Asker(Console()).wants(ONE, PLAN)
    said = capsys.readouterr().err
    assert "set-mode" in said
    assert "Why it matters" in said
    assert "\x1b" not in said

"""What the chosen analyzers say of one guest, and what is said where they could not look."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Analyzer, Context, Rule, all_analyzers
from guestrepair.errors import UsageError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Effect, Finding, GuestPath, Inconclusive, Severity
from guestrepair.operations.analysis import (
    analyze,
    chosen_analyzers,
    of_disks,
    rules_of,
    with_verdicts,
    without_sshd,
)
from guestrepair.operations.options import ScanOptions, UserInterface
from guestrepair.report.data import ImageReport
from guestrepair.system.guest_system import System
from tests.unit.analyzers.sshd_guest import debian


def rule(name: str) -> Rule:
    return Rule(
        name=name, summary="", severities=(Severity.ERROR, Severity.NOTE), effect=Effect.HYGIENE, safeties=(),
        what="", why="", repair="",
    )  # fmt: skip


def analyzer(name: str, *said: Finding | Inconclusive, last: bool = False, late: bool = False) -> Analyzer:
    def look(_context: Context) -> Iterator[Finding | Inconclusive]:
        yield from said

    return Analyzer(name=name, summary="", rules=(rule(f"{name}/x"),), analyze=look, last=last, late=late)


ERROR, NOTE = Finding("b/x", Severity.ERROR, "/e", ""), Finding("a/x", Severity.NOTE, "/n", "")


def test_the_worst_comes_first_and_the_last_analyzer_runs_last() -> None:
    lines: list[str] = []
    analyzers = [
        analyzer("c", last=True), analyzer("d", Inconclusive("d", "unreadable"), late=True),
        analyzer("a", NOTE), analyzer("b", ERROR, Inconclusive("b", "unreadable")),
    ]  # fmt: skip
    found = analyze(analyzers, Context(MemoryGuest()), ScanOptions(), UserInterface(progress=lines.append))
    assert lines == [f"analyzing: {name}" for name in "abdc"]
    assert found.findings == [ERROR, NOTE]
    assert [each.analyzer for each in found.inconclusive] == ["b", "d"]


def test_only_what_is_wanted_is_told() -> None:
    context = Context(MemoryGuest())
    analyzers = [analyzer("a", NOTE), analyzer("b", ERROR)]
    assert analyze(analyzers, context, ScanOptions(skip=("b/x",)), UserInterface()).findings == [NOTE]
    assert analyze(analyzers, context, ScanOptions(only=("b/*",)), UserInterface()).findings == [ERROR]


def test_a_database_that_was_given_up_is_said_whatever_runs() -> None:
    context = Context(MemoryGuest())
    context.packages_stopped = "stopped after 60 s"
    found = analyze([], context, ScanOptions(only=("fstab",)), UserInterface())
    assert found.inconclusive == [Inconclusive("packages", "stopped after 60 s")]


def test_damage_that_was_met_is_said_where_nobody_looks_at_the_filesystem() -> None:
    guest = MemoryGuest()
    for name in "ba":
        guest.file(f"/etc/{name}", "x").damaged = "bad extent"
        assert guest.lstat(GuestPath(f"/etc/{name}")) is None
    found = analyze([analyzer("a", NOTE)], Context(guest), ScanOptions(), UserInterface())
    assert found.findings == [NOTE]
    (said,) = found.inconclusive
    assert (said.analyzer, said.reason) == (
        "filesystems", "/etc/a: bad extent; its filesystem was not looked at",
    )  # fmt: skip
    assert (
        analyze([analyzer("z", last=True)], Context(guest), ScanOptions(), UserInterface()).inconclusive == []
    )


def test_whoever_names_an_area_gets_it_and_a_wrong_name_says_which_there_are() -> None:
    assert [a.name for a in chosen_analyzers(ScanOptions(only=("fstab",)))] == ["fstab"]
    (by_rule,) = chosen_analyzers(ScanOptions(only=("fstab/bad-*",)))
    assert by_rule.name == "fstab"
    rest = {a.name for a in chosen_analyzers(ScanOptions(skip=("fstab",)))}
    assert "fstab" not in rest
    assert rest < {a.name for a in all_analyzers()}  # some run for a platform or profile alone
    for options in (ScanOptions(only=("fstab/none",)), ScanOptions(skip=("nonsense",))):
        with pytest.raises(UsageError, match="no analyzer or rule is called") as said:
            chosen_analyzers(options)
        assert "fstab, " in said.value.hint


def test_rules_that_are_judged_are_those_that_are_let_through() -> None:
    analyzers = chosen_analyzers(ScanOptions(only=("fstab",)))
    every = rules_of(analyzers, ScanOptions(only=("fstab",)))
    assert list(every) == sorted(every)
    assert set(every) - set(rules_of(analyzers, ScanOptions(skip=("fstab/passno",)))) == {"fstab/passno"}


def test_disks_without_a_system_are_judged_by_those_that_need_none() -> None:
    assert {a.name for a in of_disks(all_analyzers())} >= {"partitions", "filesystems"}
    assert "fstab" not in {a.name for a in of_disks(all_analyzers())}


def test_a_verdict_is_given_for_each_platform_that_is_named() -> None:
    report = ImageReport(path="x", analyzed=True)
    assert with_verdicts(report, ScanOptions()).platforms == ()
    options = ScanOptions(analysis=AnalysisOptions(platforms=("kvm",)))
    assert [(p.name, p.fits) for p in with_verdicts(report, options).platforms] == [("kvm", None)]


def test_no_server_is_certain_only_where_it_can_be_seen() -> None:
    assert without_sshd(System(MemoryGuest()))
    guest = debian()
    assert not without_sshd(System(guest))
    guest.nodes[GuestPath("/etc/ssh/sshd_config")].unreadable = "Input/output error"
    assert not without_sshd(System(guest))

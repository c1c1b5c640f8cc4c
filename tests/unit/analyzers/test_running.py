"""Running an analyzer: what it cannot read, and a fault of its own, is said and never taken for healthy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from guestrepair import fence
from guestrepair.analyzers import base
from guestrepair.analyzers.base import (
    AnalysisOptions,
    Analyzer,
    Context,
    Rule,
    UndeclaredWarning,
    all_analyzers,
    budget_for,
    run_analyzer,
)
from guestrepair.errors import ApplianceError, FormatError, GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Effect, Evidence, Finding, Inconclusive, Repair, Safety, Severity
from guestrepair.operations.analysis import analyze
from guestrepair.operations.options import ScanOptions, UserInterface

WRITABLE = Rule(
    name="motd/writable",
    summary="",
    severities=(Severity.WARNING,),
    effect=Effect.HYGIENE,
    safeties=(Safety.SAFE,),
    what="",
    why="",
    repair="",
)
FOUND = Finding("motd/writable", Severity.WARNING, "/etc/motd", "can be changed by anybody")


class SpeechlessError(Exception):
    """An exception that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


class OfItsOwnKind(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GuestReadError("/etc/motd", "input/output error"), "/etc/motd: input/output error"),
        (FormatError("/etc/motd:3: no text"), "/etc/motd:3: no text"),
        (IndexError("list index out of range"), "a fault of the analyzer: IndexError"),
        (RecursionError(), "a fault of the analyzer: RecursionError"),
        (ApplianceError("the appliance did not answer"), "the appliance did not answer"),
        (MemoryError(), "stopped: the host is out of memory"),
        (ExceptionGroup("several", [ValueError("one")]), "a fault of the analyzer: ExceptionGroup: several"),
        (SpeechlessError(), "a fault of the analyzer: SpeechlessError"),
        (SystemExit(0), "a fault of the analyzer: SystemExit: 0"),
        (GeneratorExit(), "a fault of the analyzer: GeneratorExit"),
        (OfItsOwnKind("x" * 5000), "a fault of the analyzer: OfItsOwnKind: xxx"),
        (ValueError("two\nlines"), "a fault of the analyzer: ValueError: two lines"),
    ],
)
def test_what_stops_an_analyzer_is_inconclusive(error: BaseException, reason: str) -> None:
    def analyze(_context: Context) -> Iterator[Finding | Inconclusive]:
        yield FOUND
        raise error

    analyzer = Analyzer(name="motd", summary="", rules=(WRITABLE,), analyze=analyze)
    findings, inconclusive = run_analyzer(analyzer, Context(MemoryGuest()))
    assert findings == [FOUND]
    assert [item.analyzer for item in inconclusive] == ["motd"]
    assert inconclusive[0].reason.startswith(reason)
    assert "\n" not in inconclusive[0].reason
    assert len(inconclusive[0].reason) < 400


def named(analyze: Callable[[Context], Iterator[Finding | Inconclusive]], name: str = "motd") -> Analyzer:
    return Analyzer(name=name, summary="", rules=(WRITABLE,), analyze=analyze)


@pytest.mark.parametrize("junk", [None, 7, "motd/writable", (FOUND,)])
def test_an_analyzer_that_yields_junk_is_inconclusive(junk: object) -> None:
    analyzer = named(lambda _context: iter((FOUND, cast("Finding", junk))))
    findings, inconclusive = run_analyzer(analyzer, Context(MemoryGuest()))
    assert findings == [FOUND]
    assert f"it yields {type(junk).__name__}, which is no finding" in inconclusive[0].reason


def test_an_analyzer_that_gives_nothing_to_go_through_is_inconclusive() -> None:
    analyzer = named(cast("Callable[[Context], Iterator[Finding | Inconclusive]]", lambda _context: None))
    assert "TypeError" in run_analyzer(analyzer, Context(MemoryGuest()))[1][0].reason


def test_findings_without_end_are_cut_off_and_that_is_said() -> None:
    def analyze(_context: Context) -> Iterator[Finding | Inconclusive]:
        while True:
            yield FOUND

    findings, inconclusive = run_analyzer(named(analyze), Context(MemoryGuest()))
    assert len(findings) == base.MAX_FINDINGS
    assert "the rest is left out" in inconclusive[0].reason


def test_ctrl_c_is_no_fault_of_the_analyzer() -> None:
    def analyze(_context: Context) -> Iterator[Finding | Inconclusive]:
        yield FOUND
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_analyzer(named(analyze), Context(MemoryGuest()))


def test_findings_are_corroborated_once_all_checks_are_done() -> None:
    """What is found stays when the corroboration cannot be had, and that is said."""
    evidence = Evidence("/var/log/syslog", "seen twice")
    asked: list[int] = []

    def corroborate(_context: Context, findings: Sequence[Finding]) -> Sequence[Finding]:
        asked.append(len(findings))
        return [replace(finding, evidence=(evidence,)) for finding in findings]

    def lose(_context: Context, _findings: Sequence[Finding]) -> Sequence[Finding]:
        raise GuestReadError("/var/log", "input/output error")

    def check(_context: Context) -> Iterator[Finding | Inconclusive]:
        yield FOUND

    analyzer = Analyzer(
        name="motd", summary="", rules=(WRITABLE,), checks=(check, check), corroborate=corroborate
    )
    findings, inconclusive = run_analyzer(analyzer, Context(MemoryGuest()))
    assert (findings, inconclusive, asked) == ([replace(FOUND, evidence=(evidence,))] * 2, [], [2])
    findings, inconclusive = run_analyzer(replace(analyzer, corroborate=lose), Context(MemoryGuest()))
    assert findings == [FOUND, FOUND]
    assert [item.reason for item in inconclusive] == ["/var/log: input/output error"]


def hang(_context: Context) -> Iterator[Finding | Inconclusive]:
    yield FOUND
    while True:
        pass


def hang_in_a_pattern(_context: Context) -> Iterator[Finding | Inconclusive]:
    yield FOUND
    re.match(r"(?:a|a?)+$", "a" * 50 + "b")


def devour(_context: Context) -> Iterator[Finding | Inconclusive]:
    yield FOUND
    kept: list[bytes] = []
    while True:
        kept.append(b"x" * fence.MIB * (len(kept) % 2 + 1))


class Remembering(MemoryGuest):
    """A guest that tells whether it was told to read everything again."""

    started_over = 0

    def start_over(self) -> None:
        self.started_over += 1


def test_a_database_that_was_not_read_to_its_end_is_inconclusive_whatever_was_chosen() -> None:
    context = Context(MemoryGuest(), packages_stopped="stopped after 45 s")
    found = analyze([named(lambda _context: iter((FOUND,)))], context, ScanOptions(), UserInterface())
    assert found == ([FOUND], [Inconclusive("packages", "stopped after 45 s")])


@pytest.mark.parametrize(
    ("options", "more"),
    [
        (AnalysisOptions(), False),
        (AnalysisOptions(digests="all"), True),
        (AnalysisOptions(deep=True), True),
        (AnalysisOptions(digests="none"), False),
    ],
)
def test_who_asks_for_work_that_grows_with_the_disk_gives_it_time(
    options: AnalysisOptions, *, more: bool
) -> None:
    given = budget_for(options, fence.ANALYZER)
    assert (given.cpu_seconds > fence.ANALYZER.cpu_seconds) is more
    assert (given.wall_seconds > fence.ANALYZER.wall_seconds) is more
    assert given.memory_bytes == fence.ANALYZER.memory_bytes


def install(directory: Path, names: dict[str, str], **modules: str) -> None:
    """Put a distribution with entry points into a directory of the import path."""
    info = directory / "extensions-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extensions\nVersion: 1.0\n")
    lines = "\n".join(f"{name} = {value}" for name, value in names.items())
    (info / "entry_points.txt").write_text(f"[guestrepair.analyzers]\n{lines}\n")
    for module, text in modules.items():
        (directory / f"{module}.py").write_text(text)


@pytest.fixture
def again() -> Iterator[None]:
    all_analyzers.cache_clear()
    yield
    all_analyzers.cache_clear()


@pytest.mark.usefixtures("again")
def test_an_extension_that_cannot_be_loaded_is_one_line_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = "from guestrepair.analyzers.base import Analyzer\n"
    good += 'ANALYZER = Analyzer(name="good", summary="", rules=(), analyze=lambda c: iter(()))\n'
    install(
        tmp_path,
        {"syntax": "ext_a:ANALYZER", "leaves": "ext_b:ANALYZER", "gone": "ext_none:ANALYZER",
         "odd": "ext_c:ANALYZER", "good": "ext_d:ANALYZER", "fstab": "ext_a:ANALYZER"},
        ext_a="def (", ext_b="raise SystemExit(1)", ext_c="ANALYZER = 7", ext_d=good,
    )  # fmt: skip
    before = {analyzer.name for analyzer in all_analyzers()}
    all_analyzers.cache_clear()
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {analyzer.name: analyzer for analyzer in all_analyzers()}
    lost = {"syntax", "leaves", "gone", "odd", "fstab (extension)"}
    assert set(found) == before | lost | {"good"}
    reasons = {name: run_analyzer(found[name], Context(MemoryGuest()))[1] for name in lost}
    assert all(len(said) == 1 and "cannot be loaded: " in said[0].reason for said in reasons.values())
    assert "SyntaxError" in reasons["syntax"][0].reason
    assert "SystemExit: 1" in reasons["leaves"][0].reason
    assert "ModuleNotFoundError" in reasons["gone"][0].reason
    assert "is no analyzer" in reasons["odd"][0].reason
    assert run_analyzer(found["good"], Context(MemoryGuest())) == ([], [])


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (FOUND, ""),
        (replace(FOUND, severity=Severity.NOTE), "is no note"),
        (replace(FOUND, repair=Repair("", Safety.SAFE)), ""),
        (replace(FOUND, repair=Repair("", Safety.MANUAL)), "a repair that is manual"),
        (replace(FOUND, rule="motd/unknown"), "is no rule of motd"),
    ],
)
def test_a_finding_that_its_rule_does_not_declare_fails_the_test_that_meets_it(
    found: Finding, words: str
) -> None:
    analyzer = Analyzer(name="motd", summary="", rules=(WRITABLE,), analyze=lambda _context: iter((found,)))
    if not words:
        assert run_analyzer(analyzer, Context(MemoryGuest())) == ([found], [])
        return
    with pytest.raises(UndeclaredWarning, match=words):
        run_analyzer(analyzer, Context(MemoryGuest()))

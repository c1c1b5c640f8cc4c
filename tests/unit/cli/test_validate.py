"""validate and policy check: which policy counts, what wins, exit statuses, and nothing is written over."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.cli.console import Console
from guestrepair.cli.main import invoke
from guestrepair.cli.scan import command as scan_command
from guestrepair.cli.validate import command as validate_command
from guestrepair.errors import UsageError
from guestrepair.operations.options import ScanOptions, StandardOptions
from guestrepair.operations.standards import Wanted, find_policy, read_standards
from guestrepair.report.data import ImageReport, Report

GOOD = '[policy]\nfail-on = "never"\nprofile = "machine"\nplatform = "kvm"\n[[require]]\naccount = "root"\n'


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = invoke(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def one_line(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    status, out, err = run(capsys, *arguments)
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    return err.removeprefix("guestrepair: ").rstrip("\n")


def test_a_policy_of_the_working_directory_counts_for_validate_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("guestrepair.toml").write_text("[policy]\nfail-on = 'nver'\n")
    said = "guestrepair.toml:2: fail-on is no 'nver'; did you mean 'never'?"
    assert one_line(capsys, "validate", "missing") == said
    assert one_line(capsys, "policy", "check") == said
    assert one_line(capsys, "scan", "--policy", "guestrepair.toml", "missing") == said
    assert run(capsys, "scan", "missing")[0] == 3
    Path("other.toml").write_text(GOOD.partition("platform")[0])
    assert run(capsys, "validate", "--policy", "other.toml", "missing")[0] == 3


def test_the_nearest_one_above_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "guestrepair.toml").write_text("x = 1\n")
    inner = tmp_path / "a/b"
    inner.mkdir(parents=True)
    os.chdir(inner)
    said = one_line(capsys, "validate", "missing")
    assert said.startswith(f"{tmp_path}/guestrepair.toml:1: a policy has no key 'x'")
    (inner / "guestrepair.toml").write_text("")
    assert run(capsys, "validate", "missing")[0] == 3
    assert find_policy(inner) == Path("guestrepair.toml")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_that_somebody_else_put_there_is_not_believed_unasked(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("guestrepair.toml")
    path.write_text("")
    os.chown(path, 4711, -1)
    assert "belongs to user 4711" in one_line(capsys, "validate", "missing")
    assert run(capsys, "validate", "--policy", "guestrepair.toml", "missing")[0] == 3


def test_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "validate", "missing")[0] == 3
    said = one_line(capsys, "policy", "check")
    assert said == "there is no guestrepair.toml here or above; name a policy: policy check FILE"
    assert one_line(capsys, "policy", "check", "no.toml") == "no.toml: there is no such file; name a policy"


def test_check_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.toml").write_text(
        "[[ignore]]\nrule = 'fstab/*'\nreason = \"a\\u001b[31m\"\nexpires = 2020-01-01\n"
    )
    status, out, err = run(capsys, "policy", "check", "p.toml")
    assert (status, err) == (0, "")
    assert "known until the end of 2020-01-01: a\\x1b[31m" in out
    assert "has expired" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--baseline", "no.json"],
        ["--baseline", "notes"],
        ["--write-baseline", "notes"],
        ["--write-baseline", "no/such/place"],
        ["--write-baseline", "disk.img"],
        ["--write-baseline", "."],
        ["--policy", "notes"],
        ["--write-baseline", "new.json", "-o", "new.json"],
    ],
)
@pytest.mark.parametrize("command", ["scan", "validate"])
def test_what_cannot_be_used_is_said_before_the_work(
    capsys: pytest.CaptureFixture[str], command: str, arguments: list[str]
) -> None:
    Path("notes").write_text("my notes\n")
    disk = Path("disk.img")
    disk.write_bytes(bytes(510) + b"\x55\xaa" + bytes(4096))
    before = disk.read_bytes()
    assert one_line(capsys, command, *arguments, "disk.img")
    assert Path("notes").read_text() == "my notes\n"
    assert disk.read_bytes() == before


def test_a_baseline_of_what_could_not_be_opened_is_empty_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, _, err = run(capsys, "validate", "--write-baseline", "known.json", "missing")
    assert status == 3
    assert "known.json: not everything could be examined" in err
    assert run(capsys, "scan", "--baseline", "known.json", "missing")[0] == 3


def test_a_report_that_cannot_be_written_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report([ImageReport(path="x")])
    assert Console().keep_report(report, lambda _: "the report\n", Path("/dev/full")) == 2
    captured = capsys.readouterr()
    assert captured.out == "the report\n"
    assert captured.err == (
        "guestrepair: -o /dev/full: No space left on device; the report is on stdout instead\n"
    )
    assert Console().keep_report(report, lambda _: "the report\n", Path("report.txt")) == 0
    assert Path("report.txt").read_text() == "the report\n"


def options_of(command: click.Command, *arguments: str) -> dict[str, object]:
    return command.make_context("x", [*arguments, "image"]).params


def test_defaults() -> None:
    assert options_of(scan_command)["fail_on"] == "error"
    values = options_of(validate_command)
    assert (values["fail_on"], values["profile"]) == ("warning", "golden")
    assert options_of(validate_command, "--fail-on", "note")["fail_on"] == "note"
    differing = {p.name for p in validate_command.params} ^ {p.name for p in scan_command.params}
    assert differing <= {"profile"}


@pytest.mark.parametrize(
    ("said", "fail_on", "profile", "platforms"),
    [
        (set(), "never", "machine", ("kvm",)),
        ({"fail_on"}, "warning", "machine", ("kvm",)),
        ({"profile", "platform"}, "never", "golden", ("gce",)),
    ],
)
def test_the_command_line_wins_over_the_policy(
    said: set[str], fail_on: str, profile: str, platforms: tuple[str, ...]
) -> None:
    Path("p.toml").write_text(GOOD)
    analysis = AnalysisOptions(profile="golden", platforms=("gce",), now=0.0)
    wanted = Wanted(scan=ScanOptions(analysis=analysis), fail_on="warning", said=frozenset(said))
    standards, found = read_standards(StandardOptions(policy=Path("p.toml")), wanted)
    assert (found.fail_on, found.scan.analysis.profile) == (fail_on, profile)
    assert found.scan.analysis.platforms == standards.platforms == platforms
    assert len(found.scan.analysis.requirements) == 1
    assert standards.today.isoformat() == "1970-01-01"


def test_nothing_given_is_nothing_weighed() -> None:
    assert not StandardOptions().any_given
    with pytest.raises(UsageError):
        read_standards(StandardOptions(baseline=Path("no")), Wanted(scan=ScanOptions(), fail_on="error"))

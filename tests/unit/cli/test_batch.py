"""Several images in one call: what is wrong with one of them is one line, and the report has them all."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from guestrepair.cli.console import Console, or_interrupted
from guestrepair.cli.main import invoke
from guestrepair.model import Evidence, Finding, GuestPath, Repair, Safety, Severity, WriteFile
from guestrepair.report import json as json_report
from guestrepair.report import table
from guestrepair.report.data import ImageReport, Report

UNREADABLE = Path("/proc/self/mem")
"""A regular file by its looks, that answers a read with "invalid argument"."""


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1)])
def test_an_image_that_cannot_be_read_costs_the_others_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, order: tuple[int, ...]
) -> None:
    (tmp_path / "empty").touch()
    paths = [(tmp_path / "missing", UNREADABLE, tmp_path / "empty")[place] for place in order]
    report = tmp_path / "report.json"
    status = invoke(["scan", "--format", "json", "-o", str(report), *map(str, paths)])
    out, err = capsys.readouterr()
    images = json.loads(report.read_text())["images"]
    assert (status, out) == (3, "")
    assert [image["path"] for image in images] == list(map(str, paths))
    assert [len(image["errors"]) for image in images] == [1, 1, 1]
    assert len(err.splitlines()) == 3
    assert "Traceback" not in err


def test_a_report_that_was_asked_for_is_written_though_no_image_could_be_opened(tmp_path: Path) -> None:
    for command in (["scan"], ["inspect"], ["repair", "--dry-run"]):
        report = tmp_path / f"{command[0]}.txt"
        assert invoke([*command, "-o", str(report), str(tmp_path / "missing")]) == 3
        assert "no such file" in " ".join(report.read_text().split())  # lines end where the path has them end


CHANGE = WriteFile(path=GuestPath("/etc/fstab"), before=b"before\n", after=b"after\n")
FINDING = Finding(
    "fstab/missing",
    Severity.ERROR,
    "/etc/fstab",
    "it is not there",
    (Evidence("/etc", "nothing", "a table"),),
    Repair("write it", Safety.REVIEW, (CHANGE,)),
)


@pytest.mark.parametrize("render", [json_report.render, table.render])
def test_a_report_that_cannot_be_rendered_whole_is_written_without_its_details(
    capsys: pytest.CaptureFixture[str], render: object
) -> None:
    def fails_on_details(report: Report) -> str:
        if any(finding.repair is not None for image in report.images for finding in image.findings):
            raise RecursionError("too deep")
        return render(report)  # type: ignore[operator,no-any-return]

    report = Report([ImageReport(path="/images/a.qcow2", findings=[FINDING])])
    Console().write_report(report, fails_on_details, None)
    out, err = capsys.readouterr()
    assert "it is not there" in out
    assert err.splitlines() == [
        (
            "guestrepair: /images/a.qcow2: the report is without details: RecursionError: too deep; "
            "something in the guest is odd enough to look at by hand; please report this"
        )
    ]
    assert report.exit_status(None) == 3


def test_ctrl_c_at_a_question_is_no_fault() -> None:
    def interrupted(_about: str) -> None:
        raise click.Abort

    with pytest.raises(KeyboardInterrupt):
        or_interrupted(interrupted)("which system")
    assert or_interrupted(str.upper)("yes") == "YES"


@pytest.mark.parametrize("verbose", [False, True])
def test_a_traceback_is_only_for_who_asks(capsys: pytest.CaptureFixture[str], *, verbose: bool) -> None:
    Console(verbose=verbose).ui().detail("Traceback\x1b[2J")
    err = capsys.readouterr().err
    assert ("Traceback" in err) is verbose
    assert "\x1b" not in err

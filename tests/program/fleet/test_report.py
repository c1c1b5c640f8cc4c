"""One report of a real fleet of small images: a planted cause is named, and every format is whole."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from guestrepair.cli.main import invoke
from guestrepair.fleet.gather import fleet_report
from guestrepair.report.data import Report
from guestrepair.report.fleet_data import FleetImage, FleetReport
from guestrepair.report.formats import all_formats, names_for, renderer
from tests.support.fleet import fleet, tiny_root
from tests.support.schemas import check_sarif, validator

WRONG = "UUID=deadbeef-0000-4000-8000-000000000000 /srv ext4 defaults 0 2\n"
HOSTILE = 'm\x1b[31m"><script>alert(1)</script>\u202e'


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images; the four with provision 2.0 have a wrong line in fstab. And a file that is no image."""
    folder = tmp_path_factory.mktemp("fleet")
    for number in range(12):
        bad = number % 3 == 0
        packages = {"base-files": "12", "provision": "2.0" if bad else "1.9", f"own-{number}": "1"}
        tiny_root(folder, f"m{number:02}", WRONG if bad else "", packages)
    (folder / "text.raw").write_text("no image")
    done = fleet("--state", folder / "state", "--host-only", "--only", "fstab", "--exit-zero", folder)
    assert done.returncode == 3, done.stderr
    return folder / "state"


@pytest.fixture(scope="module")
def report(state: Path) -> FleetReport:
    return fleet_report([state])


def test_the_planted_cause_is_named_first(report: FleetReport) -> None:
    first = report.common[0]
    assert (first.rule, str(first.facts[0])) == ("fstab/target-missing", "provision 2.0")
    assert (first.affected, first.both, first.having, first.examined) == (4, 4, 4, 12)
    assert first.lift == pytest.approx(3)


def test_the_table_says_what_is_where(report: FleetReport) -> None:
    shown = renderer("table", FleetReport)(report)
    assert shown.startswith(
        "What the broken ones have in common:\n  - all 4 images with fstab/target-missing"
    )
    assert "have provision 2.0" in shown
    assert "m00.raw" in shown
    assert "text.raw" in shown.partition("Not examined")[2]
    assert shown.endswith("Result: 13 images: 4 with errors, 8 with less, 1 not examined\n")


def test_json_is_as_its_schema_says(report: FleetReport) -> None:
    document = json.loads(renderer("json", FleetReport)(report))
    validator("fleet-1").validate(document)
    assert document["summary"] == {
        "images": 13, "examined": 12, "broken": 4, "failed": 1, "skipped": 0, "queued": 0,
    }  # fmt: skip
    assert {image["state"] for image in document["images"]} == {"examined", "failed"}
    assert all(
        Path(image["record"]).is_file() for image in document["images"] if image["state"] == "examined"
    )


def test_csv_has_a_line_for_each_image_and_rule(report: FleetReport) -> None:
    rows = list(csv.DictReader(io.StringIO(renderer("csv", FleetReport)(report))))
    assert {row["image"] for row in rows} == {image.name for image in report.images}
    assert sum(row["rule"] == "fstab/target-missing" for row in rows) == 4


def test_html_is_whole_and_leads_to_each_image(report: FleetReport) -> None:
    page = renderer("html", FleetReport)(report)
    tree = ET.fromstring(page.removeprefix("<!DOCTYPE html>"))  # noqa: S314 (our own)
    places = {element.get("id") for element in tree.iter()} - {None}
    leads = [element.get("href", "") for element in tree.iter("a")]
    assert leads
    assert {lead.removeprefix("#") for lead in leads} <= places
    assert "<script" not in page


def test_every_other_format_has_the_reports_of_the_images(report: FleetReport) -> None:
    check_sarif(renderer("sarif", FleetReport)(report))
    for name in names_for(FleetReport):
        text = renderer(name, FleetReport)(report)
        assert text.endswith("\n"), name
        assert "m00.raw" in text, name
    assert set(names_for(FleetReport)) == {n for n, f in all_formats().items() if Report in f.renderers} | {
        "csv"
    }


def test_what_guests_and_paths_are_called_acts_nowhere() -> None:
    image = FleetImage(
        name=f"={HOSTILE}", state="examined", exit_status=1, verdict=HOSTILE, product=HOSTILE, kernel=HOSTILE,
        rules={"fstab/order": 1}, severities={"fstab/order": "error"}, inconclusive=1,
    )  # fmt: skip
    hostile = FleetReport(images=[image])
    for name in ("table", "html", "csv"):
        text = renderer(name, FleetReport)(hostile)
        assert not {"\x1b", "\u202e"} & set(text), name
        assert name == "csv" or "<script>alert" not in text or name == "table"
    (row,) = csv.DictReader(io.StringIO(renderer("csv", FleetReport)(hostile)))
    assert row["image"].startswith("'=")
    page = renderer("html", FleetReport)(hostile)
    ET.fromstring(page.removeprefix("<!DOCTYPE html>"))  # noqa: S314 (our own)


def test_several_directories_are_one_fleet_and_an_image_counts_once(state: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(state, tmp_path / "copy"))
    assert len(fleet_report([state, copy]).images) == 13


def test_a_record_that_is_none_costs_no_other(state: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(state, tmp_path / "copy"))
    whole = len(fleet_report([copy]).reports.images)
    records = sorted((copy / "reports").glob("*.json"))
    records[0].write_text("{")
    records[1].write_text(json.dumps({"images": [{"findings": 7, "guest": []}]}))
    records[2].unlink()
    damaged = fleet_report([copy])
    assert len(damaged.images) == 13
    assert len(damaged.reports.images) == whole - 3
    assert sum("record is damaged" in image.error for image in damaged.images) >= 2


def test_sarif_of_many_is_in_parts(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("guestrepair.cli.fleet_report._SARIF_RUNS", 5)
    assert invoke(["fleet", "report", str(state), "--format", "sarif"]) == 2
    assert "SARIF takes 5 a file" in capsys.readouterr().err
    assert invoke(["fleet", "report", str(state), "--format", "sarif", "-o", str(tmp_path / "f.sarif")]) == 0
    parts = sorted(tmp_path.glob("f-*.sarif"))
    runs = [len(json.loads(part.read_text())["runs"]) for part in parts]
    assert (len(parts), sum(runs), max(runs)) == (3, 13, 5)


def test_what_is_no_state_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fleet", "report", str(tmp_path)]) == 3
    (tmp_path / "fleet.sqlite").write_text("no database, but a long enough text\n" * 40)
    assert invoke(["fleet", "report", str(tmp_path)]) == 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.startswith("guestrepair: ") for line in said)


def test_the_query_of_a_presigned_address_is_shown_nowhere(tmp_path: Path) -> None:
    addresses = [f"https://127.0.0.1:1/disk.raw?signature=secret{n}" for n in range(2)]
    done = fleet("--state", tmp_path, "--host-only", "--retries", "0", *addresses)
    assert done.returncode == 3
    assert "https://127.0.0.1:1/disk.raw?…" in done.stdout
    report = fleet_report([tmp_path])
    assert len({image.name for image in report.images}) == 2
    shown = "".join(renderer(name, FleetReport)(report) for name in names_for(FleetReport))
    assert "secret" not in done.stdout + done.stderr + shown

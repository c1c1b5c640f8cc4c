"""``guestrepair fleet``: usage, the table, nonsense in lists, two drivers, what hangs; real images."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from guestrepair.cli.main import invoke
from tests.support.fleet import (
    children_of,
    fleet,
    inodes,
    lives,
    records,
    rows,
    start_fleet,
    tiny_root,
    tiny_roots,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return tiny_roots(tmp_path_factory.mktemp("fleet"), 6)


def one_line(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = invoke(["fleet", "scan", *words])
    out, err = capsys.readouterr()
    assert out == ""
    return status, err.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no image is named"),
        (("--timeout", "0", "x"), "'0' is no time"),
        (("--timeout", "ten", "x"), "'ten' is no time"),
        (("--memory", "2", "x"), "'2' is no size"),
        (("--jobs", "0", "x"), "no number of jobs"),
        (("--shard", "3/2", "x"), "no part 3 of 2"),
        (("--from", "/nonexistent"), "No such file"),
        (("--only", "nonsense", "x"), "nonsense"),
        (("--host-only", "--deep", "x"), "--deep needs the appliance"),
        (("--policy", "/nonexistent", "x"), "/nonexistent"),
        (("--disk", "y", "x"), "--disk"),
        (("--write-baseline", "y", "x"), "--write-baseline"),
    ],
)
def test_wrong_usage_is_one_line_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    status, line = one_line(capsys, "--state", str(tmp_path / "state"), *words)
    assert status == 2
    assert said in line
    assert not (tmp_path / "state").exists()


def test_a_state_that_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, line = one_line(capsys, "--state", str(tmp_path / "file"), "x")
    assert (status, "no state can be kept there" in line) == (3, True)


def test_a_list_with_duplicates_and_nonsense(images: list[Path], tmp_path: Path) -> None:
    lines = [str(images[0]), f"{images[0]}  # again", "", f"{images[1]} colour=red", "'", str(images[1]),
             f"{tmp_path}/\x1bmissing", "/dev/null", str(tmp_path)]  # fmt: skip
    done = fleet(
        "--state", tmp_path / "s", "--host-only", "--from", "-", images[0], stdin="\n".join(lines).encode()
    )
    assert done.returncode == 3
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    table = {row["uri"]: row for row in rows(tmp_path / "s")}
    assert len(table) == 7
    assert [table[str(image)]["state"] for image in images[:2]] == ["done", "done"]
    assert "-:4: 'colour=red' is not understood" in table[f"{images[1]} colour=red"]["error"]
    assert table[str(tmp_path)]["error"].startswith(f"-:9: {tmp_path}: no image is in it")
    assert "no such file" in table[f"{tmp_path}/\x1bmissing"]["error"]
    assert done.stdout.splitlines()[-1] == "Result: 7 images: 2 with findings, 5 not examined"


def test_the_report_of_each_is_that_of_a_scan(
    capsys: pytest.CaptureFixture[str], images: list[Path], tmp_path: Path
) -> None:
    assert fleet("--state", tmp_path, "--host-only", "--only", "fstab", *images).returncode == 1
    kept = records(tmp_path)
    for image in images[2:4]:
        invoke(["scan", "--host-only", "--only", "fstab", "--format", "json", str(image)])
        document = json.loads(capsys.readouterr().out)
        mine = kept[str(image)]
        run, facts = mine.pop("run"), mine["images"][0].pop("facts")
        assert facts == {"kernel": "", "packages": {}}
        for each in (mine, document):
            del each["images"][0]["timings"]
        assert mine == document
        assert run["exit_status"] == (1 if image is images[3] else 0)


def test_findings_are_no_failure_with_exit_zero_and_options_are_passed_on(
    images: list[Path], tmp_path: Path
) -> None:
    assert fleet("--state", tmp_path, "--host-only", "--exit-zero", *images[:2]).returncode == 0
    before = inodes(tmp_path)
    assert fleet("--state", tmp_path, "--host-only", "--fail-on", "never", *images[:2]).returncode == 0
    assert not set(before.items()) & set(inodes(tmp_path).items()), "other options are another scan"
    before = inodes(tmp_path)
    assert fleet("--state", tmp_path, "--host-only", "--fail-on", "never", *images[:2]).returncode == 0
    assert inodes(tmp_path) == before


@pytest.mark.parametrize("words", [("-q",), ("-v",), ("--color", "never")])
def test_what_is_common_to_all_commands_is_no_option_of_a_scan(
    images: list[Path], tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = fleet("--state", tmp_path, "--host-only", *words, images[0])
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "Result: 1 image: 1 with findings"


def test_variables_are_options_and_those_of_a_scan_are_none(images: list[Path], tmp_path: Path) -> None:
    """What is done to each image is what the driver knows of: nothing else reaches the children."""
    variables = {"GUESTREPAIR_FLEET_SCAN_HOST_ONLY": "1", "GUESTREPAIR_FLEET_SCAN_FAIL_ON": "never",
                 "GUESTREPAIR_FLEET_SCAN_DEEP": "0"}  # fmt: skip
    foreign = {"GUESTREPAIR_SCAN_OUTPUT": str(tmp_path / "report"), "GUESTREPAIR_SCAN_SKIP": "fstab"}
    state = tmp_path / "state"
    done = fleet("--state", state, images[3], environment={**variables, **foreign})
    assert (done.returncode, done.stderr) == (0, "")
    report = records(state)[str(images[3])]
    assert not (tmp_path / "report").exists()
    assert {finding["analyzer"] for finding in report["images"][0]["findings"]} > {"fstab"}
    again = fleet("--state", state, "--host-only", "--fail-on", "error", images[3])
    assert again.returncode == 1, "--fail-on never was kept as what was wanted"


def test_nothing_is_imported_from_where_the_images_lie(images: list[Path], tmp_path: Path) -> None:
    """Whoever may write there would else have root run it."""
    told = tmp_path / "told"
    for name in ("guestrepair", "guestrepair/cli", "click"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"open({str(told)!r}, 'w')\n")
    done = fleet("--state", "state", "--host-only", images[0], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    assert not told.exists()


def test_signatures_of_addresses_are_not_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    done = fleet("--state", tmp_path, "--host-only", "--retries", "0", "http://127.0.0.1:1/x?sig=secret",
                 "ftp://127.0.0.1/x?sig=secret", "https://me:secret@127.0.0.1/x")  # fmt: skip
    assert done.returncode == 3
    assert "http://127.0.0.1:1/x?…" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    for form in ("table", "json", "csv", "html", "sarif"):
        assert invoke(["fleet", "report", str(tmp_path), "--format", form]) == 0
        report = capsys.readouterr().out
        assert "127.0.0.1" in report
        assert "secret" not in report


def test_what_a_fleet_keeps_is_for_its_owner_alone(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "made").mkdir(mode=0o755)
    for state in (tmp_path / "new" / "state", tmp_path / "made"):
        fleet("--state", state, "--host-only", "--only", "fstab", images[0])
        assert state.joinpath("fleet.sqlite").stat().st_mode & 0o777 == 0o600
        assert state.joinpath("reports").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "state").stat().st_mode & 0o777 == 0o700


def test_a_state_that_is_none_is_left_as_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "fleet.sqlite").write_bytes(b"no database" * 1000)
    status, line = one_line(capsys, "--state", str(tmp_path), "--host-only", "x")
    assert (status, "no state of a fleet, or damaged" in line, "free some space" in line) == (3, True, False)
    assert (tmp_path / "fleet.sqlite").read_bytes() == b"no database" * 1000


def test_a_report_of_all_goes_over_no_image_and_no_state(
    capsys: pytest.CaptureFixture[str], images: list[Path], tmp_path: Path
) -> None:
    state = tmp_path / "state"
    fleet("--state", state, "--host-only", "--only", "fstab", images[0])
    (record,) = (state / "reports").iterdir()
    for kept in (images[0], state / "fleet.sqlite", record):
        before = kept.read_bytes()
        assert invoke(["fleet", "report", str(state), "-o", str(kept)]) == 2
        assert "not a place for a report" in capsys.readouterr().err
        assert kept.read_bytes() == before
    assert invoke(["fleet", "report", str(state), "-o", str(state / "report.txt")]) == 0
    assert invoke(["fleet", "report", str(state), "-o", str(state / "report.txt")]) == 0


def test_shards_of_a_list_are_disjoint_and_complete(images: list[Path], tmp_path: Path) -> None:
    seen: list[str] = []
    for index in range(3):
        state = tmp_path / str(index)
        environment = {"JOB_COMPLETION_INDEX": str(index), "GUESTREPAIR_SHARDS": "3"}
        fleet("--state", state, "--host-only", "--shard", "auto", *images, environment=environment)
        seen += [row["uri"] for row in rows(state)]
    assert sorted(seen) == sorted(map(str, images))


def test_two_drivers_of_one_state(images: list[Path], tmp_path: Path) -> None:
    first = start_fleet("--state", tmp_path, "--host-only", *images)
    while not rows(tmp_path):
        time.sleep(0.02)
    second = fleet("--state", tmp_path, "--host-only", *images)
    assert second.returncode == 3
    assert "another guestrepair fleet is at work there" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert first.wait(60) == 1
    first.communicate()


def stop_first_child(driver: subprocess.Popen[bytes]) -> int:
    """Stop the first process that works on an image: it does not even hear that it is to end."""
    while len(below := children_of(driver.pid)) < 2:
        assert driver.poll() is None
    os.kill(below[1], signal.SIGSTOP)
    return below[1]


def test_one_that_hangs_is_ended_and_the_others_go_on(images: list[Path], tmp_path: Path) -> None:
    options = ("--state", tmp_path, "--host-only", "--jobs", "2", "--timeout", "4s", "--retries", "0")
    driver = start_fleet(*options, *images)
    stopped = stop_first_child(driver)
    out, err = driver.communicate(timeout=60)
    assert driver.returncode == 3, err
    assert b"no end within 4 s" in out
    assert sorted(row["state"] for row in rows(tmp_path)) == ["done"] * 5 + ["failed"]
    assert not lives(stopped)
    again = fleet("--state", tmp_path, "--host-only", *images)
    assert again.returncode == 1
    assert [row["state"] for row in rows(tmp_path)] == ["done"] * 6


def test_a_name_that_is_an_option_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_root(tmp_path, "--deep")
    assert fleet("--state", "state", "--host-only", "--from", "-", stdin=b"--deep.raw\n").returncode == 1


def test_images_of_one_content_are_scanned_once_and_have_one_verdict(tmp_path: Path) -> None:
    image = tiny_root(tmp_path, "one")
    os.link(image, tmp_path / "two.raw")
    done = fleet("--state", tmp_path / "s", "--host-only", image, tmp_path / "two.raw")
    assert done.returncode == 1
    first, second = rows(tmp_path / "s")
    assert (second["same_as"], second["report_path"]) == (first["id"], first["report_path"])
    assert (second["state"], second["errors"], second["verdict"]) == (
        "done",
        first["errors"],
        first["verdict"],
    )
    assert len(inodes(tmp_path / "s")) == 1
    assert "as one.raw: Nobody" in done.stdout

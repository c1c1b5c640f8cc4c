"""The benchmarks' own arithmetic, and the guests that they grow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.clones import FLEET, FLEET_HOST_ONLY, ONE_BY_ONE
from benchmarks.guests import Growth, built
from benchmarks.measure import Result, Run, measured
from benchmarks.report import Report, ratios, stages
from guestrepair.formats.ext_inodes import Inodes

FLOOR = "floor: launch, mount, close"


def result(name: str, *seconds: float, stderr: str = "") -> Result:
    return Result(name, tuple(Run(s, 0, 50 << 20, 500 << 20, stderr) for s in seconds))


def test_a_ratio_is_that_of_the_medians_and_needs_both_sides() -> None:
    found = ratios([result("scan", 9.0, 30.0, 8.0), result(FLOOR, 10.0, 11.0, 9.0), Result("virt-inspector")])
    assert found == [("scan ÷ floor", 0.9, 1.0)]


def test_what_was_missed_or_not_measured_is_said() -> None:
    said = "    7.50 s  launch and disks\n     812    calls to the appliance\n"
    results = [
        result("scan", 12.0, stderr=said),
        result(FLOOR, 10.0),
        Result("by hand", problem="no loop device"),
    ]
    page = Report(results=results, machine={"processors": "2"}).as_markdown()
    lines = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    assert "missed" in lines["scan ÷ floor"]
    assert "812" in lines["scan"]
    assert "no loop device" in lines["by hand"]
    assert stages(results[0]) == [("launch and disks", 7.5)]


def test_a_fleet_is_held_against_scans_by_themselves_image_by_image() -> None:
    fleet = [result(ONE_BY_ONE, 80.0), result(FLEET, 200.0), result(FLEET_HOST_ONLY, 240.0)]
    page = Report(fleet=fleet, clones=100).as_markdown()
    assert "| 0.25 " in page
    assert "| 0.30       | ≤ 0.2    | missed |" in page


def test_a_failure_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="exit status 3: alas"):
        measured(["sh", "-c", "echo alas >&2; exit 3"], env=dict(os.environ))


def test_peak_memory_is_told_apart_from_that_of_children() -> None:
    child = "import time; a = bytearray(120 << 20); time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    run = measured([sys.executable, "-c", parent], env=dict(os.environ))
    assert 0 < run.own_peak_bytes < 60 << 20 < run.children_peak_bytes


def test_a_grown_guest_is_what_dpkg_and_e2fsck_accept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GUESTREPAIR_CACHE", str(tmp_path))
    image = built(Growth("tiny", files=230, disk_mebibytes=100, partitions=2))
    assert built(Growth("tiny", files=230, disk_mebibytes=100, partitions=2)) == image
    where = f"{image}?offset={1 << 20}"
    subprocess.run(["e2fsck", "-fn", where], check=True, capture_output=True)
    subprocess.run(["debugfs", "-R", f"rdump / {tmp_path}", where], check=True, capture_output=True)
    listed = subprocess.run(
        ["dpkg-query", "--admindir", tmp_path / "var/lib/dpkg", "-W", "-f=${db:Status-Status}\n"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.split() == ["installed"] * 3
    verified = ["dpkg", "--root", str(tmp_path), "--verify"]
    assert subprocess.run(verified, capture_output=True, check=True).stdout == b""
    with image.open("rb") as disk:

        def read(offset: int, size: int) -> bytes:
            disk.seek((1 << 20) + offset)
            return disk.read(size)

        assert len(dict(Inodes(read).layouts(range(1, 300)))) > 200

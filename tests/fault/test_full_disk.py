"""The host's disk fills up at a step of a repair or of an undo: the state directory's, or the image's own.

The image is as it was, or is repaired, or a command finishes it as soon as there is
space; what is said is one line, without a traceback.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.disk import history, interrupted
from guestrepair.operations.opening import ended_without_room
from guestrepair.operations.options import UserInterface
from tests.fault.conftest import THOROUGH_RUNS, Bench, make_bench
from tests.support.program import run

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem"),
]
EVERY = 4
SMALL = {"state": "300m", "image": "60m", "both": "300m"}


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A filesystem of the size given."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={request.param}", "none", mounted], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", "--lazy", mounted], check=True)


def the_bench(format_name: str, where: str, small: Path, home: Path) -> Bench:
    """A bench with its image, its state directory or both on the small filesystem."""
    return dataclasses.replace(
        make_bench(format_name, home),
        image_home=small if where in ("image", "both") else None,
        state_home=small if where in ("state", "both") else None,
    )


def empty(directory: Path) -> None:
    """Remove what lies in a directory."""
    for entry in directory.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


CASES = [
    pytest.param("raw", "state", SMALL["state"], id="raw-state"),
    pytest.param("qcow2", "image", SMALL["image"], id="qcow2-image"),
    pytest.param("raw", "both", SMALL["both"], id="raw-both"),
]


@pytest.mark.parametrize(("format_name", "where", "small"), CASES, indirect=["small"])
def test_full_during_a_repair(
    format_name: str, where: str, small: Path, tmp_path: Path, fault_runs: int
) -> None:
    bench = the_bench(format_name, where, small, tmp_path)
    bench.fresh()
    steps = bench.steps("repair")
    outcomes: dict[str, int] = {}
    for number in range(0, steps, EVERY if fault_runs < THOROUGH_RUNS else 1):
        empty(small)
        bench.fresh()
        status = bench.run("repair", number, f"space:{small}")
        told = bench.log.read_text().splitlines()
        assert status in (0, 3, 4), told
        assert bench.is_repaired() if status == 0 else bench.is_original(), told
        assert not interrupted(bench.examine(), bench.state)
        if status and number > 2:
            assert "space" in told[-1] or "MiB needed" in told[-1], told
        (small / "filler").unlink()
        assert bench.run("repair") == 0, "with space again"
        while bench.take_back():
            pass
        assert bench.is_original()
        outcomes[str(status)] = outcomes.get(str(status), 0) + 1
    print(f"{format_name}: {where} full at {sum(outcomes.values())} of {steps} steps, statuses {outcomes}")
    assert "4" in outcomes


@pytest.mark.parametrize(("format_name", "where", "small"), CASES, indirect=["small"])
def test_full_during_an_undo(
    format_name: str, where: str, small: Path, tmp_path: Path, fault_runs: int
) -> None:
    bench = the_bench(format_name, where, small, tmp_path)
    bench.fresh()
    bench.steps("repair")
    steps = bench.steps("undo")
    outcomes: dict[str, int] = {}
    for number in range(0, steps, EVERY if fault_runs < THOROUGH_RUNS else 1):
        empty(small)
        bench.fresh()
        bench.steps("repair")
        status = bench.run("undo", number, f"space:{small}")
        told = bench.log.read_text().splitlines()
        assert status in (0, 3, 4), told
        if status:
            assert "space" in told[-1] or "MiB needed" in told[-1], told
            assert interrupted(bench.examine(), bench.state) or bench.is_repaired()
            again = bench.run("undo")
            assert again in (0, 3, 4), "while it is still full"
        (small / "filler").unlink()
        bench.take_back()
        assert bench.is_original()
        assert [e.phase for e in history(bench.examine(), bench.state)] == ["undone"]
        outcomes[str(status)] = outcomes.get(str(status), 0) + 1
    print(f"{format_name}: {where} full at {sum(outcomes.values())} of {steps} steps, statuses {outcomes}")


@pytest.mark.parametrize("small", ["50m"], indirect=True)
def test_a_scan_without_room_for_its_overlay_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "disk.raw"
    image.touch()
    os.truncate(image, 1 << 20)
    monkeypatch.setenv("TMPDIR", str(small))
    done = run("scan", image)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert f"{small}: " in line
    assert "MiB needed for what is written to throw-away overlays" in line


@pytest.mark.parametrize("small", ["100m"], indirect=True)
def test_room_that_ends_meanwhile_is_said_once(small: Path) -> None:
    said: list[str] = []
    with ended_without_room(small, UserInterface(note=said.append), "what then"):
        time.sleep(1)
        assert said == []
        with (small / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, 80 << 20)
        deadline = time.monotonic() + 10
        while not said and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
    assert said == [f"no room left in {small}: what then"]

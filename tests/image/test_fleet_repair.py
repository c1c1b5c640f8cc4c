"""Many images repaired in a wave: it stops, goes on, survives kills, and is taken back bit for bit."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.fleet import lives, tiny_root
from tests.support.program import PROGRAM

pytestmark = pytest.mark.image
WHAT = ("--only", "golden", "--profile", "golden", "--select", "golden/machine-id", "--jobs", "2")


def images(folder: Path, count: int) -> list[Path]:
    """So many systems, each with an identity that a golden image must not have."""
    return [tiny_root(folder, f"m{n}", files={"etc/machine-id": f"{n:032x}\n"}) for n in range(1, count + 1)]


def digests(paths: Sequence[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def words(tmp_path: Path, *more: str | Path) -> list[str | Path]:
    kept: list[str | Path] = ["--state", tmp_path / "night", "--state-dir", tmp_path / "undo"]
    return [PROGRAM, "fleet", "repair", *kept, "--yes", *WHAT, *more]


def repair(tmp_path: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words(tmp_path, *more), capture_output=True, text=True, check=False, timeout=300)


def undo(tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [PROGRAM, "fleet", "undo", "--state", tmp_path / "night", "--yes", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def line_of(table: str, path: Path) -> str:
    return next(line for line in table.splitlines() if line.startswith(f"{path} "))


def test_a_wave_stops_goes_on_and_is_taken_back(tmp_path: Path) -> None:
    first, second, third = made = images(tmp_path, 3)
    before, good = digests(made), second.read_bytes()
    second.write_text("no image any more\n" * 1000)
    done = repair(tmp_path, "--jobs", "1", first, second, third, "https://127.0.0.1/away.raw")
    assert done.returncode == 3, done.stderr
    assert "1 repaired" in line_of(done.stdout, first)
    assert "failed, as it was" in line_of(done.stdout, second)
    assert "not begun" in line_of(done.stdout, third)
    assert "it lies elsewhere" in done.stdout
    assert digests([third]) == before[2:]

    second.write_bytes(good)
    repaired = digests([first])
    again = repair(tmp_path, first, second, third)
    assert [("1 repaired" in line_of(again.stdout, path)) for path in made] == [True] * 3
    assert digests([first]) == repaired  # it was done already
    assert len(list((tmp_path / "night/waves").iterdir())) == 1
    assert all(a != b for a, b in zip(digests(made), before, strict=True))

    taken = undo(tmp_path)
    assert (taken.returncode, taken.stdout.count(": undone: ")) == (0, 3), taken.stdout
    assert digests(made) == before
    assert undo(tmp_path).stdout.count("nothing to undo") == 3


def test_kills_lose_nothing_and_repair_nothing_twice(tmp_path: Path) -> None:
    made = images(tmp_path, 3)
    before = digests(made)
    for seconds in (2.5, 4.0):
        driver = subprocess.Popen(
            words(tmp_path, "--canary", "0", *made), stdout=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(seconds)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    done = repair(tmp_path, "--canary", "0", *made)
    assert "0 failed" not in done.stdout
    for path in made:
        assert "repaired" in line_of(done.stdout, path) or "nothing to repair" in line_of(done.stdout, path)
        asked: list[str | Path] = [PROGRAM, "history", "--state-dir", tmp_path / "undo", path]
        history = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert history.count("golden/machine-id") == 1, history
    assert not lives(driver.pid)
    assert all(a != b for a, b in zip(digests(made), before, strict=True))
    # Where all was done before the last kill, the run after it was a wave of its own, with nothing to do.
    for wave in sorted((tmp_path / "night/waves").iterdir(), reverse=True):
        taken = undo(tmp_path, "--wave", wave.name)
        assert taken.returncode == 0, taken.stdout
    assert digests(made) == before


def test_a_dry_run_writes_nothing_and_nobody_is_asked_in_a_pipe(tmp_path: Path) -> None:
    made = images(tmp_path, 1)
    before = digests(made)
    command: list[str | Path] = [word for word in words(tmp_path, *made) if word != "--yes"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nobody is at the terminal" in refused.stderr
    dry = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=False, timeout=120)
    assert "1 change to be made" in line_of(dry.stdout, made[0])
    assert dry.stdout.endswith("nothing was written\n")
    assert digests(made) == before
    assert undo(tmp_path).returncode == 3
    assert "no wave was made there" in undo(tmp_path).stderr

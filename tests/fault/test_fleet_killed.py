"""A fleet whose driver or state disk goes away in the middle: nothing is lost, nothing is done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fixtures
from tests.support.fleet import children_of, fleet, inodes, lives, records, rows, start_fleet, tiny_roots

pytestmark = pytest.mark.fault
COUNT, KILLS = 40, 10
REAL = {"debian-server": 2, "debian-lvm": 12, "centos7-like": 22}
"""Real guests, and where they stand among the small ones: a kill is to meet some of them."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return tiny_roots(tmp_path_factory.mktemp("fleet"), COUNT)


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    """Return as soon as it is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def done(state: Path) -> int:
    return sum(row["state"] == "done" for row in rows(state))


def killed_ten_times(images: list[Path], state: Path) -> list[int]:
    """A fleet, killed, and at last run to its end: nothing is lost or done twice. All exit statuses."""
    dice = random.Random(19)  # noqa: S311
    kept: dict[str, int] = {}
    met: set[str] = set()
    for _ in range(KILLS):
        goal = done(state) + 2
        driver = start_fleet("--state", state, "--host-only", "--jobs", "2", *images)
        until(lambda: done(state) >= goal or driver.poll() is not None)  # noqa: B023
        time.sleep(dice.random() * 0.3)
        below = children_of(driver.pid)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
        until(lambda: not any(map(lives, below)))  # noqa: B023
        assert {name: kept[name] for name in kept} == {
            name: inode for name, inode in inodes(state).items() if name in kept
        }, "something was scanned twice"
        kept = inodes(state)
        met |= {row["uri"] for row in rows(state) if row["state"] == "running"}
    assert 2 * KILLS <= len(kept) < len(images)
    last = fleet("--state", state, "--host-only", "--jobs", "2", *images)
    statuses = [row["exit_status"] for row in rows(state)]
    assert last.returncode == max(statuses), last.stderr
    assert {name: inode for name, inode in inodes(state).items() if name in kept} == kept
    assert set(records(state)) == {str(image) for image in images}
    table = rows(state)
    assert [row["state"] for row in table] == ["done"] * len(images)
    assert {row["attempts"] for row in table} == {1}
    assert not list((state / "reports").glob("*.new"))
    print(f"fleet: {len(images)} images, killed {KILLS} times, {len(met)} at work, none twice, none lost")
    assert met
    return statuses


def test_a_driver_killed_ten_times_loses_nothing_and_does_nothing_twice(
    images: list[Path], tmp_path: Path
) -> None:
    assert set(killed_ten_times(images, tmp_path / "state")) == {1}


@pytest.mark.long
def test_three_real_guests_among_them_are_neither_lost_nor_looked_at_twice(
    images: list[Path], tmp_path: Path
) -> None:
    mixed = list(images)
    for name, place in REAL.items():
        mixed.insert(place, fixtures.build(name))
    state = tmp_path / "state"
    killed_ten_times(mixed, state)
    found = records(state)
    assert {found[str(fixtures.build(name))]["images"][0]["guest"]["distro"] for name in REAL} == {
        "debian", "centos",
    }  # fmt: skip


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 6 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", place], check=False).returncode:
        pytest.skip("no right to mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_state_disk_is_one_line_and_what_was_done_is_kept(
    images: list[Path], small_disk: Path
) -> None:
    state = small_disk / "state"
    first = fleet("--state", state, "--host-only", *images[:3])
    assert first.returncode == 1
    kept = inodes(state)
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "filler").write_bytes(bytes(free - (1 << 16)))
    full = fleet("--state", state, "--host-only", *images[:6])
    assert full.returncode == 3
    assert len(full.stderr.splitlines()) == 1, full.stderr
    assert "state of the fleet cannot be kept" in full.stderr
    assert inodes(state) == kept
    (small_disk / "filler").unlink()
    after = fleet("--state", state, "--host-only", *images[:6])
    assert after.returncode == 1, after.stderr
    assert {name: inode for name, inode in inodes(state).items() if name in kept} == kept
    assert len(inodes(state)) == 6


def test_a_record_that_does_not_fit_on_the_disk_ends_the_run_in_one_line(
    images: list[Path], small_disk: Path
) -> None:
    """The disk fills while images are looked at: there is room when the work begins, and none at its end."""
    state = small_disk / "state"
    driver = start_fleet("--state", state, "--host-only", *images)
    until(lambda: done(state) >= 1)
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    _, said = driver.communicate(timeout=60)
    assert driver.returncode == 3
    assert len(said.decode().splitlines()) == 1, said
    kept = inodes(state)
    (small_disk / "filler").unlink()
    after = fleet("--state", state, "--host-only", *images)
    assert after.returncode == 1, after.stderr
    assert {name: inode for name, inode in inodes(state).items() if name in kept} == kept
    assert len(records(state)) == COUNT


def test_ctrl_c_ends_all_that_runs_and_keeps_what_was_done(images: list[Path], tmp_path: Path) -> None:
    state = tmp_path / "state"
    driver = start_fleet("--state", state, "--host-only", "--jobs", "2", *images)
    until(lambda: done(state) >= 3)
    below = children_of(driver.pid)
    assert below
    driver.send_signal(signal.SIGINT)
    out, said = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert b"Traceback" not in out + said
    assert not any(map(lives, below))
    states = {row["state"] for row in rows(state)}
    assert states == {"done", "queued"}

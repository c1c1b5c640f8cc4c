"""A fleet on a real Dask scheduler and real workers on 127.0.0.1: they die, hang and come in the middle."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from guestrepair.fleet.engines import dask as engine
from tests.support.fleet import children_of, fleet, inodes, lives, records, rows, start_fleet, tiny_roots

pytest.importorskip("distributed", reason="the extra guestrepair[fleet] is not installed")
pytestmark = pytest.mark.fault
DASK = Path(sys.executable).with_name("dask")
COUNT = 40


def until(what: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


class Cluster:
    """A scheduler and its workers, each a process with a log."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.workers = folder, list[subprocess.Popen[bytes]]()
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        where = ("--host", "127.0.0.1", "--port", str(self.port))
        self.scheduler = self._start("scheduler", *where, "--no-dashboard")

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{words[0]}-{time.monotonic_ns()}.log").open("wb") as log:
            return subprocess.Popen(
                [DASK, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder
            )

    def add_worker(self, *words: str) -> subprocess.Popen[bytes]:
        worker = self._start(
            "worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard",
            "--death-timeout", "60", *(words or ("--resources", "appliance=1")),
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in (*self.workers, self.scheduler):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return tiny_roots(tmp_path_factory.mktemp("dask"), COUNT)


def dask(state: Path, cluster: Cluster) -> list[str | Path]:
    return ["--state", state, "--host-only", "--engine", "dask", "--scheduler", cluster.address]


def done(state: Path) -> int:
    return sum(row["state"] == "done" for row in rows(state))


def test_a_worker_killed_and_one_added_and_the_driver_killed_lose_and_double_nothing(
    images: list[Path], cluster: Cluster, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    victim = cluster.add_worker()
    cluster.add_worker()
    driver = start_fleet(*dask(state, cluster), *images)
    until(lambda: done(state) >= 4)
    below = children_of(victim.pid)
    assert below
    victim.kill()
    cluster.add_worker()
    until(lambda: done(state) >= 12 or driver.poll() is not None)
    driver.kill()
    driver.communicate()
    until(lambda: not any(map(lives, below)), 20)
    kept = inodes(state)
    last = fleet(*dask(state, cluster), *images)
    assert last.returncode == 1, last.stderr
    assert last.stderr == ""
    assert {name: inode for name, inode in inodes(state).items() if name in kept} == kept
    assert set(records(state)) == set(map(str, images))
    assert [row["state"] for row in rows(state)] == ["done"] * COUNT
    assert len({row["worker"] for row in rows(state)} - {""}) >= 2


def test_the_result_is_that_of_this_machine(images: list[Path], cluster: Cluster, tmp_path: Path) -> None:
    cluster.add_worker("--resources", "other=1")
    here, there = tmp_path / "here", tmp_path / "there"
    assert fleet("--state", here, "--host-only", *images[:4]).returncode == 1
    answer = fleet(*dask(there, cluster), *images[:4])
    assert answer.returncode == 1, answer.stderr
    mine, theirs = records(here), records(there)
    for found in (mine, theirs):
        for record in found.values():
            del record["run"], record["images"][0]["timings"]
    assert mine == theirs


def test_a_worker_that_hangs_loses_its_images_to_the_others(
    images: list[Path], cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    stuck = cluster.add_worker()
    cluster.add_worker()
    program = (
        "import sys; from guestrepair.fleet.engines import dask; dask.SILENT_SECONDS = 5.0;"
        "from guestrepair.cli.entry import run; run(sys.argv[1:])"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", program, "fleet", "scan", *dask(state, cluster), *images],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until(lambda: done(state) >= 3)
    stuck.send_signal(signal.SIGSTOP)
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 1, out + err
    assert [row["state"] for row in rows(state)] == ["done"] * COUNT
    assert engine.SILENT_SECONDS > 30


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("tcp://127.0.0.1:9", 3, "no Dask scheduler answers there"),
        ("nonsense://x:1", 2, "--scheduler nonsense://x:1"),
    ],
)
def test_a_scheduler_that_is_not_there_is_one_line(
    images: list[Path], tmp_path: Path, address: str, status: int, words: str
) -> None:
    answer = fleet("--state", tmp_path, "--engine", "dask", "--scheduler", address, images[0])
    assert (answer.returncode, answer.stdout) == (status, "")
    assert words in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_a_scheduler_that_goes_away_is_one_line(images: list[Path], cluster: Cluster, tmp_path: Path) -> None:
    state = tmp_path / "state"
    cluster.add_worker()
    driver = start_fleet(*dask(state, cluster), *images)
    until(lambda: done(state) >= 2)
    cluster.scheduler.kill()
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 3
    assert b"does not answer any more" in said
    assert len(said.splitlines()) == 1, said


def test_ctrl_c_ends_what_runs_on_the_workers(images: list[Path], cluster: Cluster, tmp_path: Path) -> None:
    state = tmp_path / "state"
    worker = cluster.add_worker()
    driver = start_fleet(*dask(state, cluster), *images)
    until(lambda: done(state) >= 2)
    driver.send_signal(signal.SIGINT)
    out, said = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert b"Traceback" not in out + said
    # The worker keeps the process that forks children, and no child.
    until(lambda: len(children_of(worker.pid)) <= 1, 30)
    assert {row["state"] for row in rows(state)} == {"done", "queued"}

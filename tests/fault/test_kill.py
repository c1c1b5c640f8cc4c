"""Kill -9 at every step of a repair and of an undo, and at random moments.

Afterwards the image is the original or the fully repaired one, or one command gets
it there: the next repair finishes, the next undo takes back.
"""

from __future__ import annotations

import random
import secrets
import signal
import subprocess
import time

import pytest

from guestrepair.disk import history, interrupted
from tests.fault.conftest import Bench

pytestmark = pytest.mark.fault


def _settle(bench: Bench, *, by_undo: bool) -> str:
    """One command after a kill, and what the image is then; it must be one of the two."""
    if by_undo:
        bench.take_back()
        assert bench.is_original()
    else:
        bench.begin_again()
        assert bench.is_original() or bench.is_repaired()
    assert not interrupted(bench.examine(), bench.state)
    entries = history(bench.examine(), bench.state)
    assert all(e.phase in ("committed", "reverted", "undone") for e in entries)
    if any(e.undoable for e in entries):
        assert bench.is_repaired()
        assert bench.take_back()
        assert bench.is_original()
        return "repaired"
    return "original"


def _check_container(bench: Bench) -> None:
    """Nothing of the file is damaged, and the snapshot is still there."""
    if bench.format == "qcow2":
        done = subprocess.run(["qemu-img", "check", "-q", bench.image], check=False)
        assert done.returncode in (0, 3), "more than leaked clusters"
        listed = subprocess.run(["qemu-img", "snapshot", "-l", bench.image], check=True, capture_output=True)
        assert b"before" in listed.stdout


@pytest.mark.parametrize("by_undo", [False, True], ids=["then-repair", "then-undo"])
def test_kill_at_every_step_of_a_repair(bench: Bench, *, by_undo: bool) -> None:
    bench.fresh()
    steps = bench.steps("repair")
    assert bench.is_repaired()
    outcomes: dict[str, int] = {}
    for number in range(steps):
        bench.fresh()
        assert bench.run("repair", number) == -signal.SIGKILL, f"step {number}: {bench.log.read_text()}"
        outcome = _settle(bench, by_undo=by_undo)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        _check_container(bench)
    print(f"{bench.format}: killed at each of {steps} steps of a repair, outcomes {outcomes}")
    assert sum(outcomes.values()) == steps >= 15
    if not by_undo:
        assert set(outcomes) == {"original", "repaired"}


@pytest.mark.parametrize("by_undo", [False, True], ids=["then-repair", "then-undo"])
def test_kill_at_every_step_of_an_undo(bench: Bench, *, by_undo: bool) -> None:
    bench.fresh()
    bench.steps("repair")
    steps = bench.steps("undo")
    assert bench.is_original()
    for number in range(steps):
        bench.fresh()
        bench.steps("repair")
        assert bench.run("undo", number) == -signal.SIGKILL, f"step {number}: {bench.log.read_text()}"
        _settle(bench, by_undo=by_undo)
        assert bench.is_original()
        _check_container(bench)
    print(f"{bench.format}: killed at each of {steps} steps of an undo")
    assert steps >= 10


def test_before_the_commit_not_a_byte_has_changed(bench: Bench) -> None:
    """The file itself, not only what a guest sees, until the step named commit."""
    for number in range(6):
        bench.fresh()
        assert bench.run("repair", number) == -signal.SIGKILL
        assert bench.is_untouched()


def test_every_format_survives_a_kill_in_the_middle(any_bench: Bench) -> None:
    bench = any_bench
    bench.fresh()
    steps = bench.steps("repair")
    for by_undo in (False, True):
        for number in (steps // 2, steps - 4):
            bench.fresh()
            assert bench.run("repair", number) == -signal.SIGKILL
            _settle(bench, by_undo=by_undo)
    print(f"{bench.format}: killed at 4 of {steps} steps")


def test_the_server_dies_and_the_repair_takes_itself_back(bench: Bench) -> None:
    bench.fresh()
    steps = bench.steps("repair")
    failed = 0
    for number in range(steps):
        bench.fresh()
        status = bench.run("repair", number, "server")
        told = bench.log.read_text()
        assert status in (0, 3, 4), told
        assert bench.is_repaired() if status == 0 else bench.is_original(), told
        assert not interrupted(bench.examine(), bench.state)
        failed += status != 0
    print(f"{bench.format}: the server killed at {steps} steps, {failed} repairs took themselves back")
    assert failed >= 5


@pytest.mark.timeout(3600)
def test_kill_at_random_moments(bench: Bench, fault_runs: int) -> None:
    bench.fresh()
    started = time.monotonic()
    bench.steps("repair")
    duration = time.monotonic() - started
    seed = secrets.randbits(32)
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    outcomes: dict[str, int] = {}
    for run in range(fault_runs):
        bench.fresh()
        what = "repair"
        if run % 4 == 3:
            bench.steps("repair")
            what = "undo"
        process = bench.start(what)
        time.sleep(duration * dice.random())
        process.kill()
        process.join()
        outcome = _settle(bench, by_undo=dice.random() < 0.5)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        _check_container(bench)
    print(f"{bench.format}: {fault_runs} kills at random moments (seed {seed}), outcomes {outcomes}")
    assert sum(outcomes.values()) == fault_runs

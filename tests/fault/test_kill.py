"""Kill -9 at every step of a repair, of an undo and of a revert, and at random moments.

Afterwards the image is the original or the fully repaired one, or one command gets
it there: the next repair finishes, the next undo takes back.
"""

from __future__ import annotations

import random
import secrets
import signal
import time

import pytest

from guestrepair.disk import history, interrupted
from tests.fault.conftest import FLAVOURS, THOROUGH_RUNS, Bench

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


def _each(steps: int, runs: int) -> range:
    """The steps that are killed at: all when there is time for it, else every third."""
    if runs >= THOROUGH_RUNS:
        return range(steps)
    return range(0, steps, 3)


@pytest.mark.parametrize("by_undo", [False, True], ids=["then-repair", "then-undo"])
def test_kill_at_every_step_of_a_repair(flavour: Bench, fault_runs: int, *, by_undo: bool) -> None:
    bench = flavour
    bench.fresh()
    steps = bench.steps("repair")
    assert bench.is_repaired()
    killed = range(steps) if bench.flavour in ("raw", "qcow2") else _each(steps, fault_runs)
    outcomes: dict[str, int] = {}
    for number in killed:
        bench.fresh()
        bench.kill("repair", number)
        outcome = _settle(bench, by_undo=by_undo)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        bench.check_container()
    print(f"{bench.flavour}: killed {len(killed)} times at steps of a repair, outcomes {outcomes}")
    assert steps >= 15
    assert sum(outcomes.values()) == len(killed)
    if not by_undo:
        assert set(outcomes) == {"original", "repaired"}


@pytest.mark.parametrize("by_undo", [False, True], ids=["then-repair", "then-undo"])
def test_kill_at_every_step_of_an_undo(flavour: Bench, fault_runs: int, *, by_undo: bool) -> None:
    bench = flavour
    bench.fresh()
    bench.steps("repair")
    bench.keep()
    steps = bench.steps("undo")
    assert bench.is_original()
    killed = range(steps) if bench.flavour in ("raw", "qcow2") else _each(steps, fault_runs)
    for number in killed:
        bench.put_back()
        bench.kill("undo", number)
        _settle(bench, by_undo=by_undo)
        assert bench.is_original()
        bench.check_container()
    print(f"{bench.flavour}: killed {len(killed)} times at steps of an undo")
    assert steps >= 10


@pytest.mark.parametrize("by_undo", [False, True], ids=["then-repair", "then-undo"])
def test_kill_at_every_step_of_a_revert(flavour: Bench, fault_runs: int, *, by_undo: bool) -> None:
    """Also between the phase that announces it and the removal of what would be needed to go forward."""
    bench = flavour
    bench.fresh()
    names = bench.step_names("revert")
    assert bench.is_original()
    first = names.index("revert")
    steps = len(names) - first
    whole = fault_runs >= THOROUGH_RUNS or bench.flavour in ("raw", "qcow2")
    killed = range(steps) if whole else sorted({0, 1, 2, *range(3, steps, 3)})
    for number in killed:
        bench.fresh()
        bench.kill("revert", first + number)
        _settle(bench, by_undo=by_undo)
        if number > 1 or by_undo:
            assert bench.is_original(), names[first + number]
        bench.check_container()
    print(f"{bench.flavour}: killed {len(killed)} times at steps of a revert")
    assert steps >= 8


def test_killed_again_while_it_goes_on(bench: Bench, fault_runs: int) -> None:
    """The second command is killed at each of its steps, and a third one goes on from there."""
    killed = 0
    for first, second in (("repair", "recover"), ("repair", "undo"), ("undo", "recover"), ("undo", "undo")):
        _half_way(bench, first)
        bench.keep()
        names = bench.step_names(second)
        for number in _each(len(names), fault_runs):
            bench.put_back()
            bench.kill(second, number)
            killed += 2
            _settle(bench, by_undo=number % 2 == 0)
            bench.check_container()
    print(f"{bench.flavour}: killed {killed} times, the second command too")
    assert killed >= 20


def _half_way(bench: Bench, what: str) -> None:
    """Kill a repair or an undo in the middle of its writing."""
    bench.fresh()
    if what == "undo":
        bench.steps("repair")
    bench.keep()
    at = bench.step_names(what).index("write 3")
    bench.put_back()
    bench.kill(what, at)


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
            bench.kill("repair", number)
            _settle(bench, by_undo=by_undo)
    print(f"{bench.format}: killed 4 times at steps of a repair")


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
def test_kill_at_random_moments(flavour: Bench, fault_runs: int) -> None:
    """At a random moment after a random step, of a repair, of an undo and of a revert in turn."""
    bench = flavour
    wanted = -(-fault_runs // len(FLAVOURS))
    seed = secrets.randbits(32)
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    outcomes: dict[str, int] = {}
    kinds = ("repair", "revert", "undo")
    steps = {what: _steps_of(bench, what) for what in kinds}
    killed = 0
    while killed < wanted:
        what = kinds[killed % len(kinds)]
        if what == "undo":
            bench.put_back()
        else:
            bench.fresh()
        if not _killed_after(bench, what, dice.randrange(steps[what]), dice.uniform(0, 0.02)):
            continue
        outcome = _settle(bench, by_undo=dice.random() < 0.5)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        bench.check_container()
        killed += 1
    print(f"{bench.flavour}: killed {killed} times at random moments (seed {seed}), outcomes {outcomes}")
    assert sum(outcomes.values()) == killed == wanted


def _steps_of(bench: Bench, what: str) -> int:
    bench.fresh()
    if what == "undo":
        bench.steps("repair")
        bench.keep()
    return bench.steps(what)


def _killed_after(bench: Bench, what: str, step: int, seconds: float) -> bool:
    """Kill a child some time after it has reached a step; False when it had ended before."""
    process = bench.start(what)
    while process.is_alive() and (not bench.log.exists() or bench.log.read_text().count("\n") <= step):
        time.sleep(0.0005)
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL

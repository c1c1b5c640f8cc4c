"""The loop over the images of a plan: what is begun when, and what is done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guestrepair.fleet.admission import Admission
from guestrepair.fleet.children import Children
from guestrepair.fleet.engines.local import LocalEngine
from guestrepair.fleet.jobs import Ending, Job, Limits, Outcome
from guestrepair.fleet.queue import Plan
from guestrepair.fleet.state import DONE, FAILED, QUEUED, Row, State, open_state
from guestrepair.fleet.supervisor import Supervisor, Work

LIMITS = Limits(seconds=5, memory_bytes=100)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state") as opened:
        yield opened


class ScriptedEngine:
    """Ends each job at once, as its script says: how, or with which exit status."""

    def __init__(self, script: dict[str, list[Ending | int]]) -> None:
        self.script, self.begun = script, list[Job]()
        self._running: list[Job] = []

    def has_room(self, job: Job) -> bool:
        return not (self._running and (job.alone or any(each.alone for each in self._running)))

    def start(self, job: Job) -> None:
        self.begun.append(job)
        self._running.append(job)

    def wait(self, _seconds: float) -> list[Outcome]:
        found = [self._outcome(job, self.script[job.id].pop(0)) for job in self._running]
        self._running.clear()
        return found

    def close(self) -> None:
        self._running.clear()

    def _outcome(self, job: Job, how: Ending | int) -> Outcome:
        if isinstance(how, Ending):
            return Outcome(id=job.id, ending=how)
        record = {"images": [{"headline": "x"}], "run": {"mark": job.mark, "exit_status": how}}
        return Outcome(id=job.id, ending=Ending.EXITED, status=how, record=json.dumps(record))


def run(
    state: State, script: dict[str, list[Ending | int]], retries: int = 1, max_failures: int | None = None
) -> tuple[ScriptedEngine, dict[str, Row]]:
    engine = ScriptedEngine(script)
    names = list(script)
    state.put([Row(id=name, name=name, uri=name) for name in names])
    work = Work(
        words=lambda row: ("scan", row.uri),
        limits=LIMITS,
        needs_bytes=1,
        retries=retries,
        max_failures=max_failures,
    )
    Supervisor(state, engine, work).run(Plan(named=names, todo=list(names)))
    return engine, {row.id: row for row in state.rows()}


def test_one_that_took_too_much_memory_is_done_again_alone_with_twice_the_limit(state: State) -> None:
    engine, rows = run(state, {"a": [Ending.MEMORY, 0], "b": [0], "c": [0]}, retries=0)
    assert [job.id for job in engine.begun] == ["a", "b", "c", "a"]
    again = engine.begun[-1]
    assert (again.alone, again.limits.memory_bytes) == (True, 2 * LIMITS.memory_bytes)
    assert not any(job.alone for job in engine.begun[:-1])
    assert (rows["a"].state, rows["a"].attempts) == (DONE, 2)


def test_one_that_takes_too_much_alone_is_given_up(state: State) -> None:
    engine, rows = run(state, {"a": [Ending.MEMORY, Ending.MEMORY]}, retries=0)
    assert len(engine.begun) == 2
    assert (rows["a"].state, rows["a"].exit_status) == (FAILED, 3)
    assert "more than" in rows["a"].error


def test_only_what_could_not_be_looked_at_is_tried_again(state: State) -> None:
    engine, rows = run(state, {"a": [3, 3], "b": [1], "c": [Ending.KILLED, 1]})
    assert [job.id for job in engine.begun] == ["a", "b", "c", "a", "c"]
    assert {name: row.attempts for name, row in rows.items()} == {"a": 2, "b": 1, "c": 2}
    assert {name: row.exit_status for name, row in rows.items()} == {"a": 3, "b": 1, "c": 1}


def test_nothing_more_is_begun_after_so_many_failures(state: State) -> None:
    class OneByOne(ScriptedEngine):
        def has_room(self, _job: Job) -> bool:
            return not self._running

    engine = OneByOne({"a": [0], "b": [4], "c": [0]})
    state.put([Row(id=name, name=name, uri=name) for name in "abc"])
    work = Work(words=lambda _row: (), limits=LIMITS, needs_bytes=1, max_failures=1)
    Supervisor(state, engine, work).run(Plan(named=list("abc"), todo=list("abc")))
    assert [job.id for job in engine.begun] == ["a", "b"]
    assert [row.state for row in state.rows()] == [DONE, DONE, QUEUED]


def test_what_ran_when_it_was_ended_is_queued_as_if_it_had_not_begun(state: State) -> None:
    class Ended(ScriptedEngine):
        def wait(self, _seconds: float) -> list[Outcome]:
            raise KeyboardInterrupt

    state.put([Row(id="a", name="a", uri="a", attempts=1)])
    work = Work(words=lambda _row: (), limits=LIMITS, needs_bytes=1)
    with pytest.raises(KeyboardInterrupt):
        Supervisor(state, Ended({"a": []}), work).run(Plan(named=["a"], todo=["a"]))
    (row,) = state.rows()
    assert (row.state, row.attempts) == (QUEUED, 1)


# --- the engine of this machine ---------------------------------------------------------


class Holding(Children):
    """Holds jobs as if they ran: no process is started."""

    def prepare(self) -> None:
        pass

    def start(self, job: Job) -> None:
        self.held = [*self.jobs, (job, 0)]

    @property
    def jobs(self) -> list[tuple[Job, int]]:
        return getattr(self, "held", [])


def test_what_is_to_be_alone_waits_for_the_others_and_they_for_it(tmp_path: Path) -> None:
    job = Job(id="1", arguments=(), mark="", limits=LIMITS, needs_bytes=1)
    alone = replace(job, id="2", alone=True)
    engine = LocalEngine(Holding(tmp_path), Admission(jobs=4))
    assert engine.has_room(alone)
    engine.start(job)
    assert engine.has_room(replace(job, id="3"))
    assert not engine.has_room(alone)
    engine = LocalEngine(Holding(tmp_path), Admission(jobs=4))
    engine.start(alone)
    assert not engine.has_room(job)

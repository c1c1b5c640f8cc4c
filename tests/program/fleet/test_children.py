"""Children of a zygote: their limits, their end and that of all that they have started, for real."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.errors import FleetError
from guestrepair.fleet import children as module
from guestrepair.fleet.child import read_record_file
from guestrepair.fleet.children import Children
from guestrepair.fleet.jobs import Ending, Job, Limits, Outcome
from guestrepair.fleet.processes import tree, used_bytes
from tests.support.fleet import lives

MIB = 1 << 20
STRANGE = ("-m", "tests.program.fleet.strange_zygote")


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    made = Children(tmp_path, program=STRANGE)
    yield made
    made.close()


def job(identifier: str, *words: str, seconds: float = 60, memory: int = 1 << 30) -> Job:
    limits = Limits(seconds=seconds, memory_bytes=memory)
    return Job(id=identifier, arguments=words, mark=f"mark {identifier}", limits=limits, needs_bytes=0)


def outcome_of(children: Children, *words: str, seconds: float = 60, memory: int = 1 << 30) -> Outcome:
    children.start(job("one", *words, seconds=seconds, memory=memory))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for outcome in children.wait(1):
            return outcome
    raise AssertionError("no end")


def test_a_report_becomes_a_record_with_its_mark(children: Children, tmp_path: Path) -> None:
    outcome = outcome_of(children, "report")
    assert (outcome.ending, outcome.status) == (Ending.EXITED, 1)
    record = read_record_file(tmp_path / "one.json", "mark one")
    assert record is not None
    assert record["run"]["exit_status"] == 1
    assert record["images"] == [{"path": "x", "headline": "Fine."}]
    assert read_record_file(tmp_path / "one.json", "mark two") is None


def test_one_that_does_not_end_is_ended(children: Children) -> None:
    since = time.monotonic()
    assert outcome_of(children, "sleep", seconds=1).ending is Ending.TIMEOUT
    assert time.monotonic() - since < 20


def test_one_that_takes_too_much_memory_is_ended(children: Children) -> None:
    outcome = outcome_of(children, "eat", "400", memory=150 * MIB)
    assert outcome.ending is Ending.MEMORY
    assert outcome.peak_bytes > 150 * MIB
    assert outcome_of(children, "eat", "10", memory=300 * MIB).ending is Ending.EXITED


@pytest.mark.parametrize("stays", [(), ("and stay",)])
def test_what_it_has_started_ends_with_it(children: Children, tmp_path: Path, stays: tuple[str, ...]) -> None:
    told = tmp_path / "pid"
    outcome = outcome_of(children, "leave", str(told), *stays, seconds=3 if stays else 60)
    assert outcome.ending is (Ending.TIMEOUT if stays else Ending.EXITED)
    assert not lives(int(told.read_text()))


def test_the_end_of_one_costs_the_others_nothing(children: Children, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    children.start(job("stays", "leave", str(told), "and stay"))
    while not told.is_file() or not told.read_text():
        children.wait(0.05)
    assert outcome_of(children, "report").status == 1
    assert lives(int(told.read_text()))


@pytest.mark.parametrize(
    ("number", "ending"), [(signal.SIGKILL, Ending.MEMORY), (signal.SIGSEGV, Ending.KILLED)]
)
def test_one_that_is_killed_is_told_from_one_that_ends(
    children: Children, number: signal.Signals, ending: Ending
) -> None:
    outcome = outcome_of(children, "die", str(int(number)))
    assert (outcome.ending, outcome.status) == (ending, None)


def test_the_last_line_that_it_said_is_kept(children: Children) -> None:
    outcome = outcome_of(children, "say", "x" * 100_000 + "\nfirst\nguestrepair: wrong\n\n", "2")
    assert (outcome.status, outcome.said) == (2, "guestrepair: wrong")
    assert outcome_of(children, "raise", "a fault").said == "guestrepair: RuntimeError: a fault"


def test_a_record_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    made = Children(tmp_path / "not there", program=STRANGE)
    try:
        outcome = outcome_of(made, "report")
    finally:
        made.close()
    assert outcome.ending is Ending.NO_ROOM
    assert "No such file or directory" in outcome.said


def test_close_ends_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 1.0)
    before = set(tree(os.getpid()))  # other tests of this process may have left some
    made, told = Children(tmp_path, program=STRANGE), tmp_path / "pid"
    made.start(job("a", "leave", str(told), "and stay"))
    made.start(job("b", "sleep"))
    while not told.is_file() or not told.read_text():
        made.wait(0.05)
    below = [pid for pid in tree(os.getpid()) if pid not in before]
    made.close()
    assert not any(map(lives, below))


def test_the_loss_of_the_zygote_is_told_and_ends_what_it_has_started(tmp_path: Path) -> None:
    made = Children(tmp_path, program=STRANGE)
    made.start(job("a", "sleep"))
    while len(tree(os.getpid())) < 3:
        made.wait(0.05)
    zygote, *below = [pid for pid in tree(os.getpid())[1:] if lives(pid)]
    os.kill(zygote, signal.SIGKILL)
    with pytest.raises(FleetError, match="has ended"):
        made.wait(20)
    made.close()
    end = time.monotonic() + 10
    while any(map(lives, below)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_memory_counts_a_whole_tree(children: Children) -> None:
    before = used_bytes(os.getpid())
    children.start(job("one", "eat", "100"))
    children.start(job("two", "eat", "100"))
    children.wait(2)
    assert used_bytes(os.getpid()) - before > 190 * MIB

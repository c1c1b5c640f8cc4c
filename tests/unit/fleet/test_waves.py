"""Waves with an image that can never be repaired: the others have their turn, and the wave an end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from guestrepair.cli.fleet_repair import _status, _table
from guestrepair.fleet.jobs import Ending, Job, Limits, Outcome
from guestrepair.fleet.sources import Source
from guestrepair.fleet.state import DONE, FAILED, QUEUED, Row, State
from guestrepair.fleet.supervisor import Work
from guestrepair.fleet.waves import Wave, begin, has_failed, run_wave, take_back, waves


class Engine:
    """One job at a time; what is hopeless is left as it was with status 4, the rest repaired."""

    def __init__(self, hopeless: str) -> None:
        self.hopeless, self.begun = hopeless, list[str]()
        self._jobs: list[Job] = []

    def has_room(self, _job: Job) -> bool:
        return not self._jobs

    def start(self, job: Job) -> None:
        self._jobs.append(job)
        self.begun.append(Path(job.arguments[-1]).name)

    def wait(self, _seconds: float) -> list[Outcome]:
        (job,) = self._jobs
        self._jobs.clear()
        bad = Path(job.arguments[-1]).name in self.hopeless
        errors = [{"stage": "repair", "message": "the staged repair was dropped"}] if bad else []
        status = 4 if bad else 0
        run = {"mark": job.mark, "exit_status": status}
        record = json.dumps({"images": [{"headline": "x", "errors": errors}], "run": run})
        return [Outcome(id=job.id, ending=Ending.EXITED, status=status, record=record)]

    def close(self) -> None:
        self._jobs.clear()


def named(place: Path, names: Iterable[str]) -> list[Source]:
    """Disks of these names, which are there."""
    for name in names:
        (place.parent / name).write_bytes(bytes(1 << 16))
    return [Source(uri=str(place.parent / name)) for name in names]


def again(place: Path, names: str, hopeless: str, max_failures: int = 1) -> tuple[Wave, list[str], list[Row]]:
    """The command once more: its wave, the images in the order in which they were begun, all rows."""
    sources = named(place, names)
    work = Work(
        words=lambda row: ("repair", row.uri), limits=Limits(seconds=5, memory_bytes=100), needs_bytes=1,
        retries=0, max_failures=max_failures, is_failure=has_failed,
    )  # fmt: skip
    wave, engine = begin(place, sources, "wanted", place / "undo"), Engine(hopeless)

    def made(_state: State) -> Engine:
        return engine

    return wave, engine.begun, run_wave(wave, sources, work, 1, made)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "state"


def test_a_canary_that_fails_for_ever_keeps_no_other_from_its_turn(place: Path) -> None:
    first, begun, rows = again(place, "abc", "a")
    assert begun == ["a"]
    assert [row.state for row in rows] == [FAILED, QUEUED, QUEUED]
    second, begun, rows = again(place, "abc", "a")
    assert second.identifier == first.identifier
    assert begun == ["b", "c", "a"]
    assert [row.state for row in rows] == [FAILED, DONE, DONE]
    assert again(place, "abc", "a")[1] == ["a"]  # which may have been mended meanwhile
    assert [row.state for row in again(place, "abc", "")[2]] == [DONE] * 3


def test_the_others_go_on_at_once_when_so_many_may_fail(place: Path) -> None:
    assert again(place, "abc", "a", max_failures=2)[1] == ["a", "b", "c"]


def test_an_image_that_is_left_out_holds_no_wave_open(place: Path) -> None:
    first, *_ = again(place, "abc", "a")
    second, begun, _ = again(place, "bc", "a")
    assert (second.identifier, begun) == (first.identifier, ["b", "c"])
    third, begun, _ = again(place, "bc", "a")
    assert third.identifier != first.identifier
    assert begun == ["b", "c"]  # as after any wave that is finished: looked at again


def test_one_that_cannot_be_begun_at_all_holds_no_wave_open(place: Path) -> None:
    elsewhere = Source(uri="https://host/x", problem="it lies elsewhere")
    first, *_ = again(place, "ab", "")
    wave = begin(place, [*named(place, "ab"), elsewhere], "wanted", place / "undo")
    assert wave.identifier != first.identifier
    assert begin(place, [elsewhere], "wanted", place / "undo").identifier == wave.identifier
    assert len(waves(place)) == 2


def test_a_wave_that_was_killed_before_its_first_row_goes_on(place: Path) -> None:
    sources = named(place, "a")
    wave = begin(place, sources, "wanted", place / "undo")
    assert begin(place, sources, "wanted", place / "undo").identifier == wave.identifier


def test_an_image_that_is_named_later_can_be_taken_back_too(place: Path) -> None:
    again(place, "ab", "a")
    wave, begun, _ = again(place, "abc", "a")
    assert begun == ["b", "c", "a"]
    (written,) = waves(place)
    assert written == wave
    found = {Path(each.uri).name: each.said for each in take_back(written)}
    assert found == dict.fromkeys("abc", "nothing of this wave is in it")


def test_what_an_image_had_before_is_known_or_nothing_of_it_is_taken_back(place: Path) -> None:
    """An older repair of an image that could not be opened at first is none of the wave's."""
    broken, lost = place.parent / "broken", place.parent / "lost"
    sources = [Source(uri=str(path)) for path in (broken, lost)]
    wave = begin(place, sources, "wanted", place / "undo")
    assert wave.before == {}
    work = Work(
        words=lambda row: ("repair", row.uri), limits=Limits(seconds=5, memory_bytes=100), needs_bytes=1,
        retries=0, is_failure=has_failed,
    )  # fmt: skip
    run_wave(wave, sources, work, 0, lambda _state: Engine("broken"))
    named(place, ["broken", "lost"])
    wave = begin(place, sources, "wanted", place / "undo")
    assert list(wave.before) == [sources[0].id]  # which has failed, so that nothing of this wave is in it
    _, left = take_back(wave)
    assert (left.uri, left.done, left.failed) == (str(lost), False, True)
    assert left.said.startswith("which repairs it had before is not known")


def test_it_is_said_which_why_and_how_to_go_on(place: Path) -> None:
    wave, _, rows = again(place, "abc", "a")
    said = _table(wave, rows, dry=False)
    assert "the staged repair was dropped" in said
    assert (
        f"\nfailed: {place.parent}/a\n  the same command tries it again, after all others; leave it out"
        in said
    )
    assert "\nnot begun: the same command goes on with these\n  " in said
    assert "--max-failures again: 2 " in said
    assert _status(rows) == 4
    wave, _, rows = again(place, "bc", "a")
    said = _table(wave, rows, dry=False)
    assert "failed" not in said
    assert "not begun" not in said
    assert _status(rows) == 0
    hostile = replace(rows[0], state=FAILED, uri="x\x1b[2J")
    assert "\x1b" not in _table(wave, [hostile], dry=False)

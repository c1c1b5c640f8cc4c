"""What is still to be done: held against the state of earlier runs, whatever became of them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guestrepair.errors import FleetError
from guestrepair.fleet.jobs import Ending, Job, Limits, Outcome
from guestrepair.fleet.operation import exit_status
from guestrepair.fleet.queue import plan
from guestrepair.fleet.results import settled, to_be_tried_again
from guestrepair.fleet.sources import Source
from guestrepair.fleet.state import DONE, FAILED, QUEUED, RUNNING, SKIPPED, Row, State, open_state, read_rows


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "state") as opened:
        yield opened


def image(folder: Path, name: str, size: int = 4096) -> Source:
    path = folder / name
    path.write_bytes(os.urandom(size))
    return Source(uri=str(path))


def only(state: State, source: Source) -> Row:
    row = state.row(source.id)
    assert row is not None
    return row


def begun(state: State, source: Source) -> Row:
    """The row as it is while its image is worked on."""
    plan(state, [source], "w", again=False)
    row = replace(only(state, source), state=RUNNING, attempts=1, started=12.5)
    state.put([row])
    return row


def record(state: State, row: Row, mark: str, status: int = 1, **image: object) -> None:
    document = {
        "images": [{"path": row.uri, "headline": "Broken.", **image}],
        "summary": {"error": 2, "warning": 1, "note": 3, "inconclusive": 0},
        "run": {"mark": mark, "exit_status": status, "ended": "2026-11-30T20:41:07Z", "seconds": 3.21},
    }
    (state.reports / f"{row.id}.json").write_text(json.dumps(document))


def test_what_was_done_is_not_done_again_while_nothing_changed(state: State, tmp_path: Path) -> None:
    source = image(tmp_path, "a.raw")
    assert plan(state, [source], "w", again=False).todo == [source.id]
    state.put([replace(only(state, source), state=DONE, exit_status=1)])
    assert plan(state, [source], "w", again=False).todo == []
    assert plan(state, [source], "w", again=True).todo == [source.id]
    state.put([replace(only(state, source), state=DONE)])
    assert plan(state, [source], "other options", again=False).todo == [source.id]
    state.put([replace(only(state, source), state=DONE, wanted="w")])
    os.utime(source.uri, (1, 1))
    assert plan(state, [source], "w", again=False).todo == [source.id]


def test_an_image_is_another_one_when_its_backing_file_changed(state: State, tmp_path: Path) -> None:
    base, overlay = tmp_path / "base.raw", tmp_path / "over.qcow2"
    base.write_bytes(bytes(1 << 20))
    os.system(f"qemu-img create -q -f qcow2 -b {base} -F raw {overlay}")  # noqa: S605
    source = Source(uri=str(overlay))
    plan(state, [source], "w", again=False)
    state.put([replace(only(state, source), state=DONE)])
    assert plan(state, [source], "w", again=False).todo == []
    os.utime(base, (1, 1))
    assert plan(state, [source], "w", again=False).todo == [source.id]


def test_work_that_was_done_when_the_driver_was_killed_is_taken_over(state: State, tmp_path: Path) -> None:
    row = begun(state, image(tmp_path, "a.raw"))
    record(state, row, row.mark)
    assert plan(state, [Source(uri=row.uri)], "w", again=False).todo == []
    found = only(state, Source(uri=row.uri))
    assert (found.state, found.exit_status, found.errors, found.warnings) == (DONE, 1, 2, 1)
    assert (found.verdict, found.report_path) == ("Broken.", f"reports/{row.id}.json")


@pytest.mark.parametrize("what", ["another attempt", "no record", "half a record"])
def test_work_that_was_not_done_is_queued_again(state: State, tmp_path: Path, what: str) -> None:
    row = begun(state, image(tmp_path, "a.raw"))
    if what == "another attempt":
        record(state, row, replace(row, started=11.0).mark)
    elif what == "half a record":
        (state.reports / f"{row.id}.json").write_text('{"images": [')
    assert plan(state, [Source(uri=row.uri)], "w", again=False).todo == [row.id]
    assert only(state, Source(uri=row.uri)).state == QUEUED


def test_earlier_failures_come_first_and_then_the_largest(state: State, tmp_path: Path) -> None:
    sources = [image(tmp_path, f"{n}.raw", n << 12) for n in (1, 3, 2)]
    plan(state, sources, "w", again=False)
    state.put([replace(only(state, sources[0]), state=FAILED, exit_status=3)])
    assert plan(state, sources, "w", again=False).todo == [sources[n].id for n in (0, 1, 2)]


def test_nonsense_and_running_machines_are_told_and_not_done(state: State) -> None:
    sources = [Source(uri="x", problem="list:3: wrong"), Source(uri="y", skipped="the machine runs")]
    planned = plan(state, sources, "w", again=False)
    assert planned.todo == []
    assert [row.state for row in state.rows()] == [FAILED, SKIPPED]
    assert exit_status(state.rows()) == 2
    assert exit_status(state.rows()[1:]) == 0


def test_a_second_driver_is_refused(state: State) -> None:
    with pytest.raises(FleetError, match="another guestrepair fleet is at work"), open_state(state.directory):
        pass
    assert read_rows(state.directory) == []


def test_a_state_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with open_state(tmp_path) as opened:
        opened.execute("PRAGMA user_version = 99")
    with pytest.raises(FleetError, match="newer guestrepair"), open_state(tmp_path):
        pass
    with pytest.raises(FleetError, match="newer guestrepair"):
        read_rows(tmp_path)


def test_a_state_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="no state of a fleet"):
        read_rows(tmp_path)
    (tmp_path / "fleet.sqlite").write_bytes(os.urandom(8192))
    with pytest.raises(FleetError, match=r"fleet\.sqlite: file is not a database"):
        read_rows(tmp_path)
    with pytest.raises(FleetError, match="or damaged: file is not a database"), open_state(tmp_path):
        pass


def test_a_row_comes_back_as_it_was_written(state: State) -> None:
    row = Row(id="1", name="n\udcff", uri="\udcff", options=("--key", "x"), error="\x1b", state=FAILED)
    state.put([row])
    assert state.rows() == [row]


# --- how a job ended ------------------------------------------------------------------

ROW = Row(id="1", name="a", uri="a", attempts=1, started=1.0)
JOB = Job(id="1", arguments=(), mark=ROW.mark, limits=Limits(seconds=5, memory_bytes=1 << 21), needs_bytes=0)


@pytest.mark.parametrize(
    ("ending", "status", "said", "expected", "words"),
    [
        (Ending.TIMEOUT, None, "", 3, "no end within 5 s: it was ended (--timeout)"),
        (Ending.MEMORY, None, "", 3, "more than 2 MiB of memory"),
        (Ending.KILLED, None, "bad", 3, "was killed: bad"),
        (Ending.EXITED, 2, "guestrepair: --root /dev/sdq: no", 2, "--root /dev/sdq: no"),
        (Ending.EXITED, 130, "guestrepair: interrupted; the image is as it was", 3, "interrupted"),
        (Ending.EXITED, 70, "", 3, "has left no report"),
    ],
)
def test_why_there_is_no_report(
    ending: Ending, status: int | None, said: str, expected: int, words: str
) -> None:
    outcome = Outcome(id="1", ending=ending, status=status, said=said)
    row = settled(ROW, JOB, outcome, None)
    assert (row.state, row.exit_status) == (FAILED, expected)
    assert words in row.error
    assert to_be_tried_again(row, outcome, 1, host_only=False) is (expected == 3)
    assert not to_be_tried_again(replace(row, attempts=2), outcome, 1, host_only=False)
    assert not to_be_tried_again(row, outcome, 0, host_only=False)


def test_a_record_counts_whatever_became_of_the_process_afterwards() -> None:
    outcome = Outcome(id="1", ending=Ending.TIMEOUT)
    found = {"images": [{"errors": []}], "summary": {}, "run": {"mark": ROW.mark, "exit_status": 0}}
    assert settled(ROW, JOB, outcome, found).state == DONE


def test_what_only_the_appliance_could_tell_is_not_tried_again_without_it() -> None:
    outcome = Outcome(id="1", ending=Ending.EXITED, status=3)
    found = {"images": [{}], "summary": {"inconclusive": 1}, "run": {"mark": ROW.mark, "exit_status": 3}}
    row = settled(ROW, JOB, outcome, found)
    assert (row.state, row.exit_status) == (DONE, 3)
    assert to_be_tried_again(row, outcome, 1, host_only=False)
    assert not to_be_tried_again(row, outcome, 1, host_only=True)


def test_findings_fail_nothing_with_exit_zero() -> None:
    found, failed = replace(ROW, state=DONE, exit_status=1), replace(ROW, state=FAILED, exit_status=3)
    assert (exit_status([found]), exit_status([found], exit_zero=True)) == (1, 0)
    assert exit_status([found, failed], exit_zero=True) == 3


# --- one content, several names -------------------------------------------------------


def overlay(base: Path, name: str) -> Source:
    path = base.with_name(name)
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", base.name, "-F", "raw", name]
    subprocess.run(command, check=True, cwd=base.parent)
    return Source(uri=str(path))


def write_to(source: Source) -> None:
    subprocess.run(["qemu-io", "-c", "write -P 7 0 65536", source.uri], check=True, stdout=subprocess.DEVNULL)


def test_what_is_of_one_content_is_done_once(state: State, tmp_path: Path) -> None:
    base = image(tmp_path, "base.raw", 1 << 20)
    link = Source(uri=str(tmp_path / "link.raw"))
    os.link(base.uri, link.uri)
    sign = Source(uri=str(tmp_path / "sign.raw"))
    Path(sign.uri).symlink_to("base.raw")
    one, two, other = (overlay(Path(base.uri), f"{n}.qcow2") for n in ("one", "two", "other"))
    write_to(other)
    rooted = replace(two, options=("--root", "/dev/sda1"))
    planned = plan(state, [base, link, sign, one, two, other, rooted], "w", again=False)
    assert sorted(planned.todo) == sorted(each.id for each in (base, one, other, rooted))
    assert planned.alike == {base.id: [link.id, sign.id], one.id: [two.id]}


def test_one_that_was_done_stands_for_those_that_are_named_later(state: State, tmp_path: Path) -> None:
    base = image(tmp_path, "base.raw", 1 << 20)
    one, two = (overlay(Path(base.uri), f"{n}.qcow2") for n in ("one", "two"))
    plan(state, [one], "w", again=False)
    state.put([replace(only(state, one), state=DONE, exit_status=1, verdict="Broken.", attempts=1)])
    assert plan(state, [one, two], "w", again=False).todo == []
    row = only(state, two)
    assert (row.state, row.exit_status, row.verdict, row.same_as) == (DONE, 1, "Broken.", one.id)
    write_to(two)
    assert plan(state, [one, two], "w", again=False).todo == [two.id]
    assert only(state, two).same_as == ""

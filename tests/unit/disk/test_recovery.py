"""What a killed repair or undo left: finished, gone on with, cleaned up, or refused in one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.disk.image import Image
from guestrepair.disk.manifest import FORMER_SCHEMA, Phase
from guestrepair.disk.record import Record
from guestrepair.disk.recovery import interrupted, predecessor, recover
from guestrepair.disk.undo import NothingToUndoError, undo
from guestrepair.errors import StateError
from tests.support.repaired_disks import LENGTH, PLACES, SIZE, Bench, image_of, new_disk, old_disk
from tests.support.served_disks import Served, refused, serve

FORCE = "'guestrepair undo --force'"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    return serve(monkeypatch)


@pytest.fixture
def bench(tmp_path: Path, served: Served) -> Bench:
    assert served.running == 0
    return Bench(tmp_path)


def phase_of(record: Record) -> Phase | None:
    kept = record.again()
    return None if kept is None else kept.phase


def recovered(image: Image, state: Path) -> list[str]:
    """What the next repair says before it begins."""
    said: list[str] = []
    recover(image, state, say=said.append)
    return said


def refusal(image: Image, state: Path) -> StateError:
    """Why the next repair does not begin; the image and its records are as they were."""
    before = image.top.path.read_bytes()
    with pytest.raises(StateError) as error:
        recovered(image, state)
    assert image.top.path.read_bytes() == before
    assert interrupted(image, state) == f"{error.value.message}; {error.value.hint}", "a scan says the same"
    return error.value


# --- finished, gone on with, cleaned up ------------------------------------------------------------


@pytest.mark.parametrize("places", range(len(PLACES) + 1))
def test_a_commit_that_was_killed_is_finished(bench: Bench, served: Served, places: int) -> None:
    record = bench.begun(Phase.COMMITTING, places)
    assert "was interrupted while it was written: finishing it" in recovered(bench.image, bench.state)[0]
    assert bench.disk.read_bytes() == new_disk()
    assert served.written("disk.raw") == list(PLACES[places:])
    assert "zero" not in {request for request, *_ in served.done}, "zeros keep their space: an undo needs it"
    assert phase_of(record) is Phase.COMMITTED
    assert not record.overlay.exists()
    assert predecessor(bench.image, bench.state) == record.manifest.identifier
    assert recovered(bench.image, bench.state) == [], "once only"
    undo(bench.image, bench.state)
    assert bench.disk.read_bytes() == old_disk()


@pytest.mark.parametrize("phase", [Phase.REVERTING, Phase.UNDOING])
def test_what_was_being_taken_back_is_taken_back(bench: Bench, phase: Phase) -> None:
    record = bench.begun(phase, places=2)
    assert "while it was taken back: going on with that" in recovered(bench.image, bench.state)[0]
    assert bench.disk.read_bytes() == old_disk()
    assert phase_of(record) is (Phase.UNDONE if phase is Phase.UNDOING else Phase.REVERTED)


@pytest.mark.parametrize("phase", [Phase.STAGED, Phase.PREPARED])
def test_what_never_reached_the_image_is_removed(bench: Bench, served: Served, phase: Phase) -> None:
    record = bench.begun(phase, places=0)
    assert interrupted(bench.image, bench.state) == ""
    assert "before it changed the image: cleaned up" in recovered(bench.image, bench.state)[0]
    assert not record.directory.exists()
    assert not served.done


def test_what_a_living_process_has_staged_stays(bench: Bench) -> None:
    record = bench.begun(Phase.STAGED, places=0)
    with record.held():
        assert recovered(bench.image, bench.state) == []
    assert phase_of(record) is Phase.STAGED


def test_a_kill_between_the_commit_and_its_tidying_is_tidied(bench: Bench, served: Served) -> None:
    record = bench.begun(Phase.COMMITTED)
    assert recovered(bench.image, bench.state) == []
    assert not record.overlay.exists()
    assert record.undo_data.exists()
    assert not served.done
    undo(bench.image, bench.state)
    assert bench.disk.read_bytes() == old_disk()


def moved(bench: Bench) -> Image:
    return image_of(bench.disk.rename(bench.home / "moved.raw"))


def moved_by_copy(bench: Bench) -> Image:
    copied = Path(shutil.copy2(bench.disk, bench.home / "moved.raw"))
    bench.disk.unlink()
    return image_of(copied)


@pytest.mark.parametrize("move", [moved, moved_by_copy])
def test_an_image_that_was_moved_half_written_is_finished_where_it_is(
    bench: Bench, move: Callable[[Bench], Image]
) -> None:
    record = bench.begun(Phase.COMMITTING, places=1)
    image = move(bench)
    assert "was interrupted" in interrupted(image, bench.state)
    assert len(recovered(image, bench.state)) == 1
    assert image.top.path.read_bytes() == new_disk()
    kept = record.again()
    assert kept is not None
    assert kept.manifest.path == str(image.top.path), "it is known under its new name from now on"


def test_a_record_of_the_former_schema_is_finished_by_its_overlay(bench: Bench, served: Served) -> None:
    """Which kept no digests of sectors: what the image holds is told by what is staged."""
    record = bench.begun(Phase.COMMITTING, places=1, sectors="", around=())
    manifest = record.directory / "manifest.json"
    manifest.write_text(manifest.read_text().replace("guestrepair.undo/2", FORMER_SCHEMA))
    old = old_disk()
    bench.write(PLACES[0], old[PLACES[0] : PLACES[0] + LENGTH // 2])  # killed within a request
    assert len(recovered(bench.image, bench.state)) == 1
    assert bench.disk.read_bytes() == new_disk()
    assert served.running == 0


# --- refused ---------------------------------------------------------------------------------------


def test_a_commit_whose_staged_changes_are_gone_can_only_be_taken_back(bench: Bench) -> None:
    record = bench.begun(Phase.COMMITTING, places=1)
    record.overlay.unlink()
    with pytest.raises(StateError, match="the staged repair is gone") as error:
        recovered(bench.image, bench.state)
    assert "guestrepair undo" in error.value.hint
    assert phase_of(record) is Phase.COMMITTING
    undo(bench.image, bench.state)
    assert bench.disk.read_bytes() == old_disk()


@pytest.mark.parametrize(("phase", "doing"), [(Phase.COMMITTING, "written"), (Phase.UNDOING, "taken back")])
def test_what_something_else_has_written_to_meanwhile_is_not_followed(
    bench: Bench, phase: Phase, doing: str
) -> None:
    bench.begun(phase, places=2)
    bench.write(PLACES[2] + 1024, b"a guest ran")
    error = refusal(bench.image, bench.state)
    assert f"was interrupted while it was {doing}, and since then byte {PLACES[2] + 1024}" in error.message
    assert error.hint.startswith(f"restore it from a backup; {FORCE}")
    undo(bench.image, bench.state, force=True)
    assert bench.disk.read_bytes() == old_disk()


def test_a_disk_that_was_grown_half_written_is_first_cut_back(bench: Bench) -> None:
    bench.begun(Phase.COMMITTING, places=2)
    os.truncate(bench.disk, 2 * SIZE)
    error = refusal(bench.image, bench.state)
    assert "its size has changed" in error.message
    assert error.hint.startswith(f"cut it back (qemu-img resize --shrink) to {SIZE} bytes; {FORCE}")


def test_a_backup_in_the_place_of_a_half_written_image_needs_its_record_closed(
    bench: Bench, served: Served
) -> None:
    record = bench.begun(Phase.COMMITTING, places=2)
    bench.disk.rename(bench.home / "away")
    bench.disk.write_bytes(old_disk())
    error = refusal(bench.image, bench.state)
    assert "it holds the old content everywhere" in error.message
    assert "closes the record" in error.hint
    assert not undo(bench.image, bench.state, force=True).written
    assert not served.done
    assert phase_of(record) is Phase.REVERTED
    assert recovered(bench.image, bench.state) == []


def test_a_copy_of_a_half_written_image_is_left_to_the_first(bench: Bench) -> None:
    record = bench.begun(Phase.COMMITTING, places=2)
    copied = image_of(Path(shutil.copy2(bench.disk, bench.home / "copy.raw")))
    error = refusal(copied, bench.state)
    assert (
        f"half written by the repair of 2026-01-01T00:00:00+00:00: a copy of {bench.disk}?" in error.message
    )
    assert f"if that one is gone for good, remove {record.directory}" in error.hint


def test_another_disk_in_the_place_of_a_half_written_one_is_left_alone(bench: Bench) -> None:
    record = bench.begun(Phase.COMMITTING, places=2)
    bench.disk.rename(bench.home / "away")
    bench.disk.write_bytes(b"\x99" * SIZE)
    error = refusal(bench.image, bench.state)
    assert "but another in its place" in error.message
    assert error.hint.endswith(f"remove {record.directory}")
    with pytest.raises(StateError, match="another in its place") as by_undo:
        undo(bench.image, bench.state, force=True)
    assert not isinstance(by_undo.value, NothingToUndoError)


def test_what_another_process_finishes_is_not_finished_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = bench.begun(Phase.COMMITTING, places=2)
    monkeypatch.setattr("guestrepair.disk.record._LOCK_PATIENCE_SECONDS", 0)
    monkeypatch.setattr("time.sleep", lambda _seconds: monkeypatch.setattr("time.monotonic", lambda: 1e12))
    with record.held(), pytest.raises(StateError, match="another process works with this record"):
        recovered(bench.image, bench.state)
    assert bench.disk.read_bytes() == new_disk(2)


# --- told ------------------------------------------------------------------------------------------


def test_where_it_cannot_be_told_whether_an_image_is_whole_that_is_said(bench: Bench, served: Served) -> None:
    bench.begun(Phase.COMMITTING, places=2)

    def broken(request: str, _name: str, _at: int) -> None:
        if request == "pread":
            raise refused("Input/output error", 5)

    served.before = broken
    told = interrupted(bench.image, bench.state)
    assert told.startswith(f"{bench.disk}: whether a repair left it half written cannot be told: ")
    assert "Input/output error" in told
    assert served.running == 0


def test_a_damaged_record_of_another_image_stops_nobody(bench: Bench) -> None:
    record = bench.begun(Phase.COMMITTING, places=2)
    (record.directory / "ranges.json").unlink()
    other = bench.home / "other.raw"
    other.write_bytes(new_disk())
    assert interrupted(image_of(other), bench.state) == ""
    assert recovered(image_of(other), bench.state) == []
    assert "cannot be told" in interrupted(bench.image, bench.state)


def test_only_what_a_commit_left_untouched_since_has_a_predecessor(bench: Bench) -> None:
    record = bench.begun(Phase.COMMITTED)
    assert predecessor(bench.image, bench.state) == record.manifest.identifier
    os.utime(bench.disk, ns=(1, 1))
    assert predecessor(bench.image, bench.state) == ""

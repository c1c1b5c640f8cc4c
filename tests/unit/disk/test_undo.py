"""Taking a repair back: what is written, what is refused, and what a failure in the middle leaves."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.disk.image import Format
from guestrepair.disk.manifest import Phase, RepairRecord
from guestrepair.disk.record import Record
from guestrepair.disk.recovery import interrupted, predecessor
from guestrepair.disk.undo import NothingToUndoError, history, last_repair, recorded_format, undo
from guestrepair.errors import ImageError, StateError
from tests.support.repaired_disks import LENGTH, PLACES, SIZE, Bench, image_of, new_disk, old_disk
from tests.support.served_disks import Served, refused, serve

BACKUP = "/etc/x.guestrepair-20260101T000000Z"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    return serve(monkeypatch)


@pytest.fixture
def bench(tmp_path: Path, served: Served) -> Bench:
    assert served.running == 0
    return Bench(tmp_path)


def phase_of(record: Record) -> Phase | None:
    """As it is kept now."""
    kept = record.again()
    return None if kept is None else kept.phase


def refusal(bench: Bench, *, force: bool = False) -> StateError:
    """What undo raises; the image is as it was."""
    before = bench.disk.read_bytes()
    with pytest.raises(StateError) as error:
        undo(bench.image, bench.state, force=force)
    assert bench.disk.read_bytes() == before
    return error.value


# --- what is taken back ----------------------------------------------------------------------------


def test_a_repair_is_taken_back_bit_for_bit_and_only_where_it_wrote(bench: Bench, served: Served) -> None:
    record = bench.begun(Phase.COMMITTED)
    assert predecessor(bench.image, bench.state) == record.manifest.identifier
    told = undo(bench.image, bench.state)
    assert (told.range_count, told.changed_bytes) == (len(PLACES), len(PLACES) * LENGTH)
    assert (told.was_interrupted, told.written) == (False, True)
    assert bench.disk.read_bytes() == old_disk()
    assert served.written("disk.raw") == list(PLACES)
    assert ("zero", "disk.raw", PLACES[1]) in served.done, "old zeros are given back as space"
    assert served.done[-1][0] == "flush"
    assert served.running == 0
    assert phase_of(record) is Phase.UNDONE
    assert {file.name for file in record.directory.iterdir()} == {"manifest.json", "lock"}


def test_what_is_old_again_is_not_written_once_more(bench: Bench, served: Served) -> None:
    bench.begun(Phase.UNDOING, places=1)
    undo(bench.image, bench.state)
    assert served.written("disk.raw") == [PLACES[0]]
    assert bench.disk.read_bytes() == old_disk()


def test_the_steps_are_in_the_order_that_a_kill_may_come_in(bench: Bench) -> None:
    bench.begun(Phase.COMMITTED)
    steps: list[str] = []
    undo(bench.image, bench.state, steps=steps.append)
    assert steps == [
        "verify",
        "begin undoing",
        "write 0",
        "write 1",
        "write 2",
        "flush",
        "read back",
        "sync",
        "settle",
        "clean up",
    ]


def test_once_the_last_repair_is_taken_back_the_one_before_it_can_be(bench: Bench) -> None:
    first = bench.begun(Phase.COMMITTED)
    bench.disk.write_bytes(old_disk())  # as if it had written nothing that the second did not write
    second = bench.begun(Phase.COMMITTED, follows=first.manifest.identifier)
    undo(bench.image, bench.state)
    assert phase_of(second) is Phase.UNDONE
    assert predecessor(bench.image, bench.state) == first.manifest.identifier


@pytest.mark.parametrize("phase", [Phase.COMMITTING, Phase.REVERTING, Phase.UNDOING])
@pytest.mark.parametrize("places", range(len(PLACES) + 1))
def test_a_half_written_repair_is_taken_back_from_wherever_it_was(
    bench: Bench, phase: Phase, places: int
) -> None:
    record = bench.begun(phase, places)
    assert "was interrupted while it was written" in interrupted(bench.image, bench.state)
    said: list[str] = []
    told = undo(bench.image, bench.state, say=said.append)
    assert told.was_interrupted
    assert said == [f"{bench.disk}: the repair of 2026-01-01T00:00:00+00:00 was interrupted: taking it back"]
    assert bench.disk.read_bytes() == old_disk()
    assert phase_of(record) is (Phase.UNDONE if phase is Phase.UNDOING else Phase.REVERTED)
    assert interrupted(bench.image, bench.state) == ""


def test_what_never_reached_the_image_is_cleaned_away_first(bench: Bench) -> None:
    committed = bench.begun(Phase.COMMITTED)
    staged = bench.begun(Phase.STAGED)
    said: list[str] = []
    undo(bench.image, bench.state, force=True, say=said.append)
    assert "was interrupted before it changed the image: cleaned up" in said[0]
    assert (phase_of(committed), staged.directory.exists()) == (Phase.UNDONE, False)


# --- what is refused -------------------------------------------------------------------------------


def test_where_no_repair_is_recorded_nothing_is_taken_back(bench: Bench) -> None:
    bench.disk.write_bytes(old_disk())
    error = refusal(bench)
    assert isinstance(error, NothingToUndoError)
    assert "--state-dir" in error.hint
    assert last_repair(bench.image, bench.state) is None
    assert recorded_format(bench.disk, bench.state) is None


def written_since(bench: Bench, *backups: str) -> Record:
    """A committed repair whose file was touched, and holds what it held."""
    record = bench.begun(Phase.COMMITTED, repair=RepairRecord((), backups))
    os.utime(bench.disk, ns=(1, 1))
    return record


def test_a_file_that_was_written_to_since_is_only_taken_back_by_force(bench: Bench) -> None:
    record = written_since(bench)
    error = refusal(bench)
    assert "was the machine booted?" in error.message
    assert error.hint.startswith("--force puts the old content back")
    undo(bench.image, bench.state, force=True)
    assert bench.disk.read_bytes() == old_disk()
    assert phase_of(record) is Phase.UNDONE


def test_what_was_kept_in_the_guest_is_the_first_way_back(bench: Bench) -> None:
    written_since(bench, *(f"{BACKUP}{number}" for number in range(7)), f"{BACKUP}0")
    error = refusal(bench)
    assert f"{BACKUP}0, {BACKUP}1" in error.hint
    assert f"{BACKUP}5" not in error.hint
    assert error.hint.endswith("and 2 more; or --force")


def test_a_changed_sector_is_named_and_overwritten_by_force_alone(bench: Bench, served: Served) -> None:
    record = bench.begun(Phase.COMMITTED)
    bench.write(PLACES[1] + 512, b"of the guest")
    error = refusal(bench)
    assert f"byte {PLACES[1] + 512} was changed by something else" in error.message
    assert not served.done
    steps: list[str] = []
    undo(bench.image, bench.state, force=True, steps=steps.append)
    assert steps[:2] == ["verify", "write down"], "what is overwritten is known again after a kill"
    assert bench.disk.read_bytes() == old_disk()
    assert phase_of(record) is Phase.UNDONE


def test_a_change_around_the_repair_is_named_too(bench: Bench) -> None:
    bench.begun(Phase.COMMITTED)
    bench.write(100, b"mounted")
    assert "byte 0 was changed by something else" in refusal(bench).message


def test_a_forced_undo_that_is_killed_is_gone_on_with(bench: Bench, served: Served) -> None:
    record = bench.begun(Phase.COMMITTED)
    bench.write(PLACES[1] + 512, b"of the guest")

    def killed(step: str) -> None:
        if step == "write 1":
            raise SystemExit(9)

    with pytest.raises(SystemExit):
        undo(bench.image, bench.state, force=True, steps=killed)
    assert served.running == 0
    assert phase_of(record) is Phase.UNDOING
    undo(bench.image, bench.state)
    assert bench.disk.read_bytes() == old_disk()


def grown(bench: Bench) -> None:
    os.truncate(bench.disk, 2 * SIZE)


def shrunk(bench: Bench) -> None:
    os.truncate(bench.disk, PLACES[2])


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (
            grown,
            f"from {SIZE} to {2 * SIZE} bytes",
            f"cut it back (qemu-img resize --shrink) to {SIZE} bytes",
        ),
        (shrunk, f"from {SIZE} to {PLACES[2]} bytes", "restore it from a backup"),
    ],
)
def test_a_disk_of_another_size_is_refused_with_the_way_back(
    bench: Bench, change: Callable[[Bench], None], message: str, hint: str
) -> None:
    bench.begun(Phase.COMMITTED)
    change(bench)
    error = refusal(bench)
    assert message in error.message
    assert error.hint == f"{hint}, and undo that"


def test_force_takes_back_in_a_grown_disk_and_writes_no_byte_past_a_shorter_one(bench: Bench) -> None:
    bench.begun(Phase.COMMITTED)
    grown(bench)
    undo(bench.image, bench.state, force=True)
    assert bench.disk.read_bytes() == old_disk() + bytes(SIZE)
    bench.begun(Phase.COMMITTED)
    shrunk(bench)
    assert f"it ends before byte {PLACES[2] + LENGTH}" in refusal(bench, force=True).message


def test_a_disk_in_another_format_is_refused_with_the_way_back(bench: Bench) -> None:
    bench.begun(Phase.COMMITTED)
    converted = dataclasses.replace(bench.image, format=Format.VPC)
    with pytest.raises(StateError, match="its format has changed from raw to vpc") as error:
        undo(converted, bench.state)
    assert "qemu-img convert -O raw" in error.value.hint


def test_a_part_that_was_put_back_by_hand_is_told_from_what_is_new(bench: Bench) -> None:
    bench.begun(Phase.COMMITTED)
    bench.write(PLACES[0], old_disk()[PLACES[0] : PLACES[0] + LENGTH])
    assert "part of it holds the old content again" in refusal(bench).message


def test_a_restored_backup_needs_no_undo_and_force_closes_the_record_alone(
    bench: Bench, served: Served
) -> None:
    record = bench.begun(Phase.COMMITTED)
    bench.disk.write_bytes(old_disk())
    error = refusal(bench)
    assert isinstance(error, NothingToUndoError)
    assert "closes the record" in error.hint
    told = undo(bench.image, bench.state, force=True)
    assert not told.written
    assert not served.done
    assert bench.disk.read_bytes() == old_disk()
    assert phase_of(record) is Phase.UNDONE


@pytest.mark.parametrize("force", [False, True])
def test_another_disk_in_its_place_is_left_alone_even_by_force(bench: Bench, force: bool) -> None:
    bench.begun(Phase.COMMITTED)
    bench.disk.rename(bench.home / "away")
    bench.disk.write_bytes(b"\x99" * SIZE)
    assert "another disk is in its place" in refusal(bench, force=force).message


@pytest.mark.parametrize("force", [False, True])
def test_what_was_pruned_cannot_be_taken_back(bench: Bench, force: bool) -> None:
    bench.begun(Phase.PRUNED, pruned="2026-02-02")
    error = refusal(bench, force=force)
    assert "was pruned on 2026-02-02" in error.message
    assert error.hint == "restore the image from a backup"
    (entry,) = history(bench.image, bench.state)
    assert (entry.pruned, entry.undoable) == ("2026-02-02", False)


def damage_undo_data(record: Record) -> None:
    record.undo_data.write_bytes(b"\x12" * (2 * LENGTH))


def shorten_undo_data(record: Record) -> None:
    os.truncate(record.undo_data, LENGTH)


def lose_undo_data(record: Record) -> None:
    record.undo_data.unlink()


def damage_ranges(record: Record) -> None:
    (record.directory / "ranges.json").write_bytes(b"[]")


def lose_ranges(record: Record) -> None:
    (record.directory / "ranges.json").unlink()


def damage_sectors(record: Record) -> None:
    record.sectors(record.manifest.sectors).write_bytes(b"x")


def lose_sectors(record: Record) -> None:
    record.sectors(record.manifest.sectors).unlink()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (damage_undo_data, f"undo data of byte {PLACES[0]} is damaged"),
        (shorten_undo_data, f"undo data of byte {PLACES[2]} is damaged"),
        (lose_undo_data, "undo data cannot be read: No such file"),
        (damage_ranges, "the changed ranges are damaged"),
        (lose_ranges, "the changed ranges cannot be read: No such file"),
        (damage_sectors, "damaged"),
        (lose_sectors, "cannot be read: No such file"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_damaged_record_writes_nothing(
    bench: Bench, served: Served, damage: Callable[[Record], None], why: str, force: bool
) -> None:
    record = bench.begun(Phase.COMMITTED)
    damage(record)
    assert why in refusal(bench, force=force).message
    assert not served.done
    assert served.running == 0
    assert phase_of(record) is Phase.COMMITTED


# --- what fails in the middle ----------------------------------------------------------------------


def failing(served: Served, request: str, at: int, times: int = 1) -> None:
    """The first so many such requests of the image fail."""
    left = [times]

    def before(asked: str, name: str, where: int) -> None:
        if (asked, name, where) == (request, "disk.raw", at) and left[0]:
            left[0] -= 1
            raise refused()

    served.before = before


@pytest.mark.parametrize(("request_", "at"), [("pwrite", PLACES[2]), ("flush", -1)])
def test_a_write_that_fails_leaves_a_record_that_is_gone_on_with(
    bench: Bench, served: Served, request_: str, at: int
) -> None:
    record = bench.begun(Phase.COMMITTED)
    failing(served, request_, at, times=2)
    with pytest.raises(ImageError, match="No space left on device") as error:
        undo(bench.image, bench.state)
    assert "host's disk and log" in error.value.hint
    assert served.running == 0
    assert phase_of(record) is Phase.UNDOING
    assert "was interrupted" in interrupted(bench.image, bench.state)
    served.before = Served().before
    undo(bench.image, bench.state)
    assert bench.disk.read_bytes() == old_disk()
    assert phase_of(record) is Phase.UNDONE


def test_where_the_host_is_full_only_blocks_that_are_new_are_put_back(bench: Bench, served: Served) -> None:
    bench.begun(Phase.COMMITTED)
    bench.write(PLACES[0], old_disk()[PLACES[0] : PLACES[0] + LENGTH // 2])
    failing(served, "pwrite", PLACES[0])
    undo(bench.image, bench.state, force=True)
    assert served.written("disk.raw")[0] == PLACES[0] + LENGTH // 2
    assert bench.disk.read_bytes() == old_disk()


def test_what_reads_back_other_than_it_was_written_is_said_and_stays_open(
    bench: Bench, served: Served
) -> None:
    record = bench.begun(Phase.COMMITTED)

    def lose(step: str) -> None:
        if step == "read back":
            bench.write(PLACES[1], b"lost")

    with pytest.raises(StateError, match=f"byte {PLACES[1]} reads back other") as error:
        undo(bench.image, bench.state, steps=lose)
    assert "disk is failing" in error.value.hint
    assert phase_of(record) is Phase.UNDOING


def test_a_full_state_directory_is_said_with_how_to_go_on(bench: Bench) -> None:
    bench.begun(Phase.COMMITTED)

    def full(step: str) -> None:
        if step == "begin undoing":
            raise OSError(28, "No space left on device")

    with pytest.raises(StateError, match="cannot be recorded: No space left") as error:
        undo(bench.image, bench.state, steps=full)
    assert str(bench.state) in error.value.message
    assert "it goes on from there" in error.value.hint
    assert bench.disk.read_bytes() == new_disk()


# --- what is told ----------------------------------------------------------------------------------


def test_the_history_tells_each_repair_and_which_can_be_taken_back(bench: Bench) -> None:
    first = bench.begun(Phase.UNDONE)
    second = bench.begun(Phase.COMMITTED)
    bench.begun(Phase.STAGED)
    told = history(bench.image, bench.state)
    assert [(e.identifier, e.phase, e.undoable) for e in told] == [
        (first.manifest.identifier, "undone", False),
        (second.manifest.identifier, "committed", True),
    ]
    assert told[1].repaired == (("a/b", "/etc/x:3"),)
    assert last_repair(bench.image, bench.state) == told[1]


def test_a_damaged_record_is_listed_and_not_called_undoable(bench: Bench) -> None:
    damage_ranges(bench.begun(Phase.COMMITTED))
    (entry,) = history(bench.image, bench.state)
    assert not entry.undoable
    with pytest.raises(StateError, match="damaged"):
        last_repair(bench.image, bench.state)


def test_the_format_that_a_repair_took_a_file_for_is_remembered(bench: Bench) -> None:
    bench.begun(Phase.COMMITTED)
    assert recorded_format(bench.disk, bench.state) == "raw"
    assert recorded_format(bench.home / "gone", bench.state) is None
    grown(bench)
    assert recorded_format(bench.disk, bench.state) is None, "no longer the raw disk that it was"
    bench.disk.rename(bench.home / "away")
    bench.disk.write_bytes(old_disk())
    assert recorded_format(bench.disk, bench.state) is None, "another file"


def test_another_image_has_no_history(bench: Bench) -> None:
    bench.begun(Phase.COMMITTED)
    other = bench.home / "other.raw"
    other.write_bytes(old_disk())
    assert history(image_of(other), bench.state) == []
    assert interrupted(image_of(other), bench.state) == ""

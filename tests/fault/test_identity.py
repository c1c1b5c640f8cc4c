"""What is done when the image of a record is not what the record left: never a byte is written unasked.

Half-written images that were booted, grown, converted, overwritten or replaced meanwhile; other images that
have the name or the inode number of one; restored backups; copies; images that were moved.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.disk import Image, Transaction, examine, history, interrupted, undo
from guestrepair.disk.record import all_records
from guestrepair.disk.undo import NothingToUndoError
from guestrepair.errors import ImageError, StateError
from tests.fault.conftest import Bench, make_bench, qemu_io

pytestmark = pytest.mark.fault

Change = Callable[[Bench], None]

STRANGER = ("write -P 0x51 0 7M", "write -P 0x52 12M 64k")
"""A disk of another machine, of the same size and format."""


def half_written(bench: Bench, what: str) -> None:
    """Kill a repair, an undo or a revert in the middle."""
    bench.fresh()
    if what == "undo":
        bench.steps("repair")
    names = bench.step_names(what)
    bench.fresh()
    if what == "undo":
        bench.steps("repair")
    back = names.index("revert") if what == "revert" else 0
    bench.kill(what, names.index("write 1", back) + 1)
    assert interrupted(bench.examine(), bench.state)


def boot(bench: Bench) -> None:
    """A sector of what the repair wrote, and what any mount changes at the start."""
    qemu_io(bench.image, bench.format, ["write -P 0x41 5M 512", "write -P 0x42 1k 512"])


def boot_elsewhere(bench: Bench) -> None:
    """Only what any mount changes: no sector that the repair wrote."""
    qemu_io(bench.image, bench.format, ["write -P 0x42 1k 512"])


def grow(bench: Bench) -> None:
    subprocess.run(["qemu-img", "resize", "-q", "-f", bench.format, bench.image, "20M"], check=True)


def overwrite_by_a_stranger(bench: Bench) -> None:
    """cp: the file stays, another disk is in it."""
    stranger(bench.image, bench.format)


def replace_by_a_stranger(bench: Bench) -> None:
    """mv: another file of the same name."""
    stranger(bench.place / "stranger", bench.format)
    (bench.place / "stranger").rename(bench.image)


def replace_by_a_cousin(bench: Bench) -> None:
    """Another file that holds nearly the same: an older backup."""
    shutil.copyfile(bench.image, bench.place / "cousin")
    qemu_io(bench.place / "cousin", bench.format, ["write -P 0x41 5M 512"])
    (bench.place / "cousin").rename(bench.image)


def stranger(path: Path, format_name: str) -> None:
    fresh = path.with_name("made")
    subprocess.run(["qemu-img", "create", "-q", "-f", format_name, fresh, "16M"], check=True)
    qemu_io(fresh, format_name, STRANGER)
    shutil.copyfile(fresh, path)
    fresh.unlink()


def restore(bench: Bench) -> None:
    """A whole backup from before the repair, as another file of the same name."""
    shutil.copyfile(bench.original, bench.place / "backup")
    (bench.place / "backup").rename(bench.image)


CHANGES: tuple[Change, ...] = (
    boot, boot_elsewhere, grow, overwrite_by_a_stranger, replace_by_a_stranger, replace_by_a_cousin, restore,
)  # fmt: skip


def refused(bench: Bench, image: Image, command: str, *, force: bool = False) -> StateError:
    """The error of a command that must write nothing."""
    before = image.top.path.read_bytes()
    with pytest.raises(StateError) as refusal:
        undo(image, bench.state, force=force) if command == "undo" else begin(image, bench.state)
    assert image.top.path.read_bytes() == before
    assert refusal.value.hint
    assert "\n" not in refusal.value.message + refusal.value.hint
    return refusal.value


def begin(image: Image, state: Path) -> None:
    """What a repair does first, and no more."""
    with Transaction.begin(image, state):
        pass


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.__name__)
@pytest.mark.parametrize("what", ["repair", "undo", "revert"])
def test_a_half_written_image_that_has_changed_stops_every_command(
    bench: Bench, what: str, change: Change
) -> None:
    half_written(bench, what)
    change(bench)
    assert interrupted(bench.examine(), bench.state)
    for command in ("repair", "undo"):
        refused(bench, bench.examine(), command)
    assert interrupted(bench.examine(), bench.state), "the record is still there"


@pytest.mark.parametrize("change", [boot, boot_elsewhere, grow], ids=lambda c: c.__name__)
@pytest.mark.parametrize("what", ["repair", "undo", "revert"])
def test_force_puts_the_old_content_back_where_the_image_has_changed(
    bench: Bench, what: str, change: Change
) -> None:
    half_written(bench, what)
    change(bench)
    undo(bench.examine(), bench.state, force=True)
    expected = bytearray(bench.original_content())
    if change is not grow:
        expected[1024:1536] = b"\x42" * 512
    assert bench.content()[: len(expected)] == expected
    assert not interrupted(bench.examine(), bench.state)


@pytest.mark.parametrize(
    "change",
    [overwrite_by_a_stranger, replace_by_a_stranger, replace_by_a_cousin],
    ids=lambda c: c.__name__,
)
@pytest.mark.parametrize("what", ["repair", "undo", "committed"])
def test_not_even_force_writes_into_another_image(bench: Bench, what: str, change: Change) -> None:
    if what == "committed":
        bench.fresh()
        bench.steps("repair")
    else:
        half_written(bench, what)
    change(bench)
    refused(bench, bench.examine(), "undo", force=True)


@pytest.mark.parametrize("change", [boot, grow], ids=lambda c: c.__name__)
def test_a_forced_undo_that_is_killed_is_finished_without_force(bench: Bench, change: Change) -> None:
    half_written(bench, "undo")
    change(bench)
    with pytest.raises(RuntimeError):
        undo(bench.examine(), bench.state, force=True, steps=ends_at("write 2"))
    assert interrupted(bench.examine(), bench.state)
    assert bench.take_back()
    expected = bytearray(bench.original_content())
    if change is boot:
        expected[1024:1536] = b"\x42" * 512
    assert bench.content()[: len(expected)] == expected


def ends_at(step: str) -> Callable[[str], None]:
    """A hook that ends the work at a step."""

    def end(name: str) -> None:
        if name == step:
            raise RuntimeError

    return end


def test_an_image_that_has_grown_is_cut_back_and_gone_on_with(bench: Bench) -> None:
    half_written(bench, "repair")
    grow(bench)
    assert "--shrink" in refused(bench, bench.examine(), "repair").hint
    command = ["qemu-img", "resize", "-q", "--shrink", "-f", bench.format, str(bench.image), "16M"]
    subprocess.run(command, check=True)
    bench.begin_again()
    assert bench.is_repaired()


def test_an_image_that_was_converted_in_its_place_is_refused(raw_bench: Bench) -> None:
    bench = raw_bench
    half_written(bench, "repair")
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(bench.image), str(bench.home / "new")]
    subprocess.run(command, check=True)
    (bench.home / "new").rename(bench.image)
    image = examine(bench.image, input_format="qcow2")
    assert "format has changed" in interrupted(image, bench.state)
    for command_name in ("repair", "undo"):
        assert "format has changed" in refused(bench, image, command_name).message


@pytest.mark.parametrize("what", ["repair", "undo", "committed"])
def test_another_image_with_the_inode_number_of_one_is_no_business_of_its_record(
    bench: Bench, what: str
) -> None:
    """The number is given to the next file: here to one that was copied over the file and renamed."""
    if what == "committed":
        bench.fresh()
        bench.steps("repair")
    else:
        half_written(bench, what)
    overwrite_by_a_stranger(bench)
    other = bench.image.with_name(f"other.{bench.format}")
    bench.image.rename(other)
    image = examine(other, input_format=bench.format)
    before = other.read_bytes()
    assert not interrupted(image, bench.state)
    with Transaction.begin(image, bench.state):
        pass
    with pytest.raises(NothingToUndoError):
        undo(image, bench.state, force=True)
    assert other.read_bytes() == before


@pytest.mark.parametrize("copied", [True, False], ids=["cp", "mv"])
def test_a_restored_backup_has_nothing_to_undo(bench: Bench, *, copied: bool) -> None:
    bench.fresh()
    bench.steps("repair")
    if copied:
        shutil.copyfile(bench.original, bench.image)
    else:
        restore(bench)
    assert "nothing to undo" in refused(bench, bench.examine(), "undo").message
    before = bench.image.read_bytes()
    assert undo(bench.examine(), bench.state, force=True).written is False
    assert bench.image.read_bytes() == before
    assert [e.phase for e in history(bench.examine(), bench.state)] == ["undone"]


def test_a_backup_beside_a_half_written_image_is_free(bench: Bench) -> None:
    half_written(bench, "undo")
    backup = bench.image.with_name(f"backup.{bench.format}")
    shutil.copyfile(bench.original, backup)
    image = examine(backup, input_format=bench.format)
    assert not interrupted(image, bench.state)
    with Transaction.begin(image, bench.state):
        pass
    assert backup.read_bytes() == bench.original.read_bytes()


def test_a_copy_of_a_half_written_image_is_not_used_for_whole(bench: Bench) -> None:
    half_written(bench, "repair")
    copy = bench.image.with_name(f"copy.{bench.format}")
    shutil.copyfile(bench.image, copy)
    image = examine(copy, input_format=bench.format)
    for command in ("repair", "undo"):
        assert "a copy of" in refused(bench, image, command, force=True).message
    bench.begin_again()
    assert bench.is_repaired(), "the image itself is gone on with"


@pytest.mark.parametrize("what", ["repair", "undo", "committed"])
def test_an_image_that_was_moved_is_known_by_what_it_holds(bench: Bench, what: str, tmp_path: Path) -> None:
    """To another filesystem: another path and another inode, the same content and time."""
    if what == "committed":
        bench.fresh()
        bench.steps("repair")
    else:
        half_written(bench, what)
    moved = tmp_path / f"moved.{bench.format}"
    shutil.copy2(bench.image, moved)
    bench.image.unlink()
    image = examine(moved, input_format=bench.format)
    assert [e.undoable for e in history(image, bench.state) if e.undoable] or what != "committed"
    undo(image, bench.state)
    command = ["qemu-img", "compare", "-q", "-f", bench.format, "-F", bench.format]
    assert subprocess.run([*command, moved, bench.original], check=False).returncode == 0


def test_two_repairs_of_an_image_that_was_moved_between_them_are_undone_one_by_one(
    bench: Bench, tmp_path: Path
) -> None:
    bench.fresh()
    bench.steps("repair")
    moved = tmp_path / f"moved.{bench.format}"
    shutil.copy2(bench.image, moved)
    bench.image.unlink()
    image = examine(moved, input_format=bench.format)
    with Transaction.begin(image, bench.state) as transaction:
        qemu_io(transaction.overlay, "qcow2", ["write -P 0x33 2M 64k"])
        transaction.commit()
    for expected in (bench.repaired_raw, bench.original):
        undo(examine(moved, input_format=bench.format), bench.state)
        other_format = "raw" if expected == bench.repaired_raw else bench.format
        command = ["qemu-img", "compare", "-q", "-f", bench.format, "-F", other_format]
        assert subprocess.run([*command, moved, expected], check=False).returncode == 0


def test_a_copy_of_a_repaired_image_is_not_undone_in_its_stead(bench: Bench) -> None:
    bench.fresh()
    bench.steps("repair")
    copy = bench.image.with_name(f"copy.{bench.format}")
    shutil.copy2(bench.image, copy)
    with pytest.raises(NothingToUndoError):
        undo(examine(copy, input_format=bench.format), bench.state)
    assert bench.take_back()


def test_disks_that_come_and_go_under_one_name_are_undone_each(bench: Bench) -> None:
    bench.fresh()
    bench.steps("repair")
    first = bench.image.rename(bench.home / "first")
    shutil.copyfile(bench.original, bench.image)
    qemu_io(bench.image, bench.format, ["write -P 0x61 0 512", "write -P 0x62 7M 64k"])
    second = bench.content()
    assert bench.run("repair") == 0
    bench.image.rename(bench.home / "second")
    first.rename(bench.image)
    assert bench.take_back()
    assert bench.is_original()
    bench.image.rename(first)
    (bench.home / "second").rename(bench.image)
    assert bench.take_back()
    assert bench.content() == second


def test_lazy_reference_counts_do_not_stop_what_was_killed(tmp_path: Path) -> None:
    """The dirty bit, which such a qcow2 has after a kill, is of our own making; qemu clears it."""
    bench = make_bench("lazy", tmp_path)
    for command in ("repair", "undo"):
        half_written(bench, "repair")
        assert bench.is_dirty(), "else this test tries nothing"
        if command == "repair":
            bench.begin_again()
            assert bench.is_repaired()
        else:
            assert bench.take_back()
            assert bench.is_original()
        assert not bench.is_dirty()
        bench.check_container()


def test_a_dirty_image_that_no_repair_of_ours_made_is_refused_with_what_to_do(tmp_path: Path) -> None:
    bench = make_bench("lazy", tmp_path)
    bench.fresh()
    script = ["-c", "write -P 7 9M 1M", "-c", "flush", "-c", "abort"]
    subprocess.run(["qemu-io", "-f", "qcow2", *script, bench.image], check=False, capture_output=True)
    assert bench.is_dirty()
    before = bench.image.read_bytes()
    with (
        pytest.raises(ImageError, match="not closed cleanly") as refusal,
        Transaction.begin(bench.examine(), bench.state),
    ):
        pass
    assert f"qemu-img check -r all {bench.image}" in refusal.value.hint
    assert bench.image.read_bytes() == before


def test_a_repair_of_the_former_version_is_still_undone(bench: Bench) -> None:
    bench.fresh()
    bench.steps("repair")
    as_by_the_former_version(bench)
    entries = history(bench.examine(), bench.state)
    assert [(e.repaired, e.undoable) for e in entries] == [((("a/b", "/etc/x:3"),), True)]
    assert bench.take_back()
    assert bench.is_original()


def test_and_an_undo_of_it_that_is_killed_is_gone_on_with_only_on_its_image(bench: Bench) -> None:
    bench.fresh()
    bench.steps("repair")
    as_by_the_former_version(bench)
    steps = len(bench.step_names("undo"))
    for number in range(3, steps):
        bench.fresh()
        bench.steps("repair")
        as_by_the_former_version(bench)
        bench.kill("undo", number)
        if number % 2 and interrupted(bench.examine(), bench.state):
            qemu_io(bench.image, bench.format, ["write -P 0x41 5M 512"])
            refused(bench, bench.examine(), "undo")
            undo(bench.examine(), bench.state, force=True)
        else:
            bench.take_back()
        assert bench.is_original()


def as_by_the_former_version(bench: Bench) -> None:
    """Write the record as guestrepair.undo/1: no generation, no sector digests, samples taken whole."""
    (record,) = all_records(bench.state)
    path = record.directory / "manifest.json"
    data = json.loads(path.read_text())
    head = hashlib.sha256(bench.content()[: 256 << 10]).hexdigest()
    for name in ("generation", "serial", "around", "sectors", "pruned", "repair"):
        del data[name]
    data["schema"] = "guestrepair.undo/1"
    data["samples"] = [{"offset": 0, "length": 256 << 10, "sha256": head}]
    data["plan"] = {"changes": [], "backups": ["/etc/my file.guestrepair-20260101T000000Z"]}
    data["report"] = {"findings": [{"rule": "a/b", "subject": "/etc/x:3", "status": "repaired"}]}
    path.write_text(json.dumps(data))
    for left in record.directory.glob("sectors-*"):
        left.unlink()

"""Records: what is read of both their forms, which file they speak of, and what prune may take."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from guestrepair.disk.image import Format, Layer
from guestrepair.disk.manifest import Identity, Manifest, Phase, RepairRecord, Sample, as_text, read_manifest
from guestrepair.disk.prune import Prunable, Wanted, prunable, prune
from guestrepair.disk.record import Record
from guestrepair.disk.relation import Relation, file_marks, relate
from guestrepair.errors import StateError, UsageError

BACKUP = "/etc/my file.guestrepair-20260101T000000Z"


def record(
    state: Path, image: Path, phase: Phase = Phase.COMMITTED, *, days: int = 0, name: str = ""
) -> Record:
    """A record of a file, begun some days ago, with undo data of 8 KiB."""
    began = datetime.now(UTC) - timedelta(days=days, minutes=1)
    identifier = f"{began:%Y%m%dT%H%M%S.000Z}-{name or phase.value}"
    directory = state / "repairs" / identifier
    directory.mkdir(parents=True)
    (directory / "undo.data").write_bytes(b"x" * 8192)
    (directory / "ranges.json").write_bytes(b"[]")
    manifest = Manifest(
        identifier=identifier,
        time=began.isoformat(timespec="seconds"),
        tool_version="0.0",
        phase=phase,
        path=as_text(image),
        format="raw",
        virtual_size_bytes=4096,
        before=Identity(4096, 1),
        after=Identity(4096, 2),
        around=(Sample(0, 4096, "00"),),
        repair=RepairRecord((("a/b", "/etc/x:3"),), (BACKUP,)),
        **file_marks(layer(image)),
    )
    return Record(directory, manifest).saved()


def layer(path: Path) -> Layer:
    return Layer(path, Format.RAW)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(4096))
    return path


# --- the manifest ---------------------------------------------------------------------------------


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path, image: Path) -> None:
    written = record(tmp_path, image)
    assert read_manifest(written.directory / "manifest.json") == written.manifest


def former(written: Record, **changed: object) -> Manifest | None:
    """The same in the former schema."""
    path = written.directory / "manifest.json"
    data = json.loads(path.read_text())
    for new in ("generation", "serial", "around", "sectors", "pruned", "repair"):
        del data[new]
    path.write_text(json.dumps({**data, "schema": "guestrepair.undo/1", **changed}))
    return read_manifest(path)


def test_the_former_schema_tells_what_was_repaired_and_kept(tmp_path: Path, image: Path) -> None:
    finding = {"rule": "a/b", "subject": "/etc/x:3", "status": "repaired"}
    told = former(
        record(tmp_path, image),
        report={"findings": [finding, {**finding, "rule": "c/d", "status": "open"}]},
        plan={"changes": [{"path": "/etc/x.guestrepair-20250101T000000Z"}], "backups": [BACKUP]},
    )
    assert told is not None
    assert told.repair == RepairRecord((("a/b", "/etc/x:3"),), (BACKUP,))


@pytest.mark.parametrize("junk", [None, 7, "x", [], {"findings": 3}, {"findings": [1, None, "x"]}])
def test_whatever_the_former_schema_kept_for_people_does_not_keep_it_from_being_undone(
    tmp_path: Path, image: Path, junk: object
) -> None:
    told = former(record(tmp_path, image), report=junk, plan=junk)
    assert told is not None
    assert told.phase is Phase.COMMITTED
    assert told.repair == RepairRecord()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": "guestrepair.undo/9"}', "[" * 100_000])
def test_what_is_no_manifest_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    assert read_manifest(tmp_path / "manifest.json") is None


# --- which file a record speaks of -----------------------------------------------------------------


def rename(image: Path) -> Path:
    return image.rename(image.with_name("renamed"))


def hard_link(image: Path) -> Path:
    os.link(image, image.with_name("link"))
    return image.with_name("link")


def replace(image: Path) -> Path:
    shutil.copy2(image, image.with_name("new"))
    return image.with_name("new").rename(image)


def copy_elsewhere(image: Path) -> Path:
    return Path(shutil.copy2(image, image.with_name("copy")))


def move_by_copy(image: Path) -> Path:
    copied = copy_elsewhere(image)
    image.unlink()
    return copied


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda image: image, Relation(same_path=True, same_file=True, vacant=False)),
        (rename, Relation(same_path=False, same_file=True, vacant=True)),
        (hard_link, Relation(same_path=False, same_file=True, vacant=False)),
        (replace, Relation(same_path=True, same_file=False, vacant=True)),
        (copy_elsewhere, Relation(same_path=False, same_file=False, vacant=False)),
        (move_by_copy, Relation(same_path=False, same_file=False, vacant=True)),
    ],
)
def test_a_file_is_known_by_path_and_inode(
    tmp_path: Path, image: Path, change: Callable[[Path], Path], expected: Relation
) -> None:
    written = record(tmp_path, image)
    assert relate(written.manifest, layer(change(image))) == expected


def test_an_inode_number_that_was_given_away_again_is_another_file(tmp_path: Path, image: Path) -> None:
    """ext4 gives the number of a deleted file to the next one; only the generation tells."""
    written = record(tmp_path, image)
    if not written.manifest.generation:
        pytest.skip("this filesystem has no generations")
    number = image.stat().st_ino
    for _attempt in range(50):
        image.unlink()
        image.write_bytes(bytes(4096))
        if image.stat().st_ino == number:
            break
    else:
        pytest.skip("the number did not come again")
    assert relate(written.manifest, layer(image)).same_file is False


# --- prune -----------------------------------------------------------------------------------------


def short(found: list[Prunable]) -> list[str]:
    return [one.identifier.rsplit("-", 1)[1] for one in found]


def test_prune_takes_by_age(tmp_path: Path, image: Path) -> None:
    for days in (0, 10, 40):
        record(tmp_path, image, days=days, name=f"d{days}")
    for age, expected in ((0, ["d40", "d10", "d0"]), (10, ["d40", "d10"]), (30, ["d40"]), (999_999, [])):
        found = prunable(tmp_path, Wanted(older_than=timedelta(days=age)))
        assert short(found) == expected
        assert all(one.size_bytes >= 8192 and not one.kept for one in found)


def test_prune_takes_by_the_name_of_a_repair_or_of_an_image_that_need_not_be_there(
    tmp_path: Path, image: Path
) -> None:
    one = record(tmp_path, image, days=3, name="one")
    other = tmp_path / "other.raw"
    other.write_bytes(bytes(4096))
    record(tmp_path, other, days=2, name="two")
    other.unlink()
    for wanted, expected in (
        ((one.manifest.identifier,), ["one"]),
        ((str(image),), ["one"]),
        ((str(other),), ["two"]),
        ((str(image), str(other)), ["one", "two"]),
    ):
        found = prunable(tmp_path, Wanted(wanted))
        assert short(found) == expected
    old_enough = prunable(tmp_path, Wanted((str(image), str(other)), timedelta(days=3)))
    assert short(old_enough) == ["one"]
    with pytest.raises(UsageError, match="neither"):
        prunable(tmp_path, Wanted(("nothing",)))


def test_what_is_pruned_stays_in_the_history_without_its_undo_data(tmp_path: Path, image: Path) -> None:
    written = record(tmp_path, image)
    gone = prune(prunable(tmp_path, Wanted((str(image),))), tmp_path, say=pytest.fail)
    assert len(gone) == 1
    after = written.again()
    assert after is not None
    assert after.phase is Phase.PRUNED
    assert datetime.fromisoformat(after.manifest.pruned).tzinfo is not None
    assert after.manifest.repair == written.manifest.repair
    assert {f.name for f in written.directory.iterdir()} == {"manifest.json", "ranges.json", "lock"}
    assert prunable(tmp_path, Wanted((str(image),))) == [], "once only"


@pytest.mark.parametrize("phase", [Phase.COMMITTING, Phase.REVERTING, Phase.UNDOING])
def test_what_a_half_written_image_needs_is_never_pruned(tmp_path: Path, image: Path, phase: Phase) -> None:
    written = record(tmp_path, image, phase, days=400)
    (found,) = prunable(tmp_path, Wanted((str(image),), timedelta(days=1)))
    assert "half written" in found.kept
    said: list[str] = []
    assert prune([found], tmp_path, say=said.append) == []
    assert "half written" in said[0]
    assert written.undo_data.exists()
    assert written.again() == written


@pytest.mark.parametrize("phase", [Phase.STAGED, Phase.COMMITTED])
def test_what_a_living_process_works_with_is_not_pruned(tmp_path: Path, image: Path, phase: Phase) -> None:
    written = record(tmp_path, image, phase)
    (idle,) = prunable(tmp_path, Wanted((str(image),)))
    with written.held():
        (found,) = prunable(tmp_path, Wanted((str(image),)))
        assert "works with it now" in found.kept
        said: list[str] = []
        assert prune([idle], tmp_path, say=said.append) == [], "it began after the list was made"
        assert len(said) == 1
        assert written.undo_data.exists()
    assert len(prune([idle], tmp_path, say=pytest.fail)) == 1


def test_what_became_half_written_since_the_list_was_made_is_kept(tmp_path: Path, image: Path) -> None:
    written = record(tmp_path, image)
    found = prunable(tmp_path, Wanted((str(image),)))
    written.saved(phase=Phase.UNDOING)
    said: list[str] = []
    assert prune(found, tmp_path, say=said.append) == []
    assert written.undo_data.exists()


def test_the_staged_changes_of_a_dead_process_go_whole(tmp_path: Path, image: Path) -> None:
    written = record(tmp_path, image, Phase.STAGED)
    assert len(prune(prunable(tmp_path, Wanted((str(image),))), tmp_path, say=pytest.fail)) == 1
    assert not written.directory.exists()


def test_a_record_is_held_by_one_process(tmp_path: Path, image: Path) -> None:
    written = record(tmp_path, image)
    with written.held(), pytest.raises(StateError, match="another process"), written.held(patience_seconds=0):
        pass

"""A whole copy of what is only read: when it is believed, and that nothing else is left of it."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.disk import examine
from guestrepair.disk.attach.location import ImageName, Location, parse_image_name
from guestrepair.errors import SourceError, UsageError
from guestrepair.model import Severity, Status
from guestrepair.operations import whole_copy
from guestrepair.operations.examined import Examined
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.repair import RepairOptions
from guestrepair.operations.whole_copy import repair_copy
from guestrepair.repair.choose import Choice
from guestrepair.report.data import ImageReport, Report
from tests.unit.operations.staged_appliance import RIGHT, appliance, disks, fstab, made

__all__ = ["appliance", "disks", "fstab", "made"]  # fixtures


@pytest.fixture
def packed(tmp_path: Path, disks: ImageOptions) -> Location:
    """The system's disk, in a gzip file."""
    del disks
    with (tmp_path / "system.raw").open("rb") as disk, gzip.open(tmp_path / "system.gz", "wb", 1) as file:
        shutil.copyfileobj(disk, file)
    name = parse_image_name(str(tmp_path / "system.gz"))
    assert isinstance(name, Location)
    return name


@pytest.fixture
def small(tmp_path: Path) -> Location:
    """What a source without any system is called, and what is read of it: small.raw."""
    (tmp_path / "small.raw").write_bytes(bytes(1 << 20))
    name = parse_image_name(str(tmp_path / "small.raw.gz"))
    assert isinstance(name, Location)
    return name


def copied(name: Location, output: Path | None, options: ImageOptions, said: list[str]) -> ImageReport:
    state = output.with_name("state") if output is not None else None
    how = RepairOptions(choice=Choice(everything=True), state_dir=state)
    ui = UserInterface(note=said.append)
    return repair_copy(name, output, options, ScanOptions(only=("fstab",)), how, ui)


def test_a_copy_is_made_and_repaired(
    packed: Location, tmp_path: Path, disks: ImageOptions, fstab: Path
) -> None:
    before = (tmp_path / "system.gz").read_bytes()
    (tmp_path / "out").mkdir()
    output, said = tmp_path / "out/system.qcow2", list[str]()
    raw = dataclasses.replace(disks, input_format="raw")  # of the disks that there are, not of the copy
    report = copied(packed, output, raw, said)
    assert report.errors == []
    assert [(f.rule, f.status) for f in report.findings] == [("fstab/bad-option", Status.REPAIRED)]
    assert (report.path, report.format, report.errors) == (str(output), "qcow2", [])
    assert report.read_bytes == len(before)
    assert said[0] == f"{packed}: copied to {output}, which is repaired now"
    assert fstab.read_text() == RIGHT
    assert output.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in output.parent.iterdir()} == {"system.qcow2", "state"}
    assert (tmp_path / "system.gz").read_bytes() == before


def test_what_makes_no_sense_is_said_before_anything_is_copied(small: Location, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only read") as said:
        copied(small, None, ImageOptions(), [])
    assert "--output FILE.qcow2" in said.value.hint
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="is there already"):
        copied(small, tmp_path / "link", ImageOptions(), [])


def test_a_copy_of_a_source_that_has_changed_is_not_kept(
    small: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def changing(name: ImageName, _options: ImageOptions, **_others: object) -> Iterator[Examined]:
        yield Examined((examine(tmp_path / "small.raw"),))
        raise SourceError(f"{name}: it has changed meanwhile", hint="try again")

    monkeypatch.setattr(whole_copy, "examined", changing)
    (tmp_path / "out").mkdir()
    report = copied(small, tmp_path / "out/system.qcow2", ImageOptions(), [])
    assert [error.message for error in report.errors] == [f"{small}: it has changed meanwhile"]
    assert Report(images=[report]).exit_status(Severity.ERROR) == 3
    assert list((tmp_path / "out").iterdir()) == []


def test_a_name_that_somebody_took_meanwhile_is_not_written_over(
    small: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out/system.qcow2"
    output.parent.mkdir()

    @contextlib.contextmanager
    def slow(_name: ImageName, _options: ImageOptions, **_others: object) -> Iterator[Examined]:
        yield Examined((examine(tmp_path / "small.raw"),))
        output.write_text("somebody's")

    monkeypatch.setattr(whole_copy, "examined", slow)
    report = copied(small, output, ImageOptions(), [])
    assert [error.message for error in report.errors] == [f"--output {output}: File exists"]
    assert [path.read_text() for path in output.parent.iterdir()] == ["somebody's"]


def test_a_directory_that_is_not_there_is_one_line(small: Location, tmp_path: Path) -> None:
    report = copied(small, tmp_path / "none/system.qcow2", ImageOptions(), [])
    (error,) = report.errors
    assert error.message == f"{tmp_path}/none: no temporary directory can be made: No such file or directory"

"""A whole scan or inspection of small disks, read on the host alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.errors import UsageError
from guestrepair.model import Severity
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.scan import inspect, scan
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.json import render
from guestrepair.session.live import LiveGuest
from tests.support.schemas import check_report
from tests.support.sparse import copy_sparse
from tests.unit.session.test_session import ROOT_UUID, made

__all__ = ["made"]  # a fixture
ALONE = ImageOptions(host_only=True)
FSTAB = ScanOptions(only=("fstab",))


@pytest.fixture
def disk(made: Path, tmp_path: Path) -> Path:
    return copy_sparse(made / "system.raw", tmp_path / "disk.raw")


def checked(report: ImageReport) -> ImageReport:
    """The report, once its JSON is as the schema says."""
    check_report(render(Report(images=[report])))
    return report


def test_a_scan_tells_of_the_guest_and_what_is_wrong(disk: Path) -> None:
    progress: list[str] = []
    report = checked(scan(disk, ALONE, FSTAB, UserInterface(progress=progress.append)))
    assert report.errors == []
    assert report.os is not None
    assert (report.os.distro, report.os.hostname) == ("debian", "here")
    assert [(f.rule, str(f.subject)) for f in report.findings] == [("fstab/source-not-found", "/etc/fstab:2")]
    assert report.findings[0].severity is Severity.WARNING  # /home's disk was not given
    assert (report.confirmed, report.partly, report.round_trips) == (False, True, 0)
    assert report.ran
    assert "reading the package database" in progress


def test_nothing_is_written_by_it(disk: Path) -> None:
    before = disk.read_bytes()
    scan(disk, ALONE, FSTAB, UserInterface())
    assert disk.read_bytes() == before


def test_more_may_be_asked_of_the_guest_in_the_same_launch(disk: Path) -> None:
    names: list[str] = []

    def then(guest: LiveGuest, report: ImageReport) -> None:
        names.append(guest.os.hostname + str(len(report.findings)))

    scan(disk, ALONE, FSTAB, UserInterface(), then)
    assert names == ["here1"]


def test_a_disk_without_a_system_is_no_healthy_one(made: Path) -> None:
    report = checked(scan(made / "home.raw", ALONE, ScanOptions(), UserInterface()))
    assert not report.analyzed
    assert [error.stage for error in report.errors] == ["system"]
    assert Report(images=[report]).exit_status(Severity.ERROR) == 3


def test_what_is_no_image_is_one_error(tmp_path: Path) -> None:
    missing = checked(scan(tmp_path / "none.raw", ALONE, ScanOptions(), UserInterface()))
    assert "none.raw" in missing.errors[0].message
    text = tmp_path / "text.img"
    text.write_text("no disk at all\n" * 100)
    assert "a text file" in checked(scan(text, ALONE, ScanOptions(), UserInterface())).errors[0].message


def test_an_analyzer_that_there_is_not_is_wrong_usage(disk: Path) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        scan(disk, ALONE, ScanOptions(only=("nonsense",)), UserInterface())


def test_an_inspection_tells_of_disks_and_system(disk: Path, made: Path) -> None:
    report = checked(inspect(disk, ALONE, UserInterface()))
    assert [(m.target, m.type, m.uuid) for m in report.mounts] == [("/", "ext4", ROOT_UUID)]
    assert (report.findings, report.errors, report.confirmed) == ([], [], False)

    data = checked(inspect(made / "home.raw", ALONE, UserInterface()))
    assert data.block is not None
    assert [device.content for device in data.block.devices] == ["ext4"]
    assert [error.stage for error in data.errors] == ["system"]

"""Disks from which no system can be mounted: their tables are repaired first, then what lies behind them."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from guestrepair.guest.devices import Disk
from guestrepair.model import Severity, Status
from guestrepair.operations import overlay_guest
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.repair import RepairOptions, repair
from guestrepair.repair.choose import Choice
from guestrepair.repair.plan import Plan
from guestrepair.report.data import ImageReport, Report
from guestrepair.session.session import Session, SessionDisk
from tests.unit.operations.staged_appliance import WRONG
from tests.unit.session.fake_appliance import FakeAppliance, session_on
from tests.unit.session.test_session import MIB, made

__all__ = ["made"]  # a fixture
HEADER = slice(512, 1024)
TABLE, LINE = "partitions/gpt-primary-damaged", "fstab/bad-option"


class NeedsTable(FakeAppliance):
    """Its kernel has no partition until the table is whole."""

    holds_system = True

    def pwrite_device(self, device: str, content: bytes, offset: int) -> int:
        written = super().pwrite_device(device, content, offset)
        if self.holds_system:
            self.broken.pop("/dev/sda1", None)
        return written


@dataclass
class Damaged:
    """A disk whose first GPT header is gone, and what shows it."""

    image: Path
    appliance: NeedsTable

    def repaired(self, **how: Any) -> ImageReport:
        options = RepairOptions(
            choice=Choice(everything=True), state_dir=self.image.with_name("state"), **how
        )
        only = ScanOptions(only=("partitions", "fstab"))
        return repair(self.image, ImageOptions(), only, options, UserInterface())

    @property
    def fstab(self) -> str:
        return (self.appliance.trees["/dev/sda1"] / "etc/fstab").read_text()


@pytest.fixture(scope="module")
def table(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The beginning and the end of a disk of 20 MiB with one partition of 16, its first header gone."""
    image = tmp_path_factory.mktemp("table") / "gpt.raw"
    with image.open("wb") as file:
        file.truncate(20 * MIB)
    words = "label: gpt\nstart=2048,size=32768,type=L\n"
    subprocess.run(["sfdisk", "-q", image], input=words, text=True, check=True)
    data, superblock = image.read_bytes(), (made / "system.raw").read_bytes()[:MIB]
    return data[: HEADER.start] + bytes(512) + data[HEADER.stop : MIB] + superblock, data[-MIB:]


@pytest.fixture
def damaged(
    made: Path, table: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Damaged:
    image = tmp_path / "gpt.raw"
    for path in (image, tmp_path / "overlay"):
        with path.open("wb") as file:
            file.write(table[0])
            file.seek(19 * MIB)
            file.write(table[1])
    tree = Path(shutil.copytree(made / "system", tmp_path / "tree", symlinks=True))
    (tree / "etc/fstab").write_text(WRONG.partition("\n")[0].replace("defaults", "defalts") + "\n")
    devices = {"/dev/sda": tmp_path / "overlay", "/dev/sda1": made / "system.raw"}
    appliance = NeedsTable({"/dev/sda1": tree}, devices)
    appliance.broken["/dev/sda1"] = "No such file or directory"

    @contextlib.contextmanager
    def opened(disks: Sequence[SessionDisk], **_options: Any) -> Iterator[Session]:
        known = [Disk("/dev/sda", disks[0].host_path, disks[0].size_bytes)]
        with session_on(appliance, known) as session:
            yield session

    monkeypatch.setattr(overlay_guest, "open_session", opened)
    return Damaged(image, appliance)


def statuses(report: ImageReport) -> dict[str, Status]:
    return {finding.rule: finding.status for finding in report.findings}


def exit_status(report: ImageReport) -> int:
    return Report(images=[report]).exit_status(Severity.ERROR)


def test_the_system_behind_a_broken_table_is_repaired_with_it(damaged: Damaged) -> None:
    report = damaged.repaired()
    assert report.errors == []
    assert statuses(report) == {TABLE: Status.REPAIRED, LINE: Status.REPAIRED}
    assert damaged.appliance.devices["/dev/sda"].read_bytes()[HEADER].startswith(b"EFI PART")
    assert "defalts" not in damaged.fstab
    assert report.outcome is not None
    assert report.outcome.committed
    assert exit_status(report) == 0


def test_a_disk_without_a_system_is_repaired_all_the_same(damaged: Damaged) -> None:
    damaged.appliance.holds_system = False
    report = damaged.repaired()
    assert statuses(report) == {TABLE: Status.REPAIRED}
    assert [error.stage for error in report.errors] == ["system"]
    assert report.outcome is not None
    assert report.outcome.committed
    assert exit_status(report) == 3  # nobody has seen what is in it


def test_without_consent_there_is_no_system_and_nothing_is_written(damaged: Damaged) -> None:
    shown: list[Plan] = []

    def no(plan: Plan) -> bool:
        shown.append(plan)
        return False

    report = damaged.repaired(confirm=no)
    assert [[step.change.kind for step in plan.steps] for plan in shown] == [["write-bytes"]]
    assert statuses(report) == {TABLE: Status.OPEN}
    assert [error.stage for error in report.errors] == ["system"]
    assert report.outcome is not None
    assert not report.outcome.committed
    assert damaged.appliance.calls["pwrite_device"] == 0
    assert exit_status(report) == 3


def test_a_dry_run_shows_the_table_alone(damaged: Damaged) -> None:
    report = damaged.repaired(dry_run="plan")
    assert report.plan is not None
    assert [step.change.kind for step in report.plan.steps] == ["write-bytes"]
    assert damaged.appliance.calls["pwrite_device"] == 0


def test_a_table_is_repaired_though_what_is_wrong_behind_it_is_not(damaged: Damaged) -> None:
    """Consent to the first is not undone by no consent to the second."""
    report = damaged.repaired(ask=lambda finding, _plan: finding.rule == TABLE)
    assert statuses(report) == {TABLE: Status.REPAIRED, LINE: Status.OPEN}
    assert "defalts" in damaged.fstab
    assert report.outcome is not None
    assert report.outcome.committed


def test_a_table_that_cannot_be_written_fails_the_repair(damaged: Damaged) -> None:
    before = damaged.image.read_bytes()
    damaged.appliance.broken["pwrite_device /dev/sda"] = "Input/output error"
    report = damaged.repaired()
    assert statuses(report) == {TABLE: Status.FAILED}
    assert "Input/output error" in report.errors[0].message
    assert exit_status(report) == 4
    assert damaged.image.read_bytes() == before

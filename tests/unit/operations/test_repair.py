"""A whole repair without a machine: what is planned, staged, verified, kept and dropped.

The appliance is one that works on directories of this host; disks, overlays and the transaction are real.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from guestrepair.boot import BootReport
from guestrepair.boot.outcome import Outcome
from guestrepair.disk import Transaction
from guestrepair.disk.attach.location import parse_image_name
from guestrepair.errors import BootError, ImageAccessError, UsageError
from guestrepair.model import Finding, Severity, Status
from guestrepair.operations.options import ImageOptions, ScanOptions, SourceOptions, UserInterface
from guestrepair.operations.repair import RepairOptions, _is_same, repair
from guestrepair.repair.choose import Choice
from guestrepair.repair.plan import Plan
from guestrepair.report import table
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.json import render
from tests.support.schemas import check_report
from tests.unit.operations.staged_appliance import RIGHT, WRONG, appliance, disks, fstab, made
from tests.unit.session.fake_appliance import FakeAppliance
from tests.unit.session.test_session import HOME_UUID

__all__ = ["appliance", "disks", "fstab", "made"]  # fixtures
FSTAB = ScanOptions(only=("fstab",))
ALL = Choice(everything=True)


def repaired(tmp_path: Path, disks: ImageOptions, **how: Any) -> ImageReport:
    """The report of a repair of fstab, its JSON checked."""
    options = RepairOptions(choice=how.pop("choice", ALL), state_dir=tmp_path / "state", **how)
    report = repair(tmp_path / "system.raw", disks, FSTAB, options, UserInterface())
    check_report(render(Report(images=[report])))
    return report


def statuses(report: ImageReport) -> list[tuple[str, Status]]:
    return [(finding.rule, finding.status) for finding in report.findings]


def test_what_is_wrong_is_repaired_and_verified(tmp_path: Path, disks: ImageOptions, fstab: Path) -> None:
    report = repaired(tmp_path, disks)
    assert statuses(report) == [("fstab/bad-option", Status.REPAIRED)]
    assert fstab.read_text() == RIGHT
    assert report.outcome is not None
    assert report.outcome.committed
    assert [Path(p).name[:18] for p in report.outcome.backups] == ["fstab.guestrepair-"]
    assert Report(images=[report]).exit_status(Severity.ERROR) == 0


def test_a_dry_run_plans_and_touches_nothing(tmp_path: Path, disks: ImageOptions, fstab: Path) -> None:
    report = repaired(tmp_path, disks, dry_run="plan")
    assert statuses(report) == [("fstab/bad-option", Status.OPEN)]
    assert report.plan is not None
    assert [step.change.kind for step in report.plan.steps] == ["write-file"]
    assert fstab.read_text() == WRONG


@pytest.mark.parametrize("dry_run", ["plan", "verify", ""])
def test_what_only_all_would_repair_is_counted(
    tmp_path: Path, disks: ImageOptions, fstab: Path, dry_run: str
) -> None:
    fstab.write_text(WRONG.replace("ext4 defalts", "tmpfs defaults,size=1g"))
    report = repaired(tmp_path, disks, dry_run=dry_run, choice=Choice())
    assert report.for_review == 1
    (line,) = (each for each in table.render_image(report).splitlines() if "--all" in each)
    assert line.startswith("1 repair is marked review and left aside; planned, too, by: guestrepair repair ")
    for choice in (ALL, Choice(select=("sshd",))):
        report = repaired(tmp_path, disks, dry_run="plan", choice=choice)
        assert not report.for_review
        assert "--all" not in table.render_image(report)


def test_a_dry_run_that_verifies_keeps_nothing(tmp_path: Path, disks: ImageOptions, fstab: Path) -> None:
    report = repaired(tmp_path, disks, dry_run="verify")
    assert statuses(report) == [("fstab/bad-option", Status.OPEN)]
    assert report.outcome is not None
    assert not report.outcome.committed
    assert fstab.read_text() == RIGHT  # on the overlay, which is gone


def test_whoever_is_asked_decides(tmp_path: Path, disks: ImageOptions, fstab: Path) -> None:
    asked: list[str] = []

    def no(finding: Finding, plan: Plan) -> bool:
        asked.append(f"{finding.rule} {len(plan.steps)}")
        return False

    assert statuses(repaired(tmp_path, disks, ask=no)) == [("fstab/bad-option", Status.OPEN)]
    assert asked == ["fstab/bad-option 1"]
    assert statuses(repaired(tmp_path, disks, confirm=lambda _plan: False)) == [
        ("fstab/bad-option", Status.OPEN)
    ]
    assert fstab.read_text() == WRONG


def test_a_repair_that_does_not_help_is_dropped(
    tmp_path: Path,
    disks: ImageOptions,
    appliance: FakeAppliance,
    fstab: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As if something else had written to it between the repair and the second look.
    unmounted = appliance.umount_all

    def reverting() -> None:
        fstab.write_text(WRONG)
        unmounted()

    monkeypatch.setattr(appliance, "umount_all", reverting)
    report = repaired(tmp_path, disks)
    assert statuses(report) == [("fstab/bad-option", Status.FAILED)]
    assert "the staged repair was dropped" in report.errors[0].message
    assert report.outcome is not None
    assert not report.outcome.committed
    assert Report(images=[report]).exit_status(Severity.ERROR) == 4


def test_a_write_that_fails_leaves_the_image_as_it_was(
    tmp_path: Path, disks: ImageOptions, appliance: FakeAppliance
) -> None:
    before = (tmp_path / "system.raw").read_bytes()
    appliance.broken["write /etc/fstab"] = "No space left on device"
    report = repaired(tmp_path, disks)
    assert "No space left on device" in report.errors[0].message
    assert Report(images=[report]).exit_status(Severity.ERROR) == 4
    assert (tmp_path / "system.raw").read_bytes() == before


def test_what_the_choice_leaves_out_stays_open(tmp_path: Path, disks: ImageOptions, fstab: Path) -> None:
    report = repaired(tmp_path, disks, choice=Choice(select=("fstab/passno",)))
    assert statuses(report) == [("fstab/bad-option", Status.OPEN)]
    assert fstab.read_text() == WRONG


def test_wrong_names_and_a_donor_that_is_the_patient_are_wrong_usage(
    tmp_path: Path, disks: ImageOptions, appliance: FakeAppliance
) -> None:
    del appliance
    with pytest.raises(UsageError, match="nonsense"):
        repaired(tmp_path, disks, choice=Choice(select=("nonsense/rule",)))
    with pytest.raises(UsageError, match="the disk to be repaired itself"):
        repaired(tmp_path, disks, sources=SourceOptions(donors=(tmp_path / "system.raw",)))


# --- more than one round


def whenever_unmounted(
    monkeypatch: pytest.MonkeyPatch, appliance: FakeAppliance, then: Callable[[], None]
) -> None:
    """Do something each time that the appliance has unmounted everything."""
    unmounted = appliance.umount_all

    def unmount() -> None:
        unmounted()
        then()

    monkeypatch.setattr(appliance, "umount_all", unmount)


def test_what_a_repair_uncovers_is_repaired_with_it(
    tmp_path: Path,
    disks: ImageOptions,
    appliance: FakeAppliance,
    fstab: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def uncover() -> None:
        if "/srv" not in fstab.read_text() and "defaults 0 2" in fstab.read_text():
            fstab.write_text(RIGHT + f"UUID={HOME_UUID} /srv ext4 defalts 0 2\n")

    whenever_unmounted(monkeypatch, appliance, uncover)
    report = repaired(tmp_path, disks)
    assert report.errors == []
    assert statuses(report) == [("fstab/bad-option", Status.REPAIRED)] * 2
    assert report.outcome is not None
    assert report.outcome.committed


def test_what_comes_back_again_and_again_is_not_repaired_for_ever(
    tmp_path: Path,
    disks: ImageOptions,
    appliance: FakeAppliance,
    fstab: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[int] = []

    def uncover() -> None:
        if "defalts" not in fstab.read_text():
            lines.append(1)
            more = "".join(f"UUID={HOME_UUID} /srv/{n} ext4 defalts 0 2\n" for n, _ in enumerate(lines))
            fstab.write_text(RIGHT + more)

    whenever_unmounted(monkeypatch, appliance, uncover)
    report = repaired(tmp_path, disks)
    assert len(lines) == 3  # after each of the rounds
    assert "the staged repair was dropped" in report.errors[0].message
    assert Report(images=[report]).exit_status(Severity.ERROR) == 4


# --- the last steps


def came_to(outcome: Outcome) -> BootReport:
    return BootReport(
        outcome=outcome,
        detail="",
        failed_units=(),
        milestones=(),
        seconds=1.0,
        firmware="bios",
        acceleration="tcg",
    )


def below(overlay: Path) -> str:
    """The name of the image below an overlay."""
    named = re.search(rb'"filename":"([^"]+)"', overlay.read_bytes()[:4096])
    assert named is not None
    return Path(named[1].decode()).resolve().name


@pytest.mark.parametrize("outcome", [Outcome.LOGIN, Outcome.EMERGENCY])
def test_what_does_not_boot_is_not_written(
    outcome: Outcome, tmp_path: Path, disks: ImageOptions, fstab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (tmp_path / "system.raw").read_bytes()
    booted: list[tuple[str, ...]] = []

    def prove(overlay: Path, *, further: Sequence[Path]) -> BootReport:
        booted.append(tuple(below(path) for path in (overlay, *further)))
        return came_to(outcome)

    monkeypatch.setattr("guestrepair.boot.prove", prove)
    report = repaired(tmp_path, disks, prove_boot=True)
    assert booted == [("system.raw", "home.raw")]  # with its further disks, or it would wait for them
    assert report.outcome is not None
    assert report.outcome.committed is (outcome is Outcome.LOGIN)
    if outcome is not Outcome.LOGIN:
        assert statuses(report) == [("fstab/bad-option", Status.FAILED)]
        assert "the repaired overlay does not boot" in report.errors[0].message
        assert Report(images=[report]).exit_status(Severity.ERROR) == 4
        assert (tmp_path / "system.raw").read_bytes() == before


def test_a_boot_of_what_is_dropped_is_refused_at_once(
    tmp_path: Path, disks: ImageOptions, appliance: FakeAppliance
) -> None:
    with pytest.raises(UsageError, match="--prove-boot"):
        repaired(tmp_path, disks, dry_run="verify", prove_boot=True)
    assert not appliance.calls


def test_a_commit_that_fails_is_said_to_have_failed(
    tmp_path: Path, disks: ImageOptions, fstab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_what: object, **_more: object) -> None:
        raise ImageAccessError("no space left for the undo data")

    monkeypatch.setattr(Transaction, "commit", full)
    report = repaired(tmp_path, disks)
    assert statuses(report) == [("fstab/bad-option", Status.FAILED)]
    assert [error.message for error in report.errors] == ["no space left for the undo data"]
    assert report.outcome is not None
    assert not report.outcome.committed


def test_a_donor_at_another_address_is_another_disk(tmp_path: Path, disks: ImageOptions, fstab: Path) -> None:
    """Of what lies elsewhere only the name can be compared."""
    one, other = parse_image_name("https://host/a.raw"), parse_image_name("https://host/b.raw")
    assert _is_same(one, parse_image_name("https://host/a.raw"))
    assert not _is_same(one, other)
    assert not _is_same(one, tmp_path / "system.raw")
    (tmp_path / "link.raw").symlink_to("system.raw")
    with pytest.raises(UsageError, match="the disk to be repaired itself"):
        repaired(tmp_path, disks, sources=SourceOptions(donors=(tmp_path / "link.raw",)))


def test_what_could_not_be_booted_is_not_called_repaired(
    tmp_path: Path, disks: ImageOptions, fstab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prove(_overlay: Path, **_more: object) -> BootReport:
        raise BootError("qemu-system-x86_64 is not installed")

    before = (tmp_path / "system.raw").read_bytes()
    monkeypatch.setattr("guestrepair.boot.prove", prove)
    report = repaired(tmp_path, disks, prove_boot=True)
    assert statuses(report) == [("fstab/bad-option", Status.FAILED)]
    assert [error.message for error in report.errors] == ["qemu-system-x86_64 is not installed"]
    assert report.outcome is not None
    assert not report.outcome.committed
    assert (tmp_path / "system.raw").read_bytes() == before

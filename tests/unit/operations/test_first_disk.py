"""What of a plan lies on a further disk is left, files and devices alike."""

from __future__ import annotations

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.model import Change, Finding, GuestPath, Repair, RunFsck, Safety, SetMode, Severity
from guestrepair.operations.first_disk import on_first_disk
from guestrepair.repair.plan import Plan, Step

BLOCK = BlockDevices(
    (Disk("/dev/sda", "a", 1), Disk("/dev/sdb", "b", 1)),
    (
        BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1, disk="/dev/sda"),
        BlockDevice("/dev/sdb1", DeviceKind.PARTITION, 1, disk="/dev/sdb"),
    ),
)
MOUNTS = (Mount("/dev/sda1", "/", "ext4"), Mount("/dev/sdb1", "/srv", "ext4"))


def test_files_and_filesystems_of_a_further_disk_are_left() -> None:
    changes: list[Change] = [
        SetMode(path=GuestPath("/srv/x"), before=0o777, after=0o755),
        RunFsck(device="/dev/sdb1", filesystem="ext4"),
        SetMode(path=GuestPath("/etc"), before=0o777, after=0o755),
        RunFsck(device="/dev/sda1", filesystem="ext4"),
    ]
    findings = tuple(
        Finding(f"a/{n}", Severity.ERROR, str(n), "", repair=Repair("", Safety.REVIEW, (change,)))
        for n, change in enumerate(changes)
    )
    plan = on_first_disk(Plan(findings, tuple(map(Step, changes))), BLOCK, MOUNTS)
    assert plan.findings == findings[2:]
    assert [step.change for step in plan.steps] == changes[2:]
    assert [left.finding for left in plan.left] == list(findings[:2])


def test_a_plan_for_the_first_disk_stays_as_it_is() -> None:
    plan = Plan((), (Step(RunFsck(device="/dev/sda1", filesystem="ext4")),))
    assert on_first_disk(plan, BLOCK, MOUNTS) is plan

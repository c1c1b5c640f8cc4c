"""What of a plan lies on a further disk is left, files and devices alike; so is what would be hidden."""

from __future__ import annotations

import pytest

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    Change,
    EditFile,
    Finding,
    GuestPath,
    MakeDirectory,
    Repair,
    RunFsck,
    Safety,
    SetMode,
    Severity,
    WriteFile,
)
from guestrepair.operations.first_disk import on_first_disk

SDA1 = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1, "ext4", disk="/dev/sda", parents=("/dev/sda",))
SDB1 = BlockDevice("/dev/sdb1", DeviceKind.PARTITION, 1, "ext4", disk="/dev/sdb", parents=("/dev/sdb",))
DISKS = (Disk("/dev/sda", "a", 1), Disk("/dev/sdb", "b", 1))
ROOT, SRV = Mount("/dev/sda1", "/", "ext4"), Mount("/dev/sdb1", "/srv", "ext4")


def guest(
    *devices: BlockDevice,
    mounts: tuple[Mount, ...] = (ROOT, SRV),
    unmounted: tuple[tuple[str, str], ...] = (),
) -> MemoryGuest:
    made = MemoryGuest(block=BlockDevices(DISKS, devices or (SDA1, SDB1)), mounts=mounts)
    made.unmounted = unmounted
    for path in ("/srv", "/etc"):
        made.directory(path)
    return made


def finding(*changes: Change) -> Finding:
    return Finding("a/b", Severity.ERROR, str(changes), "", repair=Repair("", Safety.REVIEW, changes))


def reasons(where: MemoryGuest, *changes: Change) -> list[str]:
    """Why each change, in a finding of its own, is left; "" where it is not."""
    found = []
    for change in changes:
        kept, left = on_first_disk([finding(change)], where)
        assert len(kept) + len(left) == 1
        found.append(left[0].reason if left else "")
    return found


def mode(path: str) -> SetMode:
    return SetMode(path=GuestPath(path), before=0o777, after=0o755)


def directory(path: str) -> MakeDirectory:
    return MakeDirectory(path=GuestPath(path), mode=0o755)


def test_files_and_filesystems_of_a_further_disk_are_left() -> None:
    changes: list[Change] = [
        mode("/srv/x"),
        RunFsck(device="/dev/sdb1", filesystem="ext4"),
        mode("/etc"),
        RunFsck(device="/dev/sda1", filesystem="ext4"),
    ]
    findings = [finding(change) for change in changes]
    kept, left = on_first_disk(findings, guest())
    assert kept == findings[2:]
    assert [each.finding for each in left] == findings[:2]


def test_a_finding_is_left_whole() -> None:
    both = finding(mode("/etc"), mode("/srv/x"))
    assert on_first_disk([both], guest())[0] == []


def test_a_link_to_a_further_disk_leads_to_a_further_disk() -> None:
    where = guest()
    where.link("/data", "/srv/data")
    where.directory("/srv/data")
    there, deep = reasons(where, mode("/data/x"), directory("/data/not/there/yet"))
    assert "further disk" in there
    assert "further disk" in deep


def test_a_root_on_a_further_disk_is_not_written() -> None:
    swapped = guest(mounts=(Mount("/dev/sdb1", "/", "ext4"), Mount("/dev/sda1", "/boot", "ext4")))
    swapped.directory("/boot")
    assert ["further" in reason for reason in reasons(swapped, mode("/etc"), mode("/boot/x"))] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    "devices",
    [
        (BlockDevice("/dev/vg/root", DeviceKind.LOGICAL_VOLUME, 1, "ext4", disk="/dev/sda",
                     parents=("/dev/sda1", "/dev/sdb1")),),
        (BlockDevice("/dev/mapper/c", DeviceKind.CRYPT, 1, "ext4", disk="/dev/sda",
                     parents=("/dev/vg/root",)),
         BlockDevice("/dev/vg/root", DeviceKind.LOGICAL_VOLUME, 1, "crypto_LUKS", disk="/dev/sda",
                     parents=("/dev/sda1", "/dev/sdb1"))),
    ],
)  # fmt: skip
def test_a_volume_over_two_disks_is_not_written_by_halves(devices: tuple[BlockDevice, ...]) -> None:
    members = guest(SDA1, SDB1, *devices, mounts=(Mount(devices[0].name, "/", "ext4"),))
    fsck = RunFsck(device=devices[0].name, filesystem="ext4")
    assert all("several disks" in reason for reason in reasons(members, mode("/etc"), fsck))
    alone = guest(SDA1, mounts=(Mount("/dev/sda1", "/", "ext4"),))
    assert reasons(alone, mode("/etc")) == [""]


def test_a_btrfs_over_two_disks_is_not_written_by_halves() -> None:
    halves = [
        BlockDevice(f"/dev/sd{n}1", DeviceKind.PARTITION, 1, "btrfs", "same", disk=f"/dev/sd{n}")
        for n in "ab"
    ]
    (reason,) = reasons(guest(*halves, mounts=(Mount("/dev/sda1", "/", "btrfs"),)), mode("/etc"))
    assert "several disks" in reason


def test_where_an_array_lies_on_two_disks_nothing_is_written() -> None:
    array = BlockDevice(
        "/dev/md0", DeviceKind.MD, 1, "ext4", disk="/dev/sda", parents=("/dev/sda1", "/dev/sdb1")
    )
    where = guest(SDA1, SDB1, array, mounts=(ROOT, Mount("/dev/md0", "/home", "ext4")))
    assert all("array" in reason for reason in reasons(where, mode("/etc"), mode("/home/x")))


def test_below_a_mount_point_that_is_not_mounted_nothing_is_written_but_the_point_itself_is_made() -> None:
    where = guest(unmounted=(("/srv/data", "the mount point is not there"), ("/var", "no such device")))
    where.mounts = (ROOT,)
    table = EditFile(path=GuestPath("/etc/fstab"), before=b"", edits=())
    below = WriteFile(path=GuestPath("/srv/data/x"), before=None, after=b"")
    found = reasons(where, directory("/srv/data"), below, mode("/var"), mode("/srv"), table)
    assert ["not mounted" in reason for reason in found] == [False, True, True, False, False]


def test_the_tables_themselves_are_repaired_whatever_they_say_of_etc() -> None:
    where = guest(mounts=(ROOT,), unmounted=(("/etc", "UUID=x is on none of the disks"),))
    table = EditFile(path=GuestPath("/etc/fstab"), before=b"", edits=())
    assert reasons(where, table) == [""]
    assert reasons(where, mode("/etc/passwd")) != [""]

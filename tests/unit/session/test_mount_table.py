"""Mounts: their options, which of them wait for the appliance, and what one that fails means."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from guestrepair.appliance.background import Starting
from guestrepair.appliance.handle import Handle, Machine
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import GuestReadError
from guestrepair.formats.superblock import ExtDetails
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.session.device_access import DevicesRead
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.mount_table import MountTable, mount_options, mountable
from tests.oracle.filesystems.test_btrfs_tree import nested
from tests.support.sparse import write_sparse
from tests.unit.formats.btrfs_images import SIZE
from tests.unit.session.fake_appliance import FakeAppliance

XFS = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1, "xfs", disk="/dev/sda")
FAT = BlockDevice("/dev/sda2", DeviceKind.PARTITION, 1, "vfat", disk="/dev/sda")
BTRFS = BlockDevice("/dev/sda3", DeviceKind.PARTITION, 1, "btrfs", disk="/dev/sda")


@pytest.mark.parametrize(
    ("content", "subvolume", "writable", "expected"),
    [
        ("ext4", "", False, "ro"),
        ("ext4", "", True, "rw"),
        ("xfs", "", False, "ro,nouuid"),
        ("xfs", "", True, "rw,nouuid"),
        ("btrfs", "@/home", False, "ro,subvol=@/home"),
        ("vfat", "", True, "rw"),
        ("", "", False, "ro"),
    ],
)
def test_options_of_a_mount(content: str, subvolume: str, writable: bool, expected: str) -> None:
    assert mount_options(content, subvolume=subvolume, writable=writable) == expected


def test_a_subvolume_has_a_name_of_its_own() -> None:
    assert mountable(XFS) == "/dev/sda1"
    assert mountable(BTRFS, "@") == "btrfsvol:/dev/sda3/@"


class Late:
    """A launch that goes on until it is told to end."""

    def __init__(self, appliance: FakeAppliance) -> None:
        self.go = threading.Event()
        self.starting = Starting(self._start, self.go.set)
        self.appliance = appliance
        self.table = MountTable(self.starting, HostDisks({}, lambda: None))

    def _start(self, _this: Starting) -> Handle:
        assert self.go.wait(30)
        return cast("Handle", self.appliance)


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Late]:
    (tmp_path / "a").write_text("")
    trees = dict.fromkeys(("/dev/sda1", "/dev/sda2", "/dev/sda3", "btrfsvol:/dev/sda3/@"), tmp_path)
    made = Late(FakeAppliance(trees, {}))
    yield made
    made.go.set()
    made.table.close()
    made.starting.end()


def test_a_mount_without_doubt_waits_for_the_appliance_and_is_made_once(late: Late) -> None:
    assert late.table.mount(XFS) == "/m0"
    assert late.table.mount(FAT) == "/m1"
    assert late.table.mount(XFS) == "/m0"
    assert not late.starting.started
    late.starting.handle()
    late.table.settle()
    assert late.appliance.mounted == {"/m0": ("/dev/sda1", "ro,nouuid"), "/m1": ("/dev/sda2", "ro")}
    assert late.table.contradicted == ""


def test_a_doubtful_mount_is_made_at_once_and_after_those_that_wait(late: Late) -> None:
    late.table.mount(XFS)
    assert late.table.mount(BTRFS, "@") == "/m1"
    assert list(late.appliance.mounted) == ["/m0", "/m1"]
    assert late.appliance.mounted["/m1"] == ("btrfsvol:/dev/sda3/@", "ro")


def test_a_subvolume_that_the_host_reads_is_mounted_later_and_one_that_it_does_not_find_at_once(
    late: Late, tmp_path: Path
) -> None:
    image, _ = nested()
    write_sparse(tmp_path / "image.raw", image.finish())
    (tmp_path / "private").mkdir()
    overlay = create_overlay(tmp_path / "private", examine(tmp_path / "image.raw"))
    disk = BlockDevice("/dev/sdb", DeviceKind.DISK, SIZE, "btrfs", disk="/dev/sdb")
    late.appliance.trees |= {f"btrfsvol:/dev/sdb/{name}": tmp_path for name in ("d/a", "none")}
    late.table.disks = HostDisks({"/dev/sdb": overlay}, lambda: None)
    late.table.mount(disk, "d/a")
    assert not late.starting.started
    late.go.set()
    late.table.mount(disk, "none")
    assert [device for device, _ in late.appliance.mounted.values()] == [
        "btrfsvol:/dev/sdb/d/a", "btrfsvol:/dev/sdb/none",
    ]  # fmt: skip
    late.table.disks.close()


def test_a_mount_that_waited_and_fails_contradicts_what_was_read(late: Late) -> None:
    late.appliance.broken["/dev/sda1"] = "bad superblock"
    late.table.mount(XFS)
    late.starting.handle()
    late.table.settle()
    assert "bad superblock" in late.table.contradicted
    late.table.distrust()
    assert late.table.contradicted == ""
    with pytest.raises(GuestReadError, match="bad superblock"):
        late.table.mount(XFS)
    assert not late.table.disks.trusted


def test_a_mount_that_fails_is_not_tried_again(late: Late) -> None:
    late.appliance.broken["/dev/sda3"] = "bad tree"
    for _ in range(2):
        with pytest.raises(GuestReadError, match="bad tree"):
            late.table.mount(BTRFS)
    assert late.appliance.calls["mount_options"] == 1


def test_a_log_that_was_replayed_is_written_out_by_an_unmount(late: Late) -> None:
    in_use = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1, "xfs", disk="/dev/sda", unclean=True)
    late.table.mount(in_use)
    assert (late.appliance.calls["mount_options"], late.appliance.calls["umount"]) == (2, 1)


def test_ext_is_mounted_by_the_copy_of_its_superblock_that_is_sound(late: Late) -> None:
    details = ExtDetails(
        last_mounted="/", state=1, has_journal_to_replay=False, error_count=0, first_error_time=0,
        last_error_time=0, mount_time=0, write_time=0, block_count=1 << 20, block_size_bytes=4096,
        backup_superblock=32768,
    )  # fmt: skip
    damaged = BlockDevice("/dev/sda3", DeviceKind.PARTITION, 1, "ext4", disk="/dev/sda", ext=details)
    late.table.mount(damaged)
    assert late.appliance.mounted["/m0"] == ("/dev/sda3", "ro,sb=131072")


def test_below_a_root_the_same_is_mounted_once(late: Late) -> None:
    late.table.mount(BTRFS)
    (late.appliance.trees["/dev/sda3"] / "boot").mkdir()
    late.appliance.trees["/dev/sda3"] = late.appliance.trees["/dev/sda3"]
    for _ in range(2):
        late.table.mount_below(XFS, "", "/m0/boot", writable=True)
    assert late.appliance.calls["mount_options"] == 2
    assert late.appliance.mounted["/m0/boot"] == ("/dev/sda1", "rw,nouuid")
    late.table.mount_below(FAT, "", "/m0/boot")  # another one lies over it
    late.table.settle()
    assert late.appliance.mounted["/m0/boot"][0] == "/dev/sda2"


def test_after_clearing_each_filesystem_gets_its_own_prefix_again(late: Late) -> None:
    late.table.mount(BTRFS)
    late.table.mount(XFS)
    late.table.clear()
    assert late.appliance.mounted == {}
    assert late.table.mount(XFS) == "/m1"
    late.table.settle()
    assert list(late.appliance.mounted) == ["/m1"]
    assert late.appliance.calls["mkmountpoint"] == 2


def test_top_names_come_from_the_host_or_from_a_mount(late: Late) -> None:
    assert late.table.names(XFS) == ("a",)
    assert late.appliance.mounted["/m0"][0] == "/dev/sda1"


def test_files_of_a_volume_that_is_not_mounted(late: Late, tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    (seed / "latest/latest").mkdir(parents=True)
    (seed / "meta-data").write_bytes(b"instance-id: a\n")
    (seed / "empty").touch()
    (seed / "latest/latest/user_data").write_bytes(b"x")
    (seed / "link").symlink_to("meta-data")
    (seed / "way").symlink_to("latest")
    late.appliance.trees["/dev/sda1"] = seed
    late.go.set()
    devices = DevicesRead(
        cast("Machine", late.starting), BlockDevices(devices=(XFS,)), late.table, cast("Toolbox", None)
    )
    assert devices.peek_file("/dev/sda1", "meta-data", 100) == b"instance-id: a\n"
    assert devices.peek_file("/dev/sda1", "empty", 100) == b""
    assert devices.peek_file("/dev/sda1", "latest/latest/user_data", 100) == b"x"
    for none in ("user-data", "link", "latest", "way/latest/user_data", "meta-data/x", "latest/none"):
        assert devices.peek_file("/dev/sda1", none, 100) is None
    with pytest.raises(GuestReadError, match="larger than 3 bytes"):
        devices.peek_file("/dev/sda1", "meta-data", 3)
    with pytest.raises(GuestReadError, match="no filesystem"):
        devices.peek_file("/dev/sdb1", "meta-data", 100)
    late.appliance.broken["pread /m0/meta-data"] = "Input/output error"
    with pytest.raises(GuestReadError, match="Input/output error"):
        devices.peek_file("/dev/sda1", "meta-data", 100)


def test_last_writes_that_fail_at_an_unmount_are_said(late: Late) -> None:
    late.table.mount(BTRFS)
    late.appliance.broken["umount_all"] = "Input/output error"
    with pytest.raises(GuestReadError, match="Input/output error"):
        late.table.clear()

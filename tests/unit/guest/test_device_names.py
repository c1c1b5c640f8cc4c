"""What a source of fstab means among the given disks, whatever names they have on this host."""

from __future__ import annotations

import pytest

from guestrepair.appliance.keys import Key, KeyRing, parse_key
from guestrepair.appliance.launch import device_name
from guestrepair.errors import UsageError
from guestrepair.guest.device_names import escape_link, resolve_source
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk


def part(disk: str, number: int, uuid: str, label: str = "") -> BlockDevice:
    return BlockDevice(
        f"{disk}{number}", DeviceKind.PARTITION, 1 << 30, "ext4", uuid, label, part_number=number, disk=disk
    )


ONE = BlockDevices(
    (Disk("/dev/sda", "a", 1),), (part("/dev/sda", 1, "AB-1"), part("/dev/sda", 2, "cd-2", "d x"))
)
TWO = BlockDevices(
    (Disk("/dev/sda", "a", 1), Disk("/dev/sdb", "b", 1)),
    (
        *ONE.devices,
        part("/dev/sdb", 1, "ef-3"),
        BlockDevice("/dev/v-g/lv", DeviceKind.LOGICAL_VOLUME, 1, "xfs"),
    ),
)


@pytest.mark.parametrize(
    ("source", "block", "name"),
    [
        ("UUID=ab-1", ONE, "/dev/sda1"),
        ('UUID="cd-2"', ONE, "/dev/sda2"),
        ("/dev/disk/by-label/d\\x20x", ONE, "/dev/sda2"),
        ("/dev/vdb2", ONE, "/dev/sda2"),
        ("/dev/nvme0n1p2", TWO, "/dev/sda2"),
        ("/dev/xvdb1", TWO, "/dev/sdb1"),
        ("/dev/mapper/v--g-lv", TWO, "/dev/v-g/lv"),
        ("/dev/v-g/lv", TWO, "/dev/v-g/lv"),
    ],
)
def test_a_source_is_found(source: str, block: BlockDevices, name: str) -> None:
    assert [d.name for d in resolve_source(source, block)] == [name]


@pytest.mark.parametrize("source", ["UUID=zz", "UUID=", "/dev/sdc1", "tmpfs", "LABEL=", "/dev/disk/by-id/x"])
def test_a_source_that_is_none_of_them(source: str) -> None:
    assert resolve_source(source, TWO) == ()


@pytest.mark.parametrize(
    ("source", "exact", "leniently"),
    [
        ("UUID=ab-1", [], ["/dev/sda1"]),
        ("UUID=AB-1", ["/dev/sda1"], ["/dev/sda1"]),
        ("/dev/disk/by-uuid/ab-1", [], ["/dev/sda1"]),
        ("/dev/vdb2", [], ["/dev/sda2"]),
        ("LABEL=D X", [], []),
        ("uuid=cd-2", ["/dev/sda2"], ["/dev/sda2"]),
        ("UUID='cd-2'", ["/dev/sda2"], ["/dev/sda2"]),
    ],
)
def test_the_guest_itself_finds_less_than_one_who_only_looks(
    source: str, exact: list[str], leniently: list[str]
) -> None:
    assert [d.name for d in resolve_source(source, ONE, exact=True)] == exact
    assert [d.name for d in resolve_source(source, ONE)] == leniently


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("label", ["d x", "caf\u00e9", "\u65e5\u672c", "a/b", "a\\b", "\udcff"])
def test_a_label_is_found_by_the_link_that_udev_makes_for_it(label: str, exact: bool) -> None:
    block = BlockDevices(ONE.disks, (part("/dev/sda", 1, "x", label),))
    for link in (escape_link(label), "".join(f"\\x{b:02x}" for b in label.encode(errors="surrogateescape"))):
        found = resolve_source(f"/dev/disk/by-label/{link}", block, exact=exact)
        assert [d.name for d in found] == ["/dev/sda1"]


@pytest.mark.parametrize("exact", [True, False])
def test_xen_names_a_disk_without_partitions_as_if_it_had_one(exact: bool) -> None:
    disk = BlockDevice("/dev/sda", DeviceKind.DISK, 1, "ext4", disk="/dev/sda")
    block = BlockDevices((Disk("/dev/sda", "a", 1),), (disk,))
    assert resolve_source("/dev/xvda1", block, exact=exact) == (disk,)
    assert resolve_source("/dev/vda1", block, exact=exact) == ()


@pytest.mark.parametrize("exact", [True, False])
def test_of_a_container_and_what_carries_its_uuid_the_filesystem_is_meant(exact: bool) -> None:
    member = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1, "linux_raid_member", "same", disk="/dev/sda")
    array = BlockDevice("/dev/md127", DeviceKind.MD, 1, "ext4", "same")
    block = BlockDevices((Disk("/dev/sda", "a", 1),), (member, array))
    assert resolve_source("UUID=same", block, exact=exact) == (array,)
    assert resolve_source("UUID=same", BlockDevices(block.disks, (member,)), exact=exact) == (member,)


def test_drive_names_count_as_the_kernel_does() -> None:
    assert [device_name(i) for i in (0, 25, 26, 27, 701, 702)] == [
        "/dev/sda", "/dev/sdz", "/dev/sdaa", "/dev/sdab", "/dev/sdzz", "/dev/sdaaa",
    ]  # fmt: skip


def test_keys() -> None:
    assert parse_key("/dev/sda2:key:a:b") == Key("/dev/sda2", "a:b")
    assert parse_key("all:key:x") == parse_key("key:x") == Key("", "x")
    ring = KeyRing((Key("", "any"), Key("cd-2", "own")))
    assert list(ring.candidates(ONE.devices[1])) == ["own", "any"]
    assert list(ring.candidates(ONE.devices[0])) == ["any"]
    for bad in ("secret", "file:/no/such/file"):
        with pytest.raises(UsageError):
            parse_key(bad)

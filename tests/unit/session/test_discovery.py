"""What is found on the disks beyond partitions: arrays, volumes, containers, subvolumes."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from guestrepair.appliance.keys import KeyRing, parse_key
from guestrepair.formats.superblock.checksums import crc32_lvm
from guestrepair.guest.devices import DeviceKind, Disk
from guestrepair.session.discovery import Discovery, read_device
from tests.oracle.filesystems.test_btrfs_tree import nested
from tests.support.sparse import copy_sparse, write_sparse
from tests.unit.session.fake_appliance import FakeAppliance, Running

MIB = 1 << 20


def disk(name: str, image: Path) -> Disk:
    return Disk(name, str(image), image.stat().st_size)


def found(appliance: FakeAppliance, *keys: str) -> Discovery:
    discovery = Discovery(Running(appliance), KeyRing([parse_key(key) for key in keys]))
    discovery.run(
        [disk(name, image) for name, image in appliance.devices.items() if name.startswith("/dev/sd")]
    )
    return discovery


def blank(path: Path, size_bytes: int = 4 * MIB) -> Path:
    return write_sparse(path, bytes(size_bytes))


def ext4(path: Path) -> Path:
    subprocess.run(["mke2fs", "-q", "-t", "ext4", path, "4M"], check=True)
    return path


def with_bytes(path: Path, at: int, content: bytes) -> Path:
    blank(path)
    with path.open("r+b") as out:
        out.seek(at)
        out.write(content)
    return path


def raid_member(path: Path) -> Path:
    """Metadata 0.90 (md_p.h): in the last 64 KiB, its magic first, the size in KiB at byte 32."""
    return with_bytes(
        path, 4 * MIB - (64 << 10), struct.pack("<8I", 0xA92B4EFC, 0, 90, 0, 0, 1, 0, 1) + b"\1\0\0\0"
    )


def physical_volume(path: Path, uuid: bytes = b"a" * 32) -> Path:
    """Its label, in the second sector (lvm2, format_text/layout.h)."""
    checked = struct.pack("<I", 32) + b"LVM2 001" + uuid + bytes(512 - 64)
    return with_bytes(path, 512, b"LABELONE" + struct.pack("<QI", 1, crc32_lvm(checked)) + checked)


def btrfs(path: Path) -> Path:
    """A superblock with a checksum that is not CRC-32C."""
    block = bytes(32) + b"u" * 16 + struct.pack("<QQ", 65536, 1) + b"_BHRfS_M" + bytes(124) + b"\1\0"
    return with_bytes(path, 65536, block.ljust(4096, b"\0"))


def luks(path: Path) -> Path:
    write_sparse(path, bytes(20 * MIB))
    command = "cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
    subprocess.run([*command.split(), path, "-"], input=b"secret", check=True)
    return path


def test_an_array_lies_on_its_members(tmp_path: Path) -> None:
    halves = {f"/dev/sd{letter}": raid_member(tmp_path / letter) for letter in "ab"}
    appliance = FakeAppliance({}, halves | {"/dev/md127": ext4(tmp_path / "md")})
    appliance.arrays["/dev/md127"] = ["/dev/sda", "/dev/sdb"]
    device = found(appliance).block().get("/dev/md127")
    assert device is not None
    assert (device.kind, device.content, device.parents) == (DeviceKind.MD, "ext4", ("/dev/sda", "/dev/sdb"))
    assert device.disk == "/dev/sda"


def test_arrays_that_cannot_be_listed_are_said_of_their_members(tmp_path: Path) -> None:
    appliance = FakeAppliance({}, {"/dev/sda": raid_member(tmp_path / "a")})
    appliance.broken["list_md_devices"] = "no such call"
    ((name, reason),) = found(appliance).unread
    assert name == "/dev/sda"
    assert reason.startswith("member of an array: ")


def test_a_volume_lies_on_the_physical_volumes_of_its_group(tmp_path: Path) -> None:
    uuids = {"/dev/sda": b"a" * 32, "/dev/sdb": b"b" * 32}
    disks = {name: physical_volume(tmp_path / name[-1], uuid) for name, uuid in uuids.items()}
    appliance = FakeAppliance({}, disks | {"/dev/vg/root": ext4(tmp_path / "root")})
    appliance.volumes["/dev/vg/root"] = ["b" * 32]
    discovery = found(appliance)
    volume = discovery.block().get("/dev/vg/root")
    assert volume is not None
    assert (volume.kind, volume.content, volume.parents) == (DeviceKind.LOGICAL_VOLUME, "ext4", ("/dev/sdb",))
    assert discovery.unread == []


def test_a_group_that_is_damaged_is_said_of_its_members(tmp_path: Path) -> None:
    appliance = FakeAppliance({}, {"/dev/sda": physical_volume(tmp_path / "a")})
    appliance.broken["lvm_scan"] = "checksum error"
    assert found(appliance).unread == [
        ("/dev/sda", "LVM physical volume: lvm_scan: lvm_scan: checksum error")
    ]


def test_a_device_whose_size_cannot_be_told_is_said(tmp_path: Path) -> None:
    appliance = FakeAppliance({}, {"/dev/sda": physical_volume(tmp_path / "a")})
    appliance.volumes["/dev/vg/root"] = []
    appliance.broken["/dev/vg/root"] = "No such device"
    discovery = found(appliance)
    assert [name for name, _ in discovery.unread] == ["/dev/vg/root"]
    assert discovery.block().get("/dev/vg/root") is None


def test_a_container_is_opened_by_the_key_that_fits(tmp_path: Path) -> None:
    image = luks(tmp_path / "luks")
    appliance = FakeAppliance({}, {"/dev/sda": image})
    discovery = found(appliance, "key:wrong")
    assert [device.name for device in discovery.locked] == ["/dev/sda"]
    assert appliance.calls["cryptsetup_open"] == 1
    container = discovery.locked[0]
    inside = f"/dev/mapper/luks-{container.uuid}"
    appliance.devices[inside] = ext4(tmp_path / "inside")
    appliance.keys["/dev/sda"] = "secret"
    discovery = found(appliance, "key:wrong", "key:secret")
    assert discovery.locked == []
    opened = discovery.block().get(inside)
    assert opened is not None
    assert (opened.kind, opened.content, opened.parents) == (DeviceKind.CRYPT, "ext4", ("/dev/sda",))


@pytest.mark.parametrize("broken", [False, True])
def test_subvolumes_are_listed_once_for_all_members(tmp_path: Path, broken: bool) -> None:
    appliance = FakeAppliance({}, {f"/dev/sd{letter}": btrfs(tmp_path / letter) for letter in "ab"})
    appliance.subvolumes["/dev/sda"] = [("@", 256), ("@home", 257)]
    if broken:
        appliance.broken["btrfs_subvolume_list /dev/sda"] = "Input/output error"
    discovery = found(appliance)
    expected = ((), ()) if broken else (("@", "@home"), (256, 257))
    assert [(d.subvolumes, d.subvolume_ids) for d in discovery.block().devices] == [expected] * 2
    assert bool(discovery.unread) == broken
    assert appliance.calls["btrfs_subvolume_list"] == 1


def test_subvolumes_that_the_host_reads_are_not_asked_for(tmp_path: Path) -> None:
    image, _ = nested()
    write_sparse(tmp_path / "a", image.finish())
    appliance = FakeAppliance({}, {"/dev/sda": tmp_path / "a"})
    (device,) = found(appliance).block().devices
    assert (device.subvolumes, device.subvolume_ids) == (("d/a", "d/a/b"), (300, 301))
    assert appliance.calls["btrfs_subvolume_list"] == 0
    # Of two with one identity the kernel may take either.
    copy_sparse(tmp_path / "a", tmp_path / "b")
    appliance = FakeAppliance({}, {f"/dev/sd{letter}": tmp_path / letter for letter in "ab"})
    appliance.subvolumes["/dev/sda"] = [("@", 256)]
    assert [d.subvolumes for d in found(appliance).block().devices] == [("@",)] * 2


def test_a_disk_that_cannot_be_read_is_a_device_that_nothing_is_known_of(tmp_path: Path) -> None:
    appliance = FakeAppliance({}, {"/dev/sda": blank(tmp_path / "a")})
    appliance.broken["pread_device /dev/sda"] = "Input/output error"
    discovery = found(appliance)
    assert [device.content for device in discovery.block().devices] == [""]
    assert {name for name, _ in discovery.unread} == {"/dev/sda"}


def test_partitions_lie_where_the_table_says_and_one_cut_off_is_said(tmp_path: Path) -> None:
    image = blank(tmp_path / "a", 8 * MIB)
    table = "label: gpt\nstart=2048, size=4096\nstart=8192, size=4096\n"
    subprocess.run(["sfdisk", "-q", image], input=table, text=True, check=True)
    appliance = FakeAppliance({}, {"/dev/sda": image})
    devices = found(appliance).block().devices
    assert [(d.name, d.start_bytes, d.size_bytes) for d in devices] == [
        ("/dev/sda1", 2048 * 512, 4096 * 512), ("/dev/sda2", 8192 * 512, 4096 * 512),
    ]  # fmt: skip
    with image.open("r+b") as out:
        out.truncate(5 * MIB)
    assert any("cut off" in reason for _, reason in found(appliance).unread)


def test_a_device_is_read_piece_by_piece_up_to_its_end(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096 * 3
    (tmp_path / "a").write_bytes(content)
    appliance = FakeAppliance({}, {"/dev/sda": tmp_path / "a"})
    handle = Running(appliance).handle()
    assert read_device(handle, "/dev/sda", 10, 2 * MIB) == content[10 : 10 + 2 * MIB]
    assert read_device(handle, "/dev/sda", len(content) - 5, 2 * MIB) == content[-5:]
    calls = appliance.calls["pread_device"]
    assert read_device(handle, "/dev/sda", 1 << 62, 10) == b""
    assert appliance.calls["pread_device"] == calls

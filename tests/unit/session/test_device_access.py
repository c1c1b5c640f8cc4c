"""Filesystems that are not mounted: the host looks into them where it is certain, else they are mounted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from guestrepair.appliance.background import Starting
from guestrepair.appliance.handle import Handle
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk
from guestrepair.session.device_access import DevicesRead
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.mount_table import MountTable
from tests.unit.formats import fat_images
from tests.unit.session.fake_appliance import FakeAppliance

NAME = "/dev/sda"


@dataclass
class Opened:
    """One disk with a filesystem on it, and the appliance that would mount it."""

    devices: DevicesRead
    appliance: FakeAppliance


def ext4(folder: Path, top: Path) -> Path:
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", top, folder / "image.raw", "8M"], check=True)
    return folder / "image.raw"


def vfat(folder: Path, top: Path) -> Path:
    image = folder / "image.raw"
    fat_images.make(image, "16")
    for each in top.iterdir():
        if not each.is_symlink():
            fat_images.mtools("mcopy", image, "-s", each, "::")
    return image


@pytest.fixture(params=[ext4, vfat])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    yield from _opened(request.param.__name__, tmp_path, 512)


def _opened(kind: str, tmp_path: Path, sector: int, *, broken: str = "") -> Iterator[Opened]:
    top = tmp_path / "seed"
    (top / "latest" / "inner").mkdir(parents=True)
    (top / "meta-data").write_bytes(b"instance-id: a\n")
    (top / "empty").touch()
    (top / "latest" / "inner" / "user_data").write_bytes(b"x")
    (top / "link").symlink_to("meta-data")
    image = {"ext4": ext4, "vfat": vfat}[kind](tmp_path, top)
    (tmp_path / "private").mkdir()
    overlay = create_overlay(tmp_path / "private", examine(image))
    size = image.stat().st_size
    appliance = FakeAppliance({NAME: top}, {NAME: image})
    if broken:
        appliance.broken[NAME] = broken
    starting = Starting(lambda _this: cast("Handle", appliance), lambda: None)
    host = HostDisks({NAME: overlay}, lambda: starting.handle().sync())
    table = MountTable(starting, host)
    disk = BlockDevice(NAME, DeviceKind.DISK, size, kind, disk=NAME)
    block = BlockDevices((Disk(NAME, "a", size, sector),), (disk,))
    yield Opened(DevicesRead(starting, block, table, cast("Toolbox", None)), appliance)
    table.close()
    host.close()
    starting.end()


def test_what_is_certain_need_not_be_mounted(opened: Opened) -> None:
    devices = opened.devices
    assert {"meta-data", "empty", "latest"} <= set(devices.peek(NAME))
    assert devices.peek_file(NAME, "meta-data", 100) == b"instance-id: a\n"
    assert devices.peek_file(NAME, "empty", 100) == b""
    assert devices.peek_file(NAME, "latest/inner/user_data", 100) == b"x"
    for none in ("user-data", "link", "latest", "link/user_data", "meta-data/x", "latest/none"):
        assert devices.peek_file(NAME, none, 100) is None
    with pytest.raises(GuestReadError, match="larger than 3 bytes"):
        devices.peek_file(NAME, "meta-data", 3)
    devices.mount_table.settle()
    assert not opened.appliance.calls


def test_of_what_cannot_be_trusted_the_appliance_is_asked(opened: Opened) -> None:
    opened.devices.mount_table.disks.trusted = False
    assert "meta-data" in opened.devices.peek(NAME)
    assert opened.devices.peek_file(NAME, "latest/inner/user_data", 100) == b"x"
    assert opened.appliance.calls["mount_options"] == 1


def test_what_did_not_mount_cannot_be_looked_into(tmp_path: Path) -> None:
    for opened in _opened("ext4", tmp_path, 512, broken="wrong fs type"):
        table = opened.devices.mount_table
        table.disks.trusted = False
        with pytest.raises(GuestReadError, match="wrong fs type"):
            opened.devices.peek(NAME)
        table.disks.trusted = True
        table.disks.start_over()
        assert table.disks.filesystem(opened.devices.block.devices[0]) is not None
        with pytest.raises(GuestReadError, match="wrong fs type"):
            opened.devices.peek(NAME)
        with pytest.raises(GuestReadError, match="wrong fs type"):
            opened.devices.peek_file(NAME, "empty", 1)


def test_on_large_sectors_it_is_mounted(tmp_path: Path) -> None:
    """A filesystem of smaller blocks than the disk's sectors reads well here, and does not mount."""
    for opened in _opened("vfat", tmp_path, 4096):
        opened.devices.peek(NAME)
        assert opened.devices.peek_file(NAME, "meta-data", 100) == b"instance-id: a\n"
        assert opened.appliance.calls["mount_options"] == 1


def test_of_fat_that_was_in_use_the_top_names_alone_are_told(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    fat_images.make(image, "32")
    fat_images.mtools("mmd", image, "::EFI")
    with image.open("r+b") as file:
        file.seek(0x41)
        file.write(b"\1")
    (tmp_path / "private").mkdir()
    disks = HostDisks({NAME: create_overlay(tmp_path / "private", examine(image))}, lambda: None)
    device = BlockDevice(NAME, DeviceKind.DISK, image.stat().st_size, "vfat", disk=NAME)
    assert disks.filesystem(device) is None
    assert disks.top_names(device) == ("EFI",)
    disks.close()

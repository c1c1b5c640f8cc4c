"""Of which filesystems it is certain that Linux mounts them: what is said of all others."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.host.mounting import MOUNT_DOUBTS, mount_doubt

DEVICE = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 4096)


@dataclasses.dataclass
class Disks:
    """Disks of the host whose one device holds zeros, cannot be read, or is none that the host reads."""

    trusted: bool = True
    reads: bool = True
    broken: str = ""
    whole: object = None

    def part(self, device: BlockDevice) -> object:
        del device
        return self._read if self.reads else None

    def filesystem(self, device: BlockDevice) -> object:
        del device
        return self.whole

    def _read(self, _offset: int, size: int) -> bytes:
        if self.broken:
            raise GuestReadError("/dev/sda1", self.broken)
        return bytes(size)


def doubt(content: str, disks: Disks) -> str:
    return mount_doubt(cast("HostDisks", disks), dataclasses.replace(DEVICE, content=content))


@pytest.mark.parametrize("content", MOUNT_DOUBTS)
def test_zeros_are_certain_to_be_mounted_by_nobody(content: str) -> None:
    assert doubt(content, Disks())


@pytest.mark.parametrize("content", MOUNT_DOUBTS)
def test_what_cannot_be_read_is_not_certain_for_that_reason(content: str) -> None:
    assert doubt(content, Disks(broken="Input/output error")) == "Input/output error"


@pytest.mark.parametrize("content", [*MOUNT_DOUBTS, "vfat"])
def test_disks_that_contradicted_what_was_read_of_them_are_left_to_the_appliance(content: str) -> None:
    assert doubt(content, Disks(trusted=False)) == f"{content} is mounted by the appliance alone"


@pytest.mark.parametrize(("content", "named"), [("ntfs", "ntfs"), ("", "what is on it")])
def test_what_the_host_does_not_read_is_left_to_the_appliance(content: str, named: str) -> None:
    assert doubt(content, Disks()) == f"{named} is mounted by the appliance alone"


def test_a_device_that_the_host_cannot_put_together_is_left_to_the_appliance() -> None:
    assert doubt("ext4", Disks(reads=False)) == "ext4 is mounted by the appliance alone"


def test_what_is_read_whole_is_certain_where_all_of_it_agrees() -> None:
    assert doubt("vfat", Disks(whole="a filesystem")) == ""
    assert doubt("vfat", Disks(whole=None)) == "it contradicts itself somewhere"

"""Names of devices for programs that run inside the appliance."""

from __future__ import annotations

import pytest

from guestrepair.appliance.launch import device_name
from guestrepair.appliance.toolbox import drive_label, inner_name


@pytest.mark.parametrize(
    ("device", "inner"),
    [
        ("/dev/sda", "/dev/disk/guestfs/diska"),
        ("/dev/sdb12", "/dev/disk/guestfs/diskb12"),
        ("/dev/sdaa3", "/dev/disk/guestfs/diskaa3"),
        ("/dev/vg/root", "/dev/vg/root"),
        ("/dev/mapper/luks-1", "/dev/mapper/luks-1"),
        ("/dev/md127", "/dev/md127"),
    ],
)
def test_inner_name(device: str, inner: str) -> None:
    assert inner_name(device) == inner


def test_every_drive_has_a_label_of_its_own_that_libguestfs_takes() -> None:
    labels = [drive_label(device_name(index)) for index in range(60)]
    assert len(set(labels)) == 60
    assert all(label.isalpha() and len(label) <= 20 for label in labels)

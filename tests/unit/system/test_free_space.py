"""What an image keeps in free space: the least that it can be, and only where that can be told."""

from __future__ import annotations

import pytest

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, ImageFile, Mount
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.fact import Unreadable
from guestrepair.system.free_space import FreeSpace, Kept

MIB = 1 << 20
QCOW2, RAW = ImageFile(format="qcow2"), ImageFile(format="raw")


def guest(
    *,
    stored: int,
    free: int,
    image: ImageFile | None = QCOW2,
    content: str = "ext4",
    kind: DeviceKind = DeviceKind.PARTITION,
) -> MemoryGuest:
    """A partition of 1000 MiB from 10 MiB on; ``stored`` and ``free`` are of it, in MiB."""
    disk = Disk("/dev/sda", "x", 2000 * MIB, image=image)
    part = BlockDevice("/dev/sda1", kind, 1000 * MIB, content, start_bytes=10 * MIB, disk="/dev/sda")
    made = MemoryGuest(
        block=BlockDevices((disk,), (part,)),
        mounts=(Mount("/dev/sda1", "/", content), Mount("/dev/sda1", "/again", content)),
    )
    made.stored["/dev/sda"] = [(0, (10 + stored) * MIB), (1500 * MIB, 100 * MIB)]  # and outside of it
    made.usages["/"] = FilesystemUsage(950 * MIB, free * MIB, free * MIB, 1, 1)
    return made


@pytest.mark.parametrize(
    ("stored", "free", "least"),
    [
        (300, 700, 0),  # what is in use, and no more
        (200, 700, 0),  # less: some of that is zeros
        (1000, 700, 700),  # all of it, as in a raw image without holes
        (450, 700, 150),
        (0, 1000, 0),
    ],
)
def test_what_is_kept_beyond_what_is_in_use(stored: int, free: int, least: int) -> None:
    (found,) = FreeSpace(guest(stored=stored, free=free)).kept
    assert found == Kept("/dev/sda1", "/", stored * MIB, least * MIB, free * MIB)


@pytest.mark.parametrize(
    ("allocated", "least"), [(None, 700), (1110, 700), (2000, 700), (410, 0), (510, 100)]
)
def test_a_host_that_tells_of_no_holes_is_not_believed(allocated: int | None, least: int) -> None:
    """1110 MiB are said to be kept of the disk; a sparse file takes less than that."""
    size = None if allocated is None else allocated * MIB
    image = ImageFile(format="raw", allocated_bytes=size)
    (found,) = FreeSpace(guest(stored=1000, free=700, image=image)).kept
    assert isinstance(found, Kept)
    assert found.in_free_bytes == least * MIB


@pytest.mark.parametrize(
    "made",
    [
        guest(stored=1000, free=700, content="btrfs"),
        guest(stored=1000, free=700, kind=DeviceKind.LOGICAL_VOLUME),
        guest(stored=1000, free=700, image=None),
        guest(stored=1000, free=700, image=ImageFile(format="raw", is_block_device=True)),
    ],
)
def test_where_it_cannot_be_told_nothing_is_said(made: MemoryGuest) -> None:
    assert FreeSpace(made).kept == ()


def test_an_image_or_a_filesystem_that_cannot_be_asked_is_said() -> None:
    made = guest(stored=1000, free=700)
    made.usages.clear()
    (found,) = FreeSpace(made).kept
    assert isinstance(found, Unreadable)
    made = guest(stored=1000, free=700)
    made.stored.clear()
    (found,) = FreeSpace(made).kept
    assert isinstance(found, Unreadable)
    assert "not known" in found.reason

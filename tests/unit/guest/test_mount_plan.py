"""Which filesystem belongs where, and which mount a path lies under: that is what a repair may write to."""

from __future__ import annotations

import pytest

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.mount_plan import holders, mount_points, plan_mounts
from guestrepair.model import GuestPath
from tests.unit.analyzers import fstab_guest


@pytest.fixture
def guest() -> MemoryGuest:
    made = MemoryGuest()
    for path in ("/srv", "/usr/lib", "/home/a"):
        made.directory(path)
    made.link("/data", "/srv/data")
    made.link("/lib", "usr/lib")
    made.link("/people", "home")
    return made


@pytest.mark.parametrize(
    ("targets", "path", "expected"),
    [
        (["/"], "/srv/data", {"/"}),
        (["/", "/srv"], "/srv/data", {"/srv"}),
        (["/", "/srv", "/srv/data"], "/srv/data/x", {"/srv/data"}),
        (["/", "/srv"], "/srvx", {"/"}),
        (["/", "/usr"], "/lib/x", {"/", "/usr"}),
        (["/", "/usr"], "/bin/x", {"/", "/usr"}),
        (["/", "/home"], "/people/a/x", {"/", "/home"}),
        (["/", "/people"], "/home/a/x", {"/people"}),
        (["/", "/srv"], "/data", {"/"}),
        (["/", "/home"], "/people/new/below/it", {"/", "/home"}),
    ],
)
def test_the_mounts_that_may_hold_a_path(
    guest: MemoryGuest, targets: list[str], path: str, expected: set[str]
) -> None:
    points = mount_points(guest, map(GuestPath, targets))
    assert set(map(str, holders(guest, points, GuestPath(path)))) == expected


LUKS, OTHER = "1c7bd2f1-52a4-4f6e-8f30-9f8f2b9f5d10", "2c7bd2f1-52a4-4f6e-8f30-9f8f2b9f5d10"
ROOT = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1, "ext4", "root", disk="/dev/sda", part_number=1)
CONTAINER = BlockDevice(
    "/dev/sda2", DeviceKind.PARTITION, 1, "crypto_LUKS", LUKS, disk="/dev/sda", part_number=2
)
OPENED = BlockDevice(f"/dev/mapper/luks-{LUKS}", DeviceKind.CRYPT, 1, "ext4", "home", parents=("/dev/sda2",))
ARRAY = BlockDevice("/dev/md127", DeviceKind.MD, 1, "ext4", "array")
VOLUME = BlockDevice("/dev/v-g/home", DeviceKind.LOGICAL_VOLUME, 1, "ext4", "volume")


def planned(fstab: str, crypttab: str, *devices: BlockDevice) -> tuple[dict[str, str], dict[str, str]]:
    """What is mounted where, and what is not, with why, on a guest with these tables and devices."""
    guest = MemoryGuest(block=BlockDevices((Disk("/dev/sda", "a", 1),), (ROOT, *devices)))
    guest.directory("/home")
    guest.file("/etc/fstab", fstab)
    guest.file("/etc/crypttab", crypttab)
    plan = plan_mounts(guest, ROOT, lambda _device: ())
    return {str(m.target): m.device.name for m in plan.mounts}, dict(plan.unmounted)


@pytest.mark.parametrize(
    "crypttab",
    [
        f"home_crypt UUID={LUKS} none luks\n",
        f"home_crypt UUID={LUKS.upper()}\n",
        f"# old\nhome_crypt /dev/disk/by-uuid/{LUKS} /key luks,discard\n",
        "home_crypt /dev/vda2 none\n",
    ],
)
@pytest.mark.parametrize("source", ["/dev/mapper/home_crypt", "/dev/disk/by-id/dm-name-home_crypt"])
def test_what_crypttab_opens_is_mounted_by_its_name(crypttab: str, source: str) -> None:
    fstab = f"{source} /home ext4 defaults 0 2\n"
    assert planned(fstab, crypttab, CONTAINER, OPENED) == ({"/home": OPENED.name}, {})


def test_a_container_that_no_key_opened_is_named_as_the_reason() -> None:
    fstab = "/dev/mapper/home_crypt /home ext4 defaults 0 2\n"
    mounts, unmounted = planned(fstab, f"home_crypt UUID={LUKS}\n", CONTAINER)
    assert (mounts, list(unmounted)) == ({}, ["/home"])
    assert "/dev/sda2, which no key opened" in unmounted["/home"]
    mounts, unmounted = planned(fstab, f"home_crypt UUID={OTHER}\n", CONTAINER, OPENED)
    assert "none of the disks" in unmounted["/home"]


@pytest.mark.parametrize(
    ("source", "device"),
    [
        ("/dev/md0", ARRAY),
        ("/dev/md/home", ARRAY),
        ("/dev/mapper/v--g-home", VOLUME),
        ("/dev/v-g/home", VOLUME),
        (f"/dev/mapper/luks-{LUKS}", OPENED),
    ],
)
def test_names_that_the_appliance_gives_otherwise(source: str, device: BlockDevice) -> None:
    fstab = f"{source} /home ext4 defaults 0 2\n"
    assert planned(fstab, "", CONTAINER, OPENED, ARRAY, VOLUME) == ({"/home": device.name}, {})


@pytest.mark.parametrize("source", ["/dev/mapper/home_crypt", "/dev/md0", f"/dev/mapper/luks-{LUKS}"])
def test_mounting_and_judging_agree_on_what_a_name_means(source: str) -> None:
    devices = (ROOT, CONTAINER, OPENED, ARRAY)
    guest = fstab_guest.guest(f"UUID=root / ext4 defaults 0 1\n{source} /home ext4 defaults 0 2\n", devices)
    guest.file("/etc/crypttab", f"home_crypt UUID={LUKS}\n")
    guest.mounts = (Mount("/dev/sda1", "/", "ext4"),)
    plan = plan_mounts(guest, ROOT, lambda _device: ())
    assert plan.unmounted == ()
    assert [f.rule for f in fstab_guest.findings(guest) if f.subject == "/etc/fstab:2"] == []

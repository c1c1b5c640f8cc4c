"""Which filesystem belongs where, and which mount a path lies under: that is what a repair may write to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.mount_plan import MountPlan, holders, mount_points, plan_mounts
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


DATA = [
    BlockDevice(f"/dev/sda{n}", DeviceKind.PARTITION, 1, content, f"u{n}", disk="/dev/sda", part_number=n)
    for n, content in enumerate(("ext4", "vfat", "xfs", "btrfs", "swap"), 3)
]
EXT, FAT, XFS, BTRFS, SWAP = DATA


def plan(
    fstab: str,
    *devices: BlockDevice,
    inside: Mapping[str, tuple[str, ...]] | None = None,
    directories: tuple[str, ...] = ("/home", "/boot/efi", "/usr", "/var"),
) -> MountPlan:
    """The plan; ``inside``: the top directories of devices, of which the others cannot be read."""
    guest = MemoryGuest(block=BlockDevices((Disk("/dev/sda", "a", 1),), (ROOT, *devices)))
    for path in directories:
        guest.directory(path)
    guest.file("/etc/fstab", fstab)

    def names(device: BlockDevice) -> tuple[str, ...]:
        if device.name not in (inside or {}):
            raise GuestReadError(device.name, "cannot be read")
        return (inside or {})[device.name]

    return plan_mounts(guest, ROOT, names)


@pytest.mark.parametrize(
    "line",
    [
        "UUID=root / ext4 defaults 0 1", "proc /proc proc defaults 0 0", "UUID=u3 /proc/x ext4 defaults 0 0",
        "UUID=u3 /run/x ext4 defaults 0 0", "tmpfs /tmp tmpfs defaults 0 0",
        "server:/x /home nfs defaults 0 0",
        "/home /srv none bind 0 0", "/dev/sda3 /srv ext4 loop 0 0", "UUID=u3 /srv/../etc ext4 defaults 0 0",
        "UUID=u3 none ext4 defaults 0 0", "UUID=root /srv ext4 defaults 0 0",
    ],
)  # fmt: skip
def test_lines_that_mount_nothing_of_the_disks(line: str) -> None:
    assert plan(line + "\n", EXT) == MountPlan()


@pytest.mark.parametrize(
    ("fstab", "reason"),
    [
        ("UUID=none /home ext4 defaults 0 2\n", "UUID=none is on none of the disks"),
        ("UUID=u7 /home ext4 defaults 0 2\n", "UUID=u7 is on none of the disks"),
        ("LABEL=same /home ext4 defaults 0 2\n", "LABEL=same is ambiguous"),
    ],
)
def test_what_cannot_be_mounted_is_said_with_why(fstab: str, reason: str) -> None:
    twins = [dataclasses.replace(d, label="same") for d in (EXT, XFS)]
    assert plan(fstab, *twins, SWAP).unmounted == (("/home", reason),)


def test_parents_are_mounted_before_what_lies_below_and_the_first_line_counts() -> None:
    fstab = (
        "UUID=u3 /home/a/b ext4 defaults 0 2\nUUID=u5 /home xfs defaults 0 2\n"
        "UUID=u3 /home ext4 defaults 0 2\n"
        "UUID=root /data btrfs subvol=/@data 0 0\nUUID=u6 /vol btrfs subvol=/@x/y/ 0 0\n"
    )
    found = plan(fstab, EXT, XFS, BTRFS)
    assert [(str(m.target), m.device.name, m.subvolume) for m in found.mounts] == [
        ("/home", "/dev/sda5", ""), ("/vol", "/dev/sda6", "@x/y"), ("/home/a/b", "/dev/sda3", ""),
    ]  # fmt: skip


def test_a_table_of_thousands_mounts_no_more_than_a_bound() -> None:
    fstab = "".join(f"UUID=u3 /home/{n} ext4 defaults 0 2\n" for n in range(1000))
    assert len(plan(fstab, EXT).mounts) == 64


@pytest.mark.parametrize(
    ("names", "target"),
    [
        (("bin", "lib", "share", "local"), "/usr"),
        (("lib", "log", "cache"), "/var"),
        (("EFI",), "/boot/efi"),
        (("bin", "lib"), None),
        (("a",), None),
    ],
)
def test_what_fstab_does_not_name_is_mounted_where_its_content_belongs(
    names: tuple[str, ...], target: str
) -> None:
    found = plan("", EXT, inside={EXT.name: names})
    assert [str(m.target) for m in found.mounts] == ([target] if target else [])
    assert all(m.guessed for m in found.mounts)


def test_no_guess_is_made_over_files_or_over_what_fstab_says() -> None:
    usr = ("bin", "lib", "share")
    full = plan("", EXT, inside={EXT.name: usr}, directories=("/usr/bin",))
    assert full.mounts == ()
    missing = plan("", EXT, inside={EXT.name: usr}, directories=("/home",))
    assert missing.mounts == ()
    told = plan("UUID=u5 /usr xfs defaults 0 2\n", EXT, XFS, inside={EXT.name: usr})
    assert [m.device.name for m in told.mounts] == ["/dev/sda5"]
    used = plan("UUID=u3 /srv ext4 defaults 0 2\n", EXT, inside={EXT.name: usr})
    assert [str(m.target) for m in used.mounts] == ["/srv"]


def test_a_guess_stands_in_for_a_line_that_is_wrong() -> None:
    found = plan("UUID=none /boot/efi vfat defaults 0 1\n", FAT, inside={FAT.name: ("EFI",)})
    assert [(m.device.name, m.guessed) for m in found.mounts] == [(FAT.name, True)]
    assert found.unmounted == ()


@pytest.mark.parametrize("content", [b"\0" * 100, b"x" * (5 << 20)])
def test_tables_that_cannot_be_read_lose_their_mounts_and_no_more(content: bytes) -> None:
    guest = MemoryGuest(block=BlockDevices((Disk("/dev/sda", "a", 1),), (ROOT, FAT)))
    guest.directory("/boot/efi")
    for path in ("/etc/fstab", "/etc/crypttab"):
        guest.file(path, content)
    found = plan_mounts(guest, ROOT, lambda _device: ("EFI",))
    assert [str(m.target) for m in found.mounts] == ["/boot/efi"]

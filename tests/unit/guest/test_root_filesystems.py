"""Which filesystems are the root of a system: by several signs, of which any may be missing."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.root_filesystems import find_roots


def device(
    name: str, content: str = "ext4", *, uuid: str = "", subvolumes: tuple[str, ...] = ()
) -> BlockDevice:
    return BlockDevice(name, DeviceKind.PARTITION, 1, content, uuid or name, subvolumes=subvolumes)


def guest(*paths: str, hostname: str = "") -> MemoryGuest:
    made = MemoryGuest()
    for path in paths:
        if path.endswith("/"):
            made.directory(path.rstrip("/"))
        else:
            made.file(path, "x")
    if hostname:
        made.file("/etc/hostname", hostname)
    return made


def roots(guests: dict[str, MemoryGuest], *devices: BlockDevice) -> tuple[list[str], list[tuple[str, str]]]:
    """Names of the roots found, and what could not be looked at; ``guests`` by device and subvolume."""

    def view(device: BlockDevice, subvolume: str) -> MemoryGuest:
        name = f"{device.name}:{subvolume}" if subvolume else device.name
        if name not in guests:
            raise GuestReadError(name, "bad superblock")
        return guests[name]

    found, unread = find_roots(view, BlockDevices(devices=devices))
    return [root.name for root in found], unread


@pytest.mark.parametrize(
    ("paths", "is_root"),
    [
        (("/etc/os-release", "/etc/passwd"), True),
        (("/etc/os-release", "/usr/bin/"), True),
        (("/etc/", "/var/lib/dpkg/", "/bin/"), True),
        (("/etc/passwd", "/etc/fstab", "/etc/group"), True),
        (("/etc/debian_version", "/usr/lib/os-release"), False),  # two of one sign are one sign
        (("/etc/passwd", "/etc/fstab"), False),
        (("/etc/os-release",), False),
        (("/etc/",), False),
        (("/usr/lib/os-release", "/var/lib/rpm/", "/usr/bin/"), False),  # a /usr alone has no /etc
        (("/home/a/etc/passwd",), False),
        ((), False),
    ],
)
def test_enough_signs_make_a_root(paths: tuple[str, ...], is_root: bool) -> None:
    found, unread = roots({"/dev/sda1": guest(*paths)}, device("/dev/sda1"))
    assert (bool(found), unread) == (is_root, [])


def test_a_sign_may_be_a_link_that_leads_nowhere() -> None:
    made = guest("/etc/passwd", "/etc/fstab")
    made.link("/bin", "usr/bin")  # /usr is another filesystem
    assert roots({"/dev/sda1": made}, device("/dev/sda1"))[0] == ["/dev/sda1"]


SYSTEM = ("/etc/os-release", "/etc/passwd", "/etc/fstab")


def test_only_filesystems_that_a_system_can_be_on_are_looked_at() -> None:
    devices = [device(f"/dev/sda{n}", c) for n, c in enumerate(("vfat", "swap", "ntfs", "", "xfs"), 1)]
    assert roots({"/dev/sda5": guest(*SYSTEM)}, *devices) == (["/dev/sda5"], [])


def test_what_does_not_mount_is_said_and_the_others_are_found() -> None:
    found, unread = roots({"/dev/sda2": guest(*SYSTEM)}, device("/dev/sda1"), device("/dev/sda2"))
    assert found == ["/dev/sda2"]
    assert unread == [("/dev/sda1", "bad superblock")]


def test_one_that_cannot_be_read_is_said() -> None:
    made = guest(*SYSTEM)
    made.nodes[next(p for p in made.nodes if str(p) == "/etc/os-release")].unreadable = "I/O error"
    found, unread = roots({"/dev/sda1": made}, device("/dev/sda1"))
    assert (found, unread) == ([], [("/dev/sda1", "I/O error")])


def test_subvolumes_are_roots_of_their_own_and_snapshots_are_not() -> None:
    subvolumes = ("@", "@home", ".snapshots/1/snapshot")
    guests = {
        "/dev/sda1": guest(), "/dev/sda1:@": guest(*SYSTEM), "/dev/sda1:@home": guest("/a/"),
        "/dev/sda1:.snapshots/1/snapshot": guest(*SYSTEM),
    }  # fmt: skip
    assert roots(guests, device("/dev/sda1", "btrfs", subvolumes=subvolumes))[0] == ["/dev/sda1:@"]


def test_the_default_subvolume_is_shown_once_by_its_name() -> None:
    system = guest(*SYSTEM, hostname="here")
    guests = {"/dev/sda1": system, "/dev/sda1:@": system}
    assert roots(guests, device("/dev/sda1", "btrfs", subvolumes=("@",)))[0] == ["/dev/sda1:@"]
    guests["/dev/sda1"] = guest(*SYSTEM, hostname="another")
    assert roots(guests, device("/dev/sda1", "btrfs", subvolumes=("@",)))[0] == ["/dev/sda1", "/dev/sda1:@"]


def test_a_filesystem_on_several_devices_is_looked_at_once() -> None:
    guests = {"/dev/sda1": guest(*SYSTEM)}
    members = [device(name, "btrfs", uuid="same") for name in ("/dev/sda1", "/dev/sdb1")]
    assert roots(guests, *members) == (["/dev/sda1"], [])

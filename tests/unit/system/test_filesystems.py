"""Filesystems as facts: what their bytes, checkers and directories tell, and what cannot be had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.filesystem_state import CheckResult
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.filesystems import Filesystems, RecordedError
from guestrepair.system.guest_system import System

MIB = 1024 * 1024
PART = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 2 * MIB, start_bytes=MIB, disk="/dev/sda")


def guest_of(content: bytes = b"", *mounts: Mount) -> MemoryGuest:
    guest = MemoryGuest(block=BlockDevices((Disk("/dev/sda", "x", 4 * MIB),), (PART,)), mounts=mounts)
    guest.devices["/dev/sda"] = (bytes(MIB) + content).ljust(4 * MIB, b"\0")
    return guest


def errors(*fields: tuple[int, int, int]) -> bytes:
    superblock = bytearray(2048)
    for at, size, value in fields:
        superblock[1024 + at : 1024 + at + size] = value.to_bytes(size, "little")
    superblock[1024 + 0x1E0 : 1024 + 0x1EB] = b"ext4_lookup"
    return bytes(superblock)


def test_recorded_errors_are_read_through_the_disk() -> None:
    content = errors((0x194, 4, 3), (0x1CC, 4, 1706929506), (0x1D0, 4, 77), (0x1D4, 4, 1234), (0x1D8, 8, 9))
    record = Filesystems(guest_of(content)).errors_of(PART)
    assert (record.count, record.first) == (3, None)
    assert record.last == RecordedError(1706929506, "ext4_lookup", 1234, 77, 9)


def test_names_at_the_top_are_those_of_the_mount_or_of_a_look_inside() -> None:
    guest = guest_of(b"", Mount("/dev/sda1", "/srv", "ext4"))
    guest.file("/srv/a/b")
    guest.top_names["/dev/sdb"] = ("x", "y")
    filesystems = Filesystems(guest)
    assert filesystems.top_names("/dev/sda1") == ("a",)
    assert filesystems.top_names("/dev/sdb") == ("x", "y")
    assert (filesystems.refusal("/dev/sdb"), filesystems.refusal("/dev/sdc")) == ("", "cannot be mounted")
    for _ in range(2):
        with pytest.raises(GuestReadError, match="cannot be mounted"):
            filesystems.top_names("/dev/sdc")


def test_a_checker_runs_once_and_one_that_cannot_run_raises() -> None:
    guest = guest_of()
    guest.checks["/dev/sda1"] = CheckResult(clean=True)
    filesystems = Filesystems(guest)
    assert filesystems.verdict("/dev/sda1").clean
    guest.checks.clear()
    assert filesystems.verdict("/dev/sda1").clean
    with pytest.raises(GuestReadError, match="no checker"):
        filesystems.verdict("/dev/sdb")


def test_directories_of_one_filesystem_without_what_is_mounted_below_or_unreadable() -> None:
    guest = guest_of(b"", Mount("/dev/sda1", "/", "ext4"), Mount("/dev/sdb1", "/srv", "ext4"))
    guest.file("/var/log/a").size_bytes = 100
    guest.file("/var/log/b").size_bytes = 50
    guest.file("/srv/other").size_bytes = 7
    guest.file("/opt/bad/x").unreadable = "Input/output error"
    found = {d.path: (d.files, d.size_bytes) for d in Filesystems(guest).directories("/")}
    assert found == {P("/"): (0, 0), P("/var"): (0, 0), P("/opt"): (0, 0), P("/var/log"): (2, 150)}


@pytest.mark.parametrize(
    ("text", "expected"), [("ab-12", True), ("AB-12", True), ("ab-13", False), ("", False)]
)
def test_what_fstab_names(text: str, *, expected: bool) -> None:
    guest = guest_of()
    assert not System(guest).mounts.mentions(text)
    guest.file("/etc/fstab", "UUID=Ab-12 / ext4 defaults 0 1\n")
    assert System(guest).mounts.mentions(text) is expected
    guest.nodes[P("/etc/fstab")].unreadable = "Input/output error"
    with pytest.raises(GuestReadError, match="Input/output error"):
        System(guest).mounts.mentions(text or "x")


def test_a_device_that_cannot_be_read_raises() -> None:
    guest = guest_of()
    guest.devices.clear()
    filesystems = Filesystems(guest)
    for look in (filesystems.errors_of, filesystems.signatures, filesystems.copy_of_superblock):
        with pytest.raises(GuestReadError, match="no such device"):
            look(PART)


@given(st.binary(max_size=4096))
def test_hostile_bytes_give_facts(content: bytes) -> None:
    filesystems = Filesystems(guest_of(bytes(1024) + content))
    assert filesystems.errors_of(PART).count >= 0
    assert len(filesystems.signatures(PART)) != 1
    copy = filesystems.copy_of_superblock(PART)
    assert copy is None or copy.where

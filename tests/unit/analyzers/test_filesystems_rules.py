"""Filesystem rules on an in-memory guest; superblocks are those that the real mkfs programs wrote."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.filesystems import ANALYZER
from guestrepair.formats.superblock import identify
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.view import CheckResult, FilesystemUsage
from guestrepair.model import Finding, Inconclusive, RunFsck, Safety, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
UUID = "c0ffee00-1234-4abc-8def-0123456789ab"
MIB = 1024 * 1024
ROOM = FilesystemUsage(100 * MIB, 50 * MIB, 45 * MIB, 1000, 500)


def made(folder: Path, command: list[str], size_mib: int = 16, edits: str = "") -> bytes:
    image = folder / "fs.img"
    with image.open("wb") as file:
        file.truncate(size_mib * MIB)
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    subprocess.run([*command, str(image)], check=True, capture_output=True)
    if edits:
        debugfs = ["debugfs", "-w", "-f", "-", str(image)]
        subprocess.run(debugfs, input=edits.encode(), check=True, capture_output=True)
    return image.read_bytes()


def guest_of(content: bytes, *, mounted: str = "/", part_type: str = "") -> MemoryGuest:
    found = identify(lambda at, n: content[at : at + n], len(content))
    device = BlockDevice(
        "/dev/sda",
        DeviceKind.DISK,
        len(content),
        content=found.content,
        uuid=found.uuid,
        ext=found.ext,
        disk="/dev/sda",
        part_type=part_type,
    )
    mounts = (Mount("/dev/sda", mounted, found.content, found.uuid),) if mounted and found.content else ()
    guest = MemoryGuest(
        block=BlockDevices((Disk("/dev/sda", "x.img", len(content)),), (device,)), mounts=mounts
    )
    guest.devices["/dev/sda"] = content
    guest.usages = {mount.target: ROOM for mount in mounts}
    return guest


def run(guest: MemoryGuest, *, deep: bool = False) -> tuple[list[Finding], list[Inconclusive]]:
    return run_analyzer(ANALYZER, Context(guest, options=AnalysisOptions(deep=deep)))


def brief(guest: MemoryGuest, *, deep: bool = False) -> list[tuple[str, Severity, str]]:
    findings, inconclusive = run(guest, deep=deep)
    assert inconclusive == []
    return [(f.rule.removeprefix("filesystems/"), f.severity, f.subject) for f in findings]


MKE2FS = ["mke2fs", "-q", "-t", "ext4", "-U", UUID]


@pytest.mark.parametrize("command", [MKE2FS, ["mkfs.vfat"], ["mkswap"], ["mke2fs", "-q", "-t", "ext2"]])
def test_healthy(command: list[str], tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, command))
    guest.checks["/dev/sda"] = CheckResult(clean=True)
    assert brief(guest) == []


def test_journal_to_replay_is_a_note_when_the_checker_is_content(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS, edits="set_super_value feature_incompat 0x2c6\n"))
    guest.checks["/dev/sda"] = CheckResult(clean=True)
    findings, _ = run(guest)
    assert [(f.rule, f.severity) for f in findings] == [("filesystems/dirty", NOTE)]
    assert findings[0].repair is None


def test_dirty_without_a_journal_is_a_warning(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, ["mke2fs", "-q", "-t", "ext2"], edits="set_super_value state 0\n"))
    guest.checks["/dev/sda"] = CheckResult(clean=True)
    findings, _ = run(guest)
    assert [(f.rule, f.severity) for f in findings] == [("filesystems/dirty", WARNING)]
    assert findings[0].repair is not None
    assert findings[0].repair.changes == (RunFsck(device="/dev/sda", filesystem="ext2"),)


def test_errors_recorded_with_time_and_place(tmp_path: Path) -> None:
    edits = "set_super_value error_count 3\nset_super_value first_error_time 20240102030405\n"
    edits += "set_super_value last_error_time 20240203040506\nset_super_value last_error_func ext4_lookup\n"
    edits += "set_super_value last_error_ino 77\nset_super_value last_error_line 1234\n"
    edits += "set_super_value last_mounted /srv\n"
    guest = guest_of(made(tmp_path, MKE2FS, edits=edits))
    guest.checks["/dev/sda"] = CheckResult(clean=True)
    (found,), _ = run(guest)
    assert (found.rule, found.severity) == ("filesystems/errors-recorded", WARNING)
    assert "3 errors recorded, the last at 2024-02-03 04:05:06 UTC" in found.message
    assert "ext4 of /srv" in found.message
    assert found.evidence[2].observed == "2024-02-03 04:05:06 UTC, in ext4_lookup, line 1234, inode 77"


def test_corrupt(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS, edits="set_super_value state 2\n"))
    guest.checks["/dev/sda"] = CheckResult(clean=False, output="Pass 1\nInode 12 is bad. Fix? no\n")
    findings, _ = run(guest)
    assert [f.rule for f in findings] == ["filesystems/corrupt", "filesystems/errors-recorded"]
    assert findings[0].severity is ERROR
    assert "Inode 12 is bad" in findings[0].evidence[0].observed
    assert findings[0].repair is not None
    assert findings[0].repair.safety is Safety.REVIEW


def test_checkers_run_on_clean_filesystems_only_when_deep(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS))
    guest.checks["/dev/sda"] = CheckResult(clean=False, output="bad")
    assert brief(guest) == []
    assert brief(guest, deep=True) == [("corrupt", ERROR, "/dev/sda")]


def test_dirty_data_disk_is_not_checked(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS, edits="set_super_value feature_incompat 0x2c6\n"), mounted="")
    assert brief(guest) == [("dirty", NOTE, "/dev/sda")]


def test_a_checker_that_cannot_run_is_inconclusive(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS))
    findings, inconclusive = run(guest, deep=True)
    assert findings == []
    assert [i.reason for i in inconclusive] == ["/dev/sda: no checker for it"]


def test_fat_dirty_bit(tmp_path: Path) -> None:
    content = bytearray(made(tmp_path, ["mkfs.vfat", "-F", "32"], 40))
    content[0x41] |= 1
    guest = guest_of(bytes(content), mounted="/boot/efi")
    guest.checks["/dev/sda"] = CheckResult(clean=True)
    assert brief(guest) == [("dirty", NOTE, "/dev/sda")]


@pytest.mark.parametrize("mode", ["named", "unnamed"])
def test_damaged_ext_superblock(mode: str, tmp_path: Path) -> None:
    content = made(tmp_path, MKE2FS)
    guest = guest_of(bytes(2048) + content[2048:])
    if mode == "named":
        guest.file("/etc/fstab", f"UUID={UUID} /srv ext4 defaults 0 2\n")
    (found,), _ = run(guest)
    severity = ERROR if mode == "named" else NOTE
    assert (found.rule, found.severity) == ("filesystems/superblock-damaged", severity)
    assert found.repair is not None
    wanted = RunFsck(device="/dev/sda", filesystem="ext4", backup_superblock=8193, block_size_bytes=1024)
    assert found.repair.changes == (wanted,)


def test_damaged_xfs_superblock(tmp_path: Path) -> None:
    content = made(tmp_path, ["mkfs.xfs", "-q", "-m", f"uuid={UUID}"], 320)
    guest = guest_of(bytes(512) + content[512:])
    guest.file("/etc/fstab", f"UUID={UUID} /srv xfs defaults 0 0\n")
    (found,), _ = run(guest)
    assert (found.rule, found.severity) == ("filesystems/superblock-damaged", ERROR)
    assert UUID in found.message


def test_damaged_btrfs_superblock(tmp_path: Path) -> None:
    content = made(tmp_path, ["mkfs.btrfs", "-q", "-U", UUID], 128)
    guest = guest_of(content[:0x10000] + bytes(4096) + content[0x11000:])
    (found,), _ = run(guest)
    assert found.rule == "filesystems/superblock-damaged"
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


def test_two_signatures(tmp_path: Path) -> None:
    content = bytearray(made(tmp_path, MKE2FS))
    content[:32] = b"hsqs" + bytes(24) + b"\4\0\0\0"
    (found,), _ = run(guest_of(bytes(content)))
    assert "signatures of ext4 and squashfs" in found.message


def test_reserved_partitions_and_empty_disks_are_no_finding() -> None:
    assert brief(guest_of(bytes(8 * MIB), part_type="21686148-6449-6e6f-744e-656564454649")) == []
    assert brief(guest_of(bytes(8 * MIB))) == []


@pytest.mark.parametrize(
    ("usage", "severity", "says"),
    [
        (FilesystemUsage(100 * MIB, 5 * MIB, 0, 1000, 500), WARNING, "0.0 MiB of 100.0 MiB available"),
        (FilesystemUsage(100 * MIB, 0, 0, 1000, 500), ERROR, "0.0 MiB of 100.0 MiB available"),
        (FilesystemUsage(100 * MIB, 50 * MIB, 45 * MIB, 1000, 3), WARNING, "3 of 1000 inodes free"),
        (FilesystemUsage(100 * MIB, 50 * MIB, 45 * MIB, 1000, 0), ERROR, "0 of 1000 inodes free"),
    ],
)
def test_full(usage: FilesystemUsage, severity: Severity, says: str, tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS))
    guest.usages["/"] = usage
    guest.file("/var/log/huge.log").size_bytes = 90 * MIB
    for number in range(20):
        guest.file(f"/srv/many/{number}", b"x")
    (found,), _ = run(guest)
    assert (found.rule, found.severity) == ("filesystems/full", severity)
    assert says in found.message
    first = "/srv/many" if "inodes" in says else "/var/log"
    assert found.evidence[1].source == first
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


def test_btrfs_has_no_inode_count(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS))
    guest.usages["/"] = FilesystemUsage(100 * MIB, 50 * MIB, 45 * MIB, 0, 0)
    assert brief(guest) == []


def test_unreadable_device_is_inconclusive(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, ["mkfs.vfat"]))
    guest.devices.clear()
    findings, inconclusive = run(guest)
    assert findings == []
    assert [i.reason for i in inconclusive] == ["/dev/sda: no such device"]


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1024, max_size=1024))
def test_hostile_superblock(raw: bytes) -> None:
    content = bytearray(8 * MIB)
    content[1024:2048] = raw
    content[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    guest = guest_of(bytes(content))
    guest.checks["/dev/sda"] = CheckResult(clean=False)
    for finding in run(guest)[0]:
        assert finding.evidence

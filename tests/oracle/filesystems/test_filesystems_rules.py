"""Filesystem rules on an in-memory guest; superblocks are those that the real mkfs programs wrote."""

from __future__ import annotations

import dataclasses
import mmap
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.analyzers.base import AnalysisOptions, Context, run_analyzer
from guestrepair.analyzers.filesystems import ANALYZER
from guestrepair.formats.superblock import identify
from guestrepair.formats.superblock.journal import unclean
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.filesystem_state import CheckResult, FilesystemUsage
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, GuestPath, Inconclusive, RunFsck, Safety, Severity

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
        unclean=unclean(lambda at, n: content[at : at + n], found.content),
    )
    mounts = (Mount("/dev/sda", mounted, found.content, found.uuid),) if mounted and found.content else ()
    guest = MemoryGuest(
        block=BlockDevices((Disk("/dev/sda", "x.img", len(content)),), (device,)), mounts=mounts
    )
    guest.devices["/dev/sda"] = content
    guest.top_names["/dev/sda"] = ()
    guest.usages = {mount.target: ROOM for mount in mounts}
    return guest


def with_system(guest: MemoryGuest) -> None:
    """Let the guest be one whose system lies on another disk."""
    guest.mounts = (Mount("/dev/sdb1", "/", "ext4"),)
    guest.usages = {"/": ROOM}


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


def test_an_inode_that_was_deleted_while_in_use_is_a_note(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS, edits="set_super_value last_orphan 12\n"))
    assert brief(guest) == [("dirty", NOTE, "/dev/sda")]


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
    with_system(guest)
    (found,), _ = run(guest)
    severity = ERROR if mode == "named" else NOTE
    assert (found.rule, found.severity) == ("filesystems/superblock-damaged", severity)
    assert found.repair is not None
    wanted = RunFsck(device="/dev/sda", filesystem="ext4", backup_superblock=8193, block_size_bytes=1024)
    assert found.repair.changes == (wanted,)


def test_damaged_xfs_superblock(xfs: mmap.mmap) -> None:
    identity = str(uuid.UUID(bytes=xfs[32:48]))
    xfs[:512] = bytes(512)
    guest = guest_of(cast("bytes", xfs))  # it is cut into pieces, and a map gives bytes, too
    guest.file("/etc/fstab", f"UUID={identity} /srv xfs defaults 0 0\n")
    (found,), _ = run(guest)
    assert (found.rule, found.severity) == ("filesystems/superblock-damaged", ERROR)
    assert identity in found.message


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


def test_what_xfs_holds_back_is_no_room(tmp_path: Path) -> None:
    """A full XFS, mounted read-only as images are, still counts a twentieth as free."""
    guest = guest_of(made(tmp_path, ["mkfs.xfs", "-q"], size_mib=320))
    guest.usages["/"] = FilesystemUsage(300 * MIB, 17 * MIB, 17 * MIB, 1000, 500)
    (found,), _ = run(guest)
    assert (found.rule, found.severity) == ("filesystems/full", ERROR)
    assert "0.0 MiB of 300.0 MiB available" in found.message
    guest.usages["/"] = FilesystemUsage(300 * MIB, 40 * MIB, 40 * MIB, 1000, 500)
    assert brief(guest) == []


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
    # Nothing is kept for root there, so that root writes no more than others.
    guest.usages["/"] = FilesystemUsage(100 * MIB, 0, 0, 0, 0)
    (found,), _ = run(guest)
    assert (found.rule, found.severity) == ("filesystems/full", ERROR)


def test_unreadable_device_is_inconclusive(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS, edits="set_super_value error_count 3\n"))
    guest.devices.clear()
    findings, inconclusive = run(guest)
    assert findings == []
    assert [i.reason for i in inconclusive] == ["/dev/sda: no such device"]


@given(st.binary(min_size=1024, max_size=1024))
def test_hostile_superblock(raw: bytes) -> None:
    content = bytearray(8 * MIB)
    content[1024:2048] = raw
    content[1024 + 0x38 : 1024 + 0x3A] = b"\x53\xef"
    guest = guest_of(bytes(content))
    guest.checks["/dev/sda"] = CheckResult(clean=False)
    for finding in run(guest)[0]:
        assert finding.evidence


# --- where no system can be mounted, and what does not mount ---------------------------------


def test_a_damaged_superblock_is_an_error_where_no_system_can_be_mounted(tmp_path: Path) -> None:
    content = made(tmp_path, MKE2FS)
    guest = guest_of(bytes(2048) + content[2048:], mounted="")
    assert brief(guest) == [("superblock-damaged", ERROR, "/dev/sda")]


def test_a_filesystem_that_does_not_mount_is_checked(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS), mounted="")
    guest.checks["/dev/sda"] = CheckResult(False, "Inode 2 is no directory\n")
    assert brief(guest) == []
    guest.top_names.clear()
    (found,), inconclusive = run(guest)
    assert inconclusive == []
    assert (found.rule, found.severity) == ("filesystems/corrupt", ERROR)
    assert [e.observed for e in found.evidence] == ["Inode 2 is no directory", "cannot be mounted"]


def test_an_xfs_journal_that_cannot_be_replayed_is_for_a_person(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS), mounted="")
    guest.checks["/dev/sda"] = CheckResult(False, "log which is being ignored\n", journal_pending=True)
    guest.top_names.clear()
    (found,), _ = run(guest)
    assert found.repair is not None
    assert (found.repair.safety, found.repair.changes) == (Safety.MANUAL, ())


def test_a_partition_that_is_cut_off_is_left_to_the_partition_rules(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS, edits="set_super_value error_count 3\n"), mounted="")
    whole = guest.block.devices[0]
    part = dataclasses.replace(
        whole, name="/dev/sda1", kind=DeviceKind.PARTITION, start_bytes=MIB, parents=("/dev/sda",)
    )
    guest.block = dataclasses.replace(guest.block, devices=(part,))
    assert brief(guest) == []


@pytest.fixture
def xfs(tmp_path: Path) -> Iterator[mmap.mmap]:
    """A new XFS that may be written to: a mapped file, since most of it are holes."""
    image = tmp_path / "xfs.img"
    with image.open("wb") as file:
        file.truncate(320 * MIB)
    if shutil.which("mkfs.xfs") is None:
        pytest.skip("mkfs.xfs is not installed")
    subprocess.run(["mkfs.xfs", "-q", image], check=True, capture_output=True)
    with image.open("r+b") as disk, mmap.mmap(disk.fileno(), 0) as content:
        yield content


def is_pending(content: mmap.mmap) -> bool:
    return unclean(lambda at, n: content[at : at + n], "xfs")


def log_of(content: mmap.mmap) -> tuple[int, int]:
    """Where the log of a new XFS begins, and its sectors."""
    start, groups = int.from_bytes(content[48:56], "big"), int.from_bytes(content[84:88], "big")
    number, block = start >> content[124], start & ((1 << content[124]) - 1)
    return (number * groups + block) * 4096, int.from_bytes(content[96:100], "big") * 8


def test_an_xfs_log_is_pending_unless_its_last_record_is_an_unmount(xfs: mmap.mmap) -> None:
    assert not is_pending(xfs)
    record, _ = log_of(xfs)
    xfs[record + 512 + 9] &= ~0x20  # XLOG_UNMOUNT_TRANS of the only operation
    assert is_pending(xfs)


def test_an_xfs_log_that_has_gone_round(xfs: mmap.mmap) -> None:
    log, sectors = log_of(xfs)
    header, operation = bytearray(xfs[log : log + 512]), bytearray(xfs[log + 512 : log + 1024])
    header[4:8] = operation[:4] = (7).to_bytes(4, "big")
    for start in (0, 5, 4000, 9000):
        for sector in range(sectors):  # up to the last record is of round 7, behind it of 6
            cycle = (7 if sector < start + 2 else 6).to_bytes(4, "big")
            xfs[log + sector * 512 : log + sector * 512 + 4] = cycle
        at = log + start * 512
        xfs[at : at + 1024] = bytes(header + operation)
        assert not is_pending(xfs)
        xfs[at + 512 + 9] &= ~0x20
        assert is_pending(xfs)
        xfs[at : at + 4] = bytes(4)  # no record any more: the next one looks for its own


def test_a_journal_that_waits_is_a_note_for_xfs_too(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, MKE2FS))
    (device,) = guest.block.devices
    xfs = dataclasses.replace(device, content="xfs", ext=None, unclean=True)
    guest.block = dataclasses.replace(guest.block, devices=(xfs,))
    guest.checks["/dev/sda"] = CheckResult(True)
    assert brief(guest) == [("dirty", NOTE, "/dev/sda")]


def test_a_btrfs_log_tree_waits(tmp_path: Path) -> None:
    content = bytearray(made(tmp_path, ["mkfs.btrfs", "-q"], 128))
    assert not unclean(lambda at, n: bytes(content[at : at + n]), "btrfs")
    content[0x10000 + 96] = 1
    assert unclean(lambda at, n: bytes(content[at : at + n]), "btrfs")


@given(st.binary(max_size=4096))
def test_hostile_journals(raw: bytes) -> None:
    for kind in ("xfs", "btrfs", "vfat"):
        unclean(lambda at, n: (raw * 3)[at : at + n], kind)
    head = b"XFSB" + (4096).to_bytes(4, "big") + raw[:40].ljust(40, b"\0") + raw
    unclean(lambda at, n: head[at : at + n], "xfs")


# --- damage met by others --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "safety", "words"),
    [
        (CheckResult(clean=False, output="Entry 'head' has deleted inode"), Safety.REVIEW, "finds errors"),
        (CheckResult(clean=True), Safety.MANUAL, "its checker finds no reason"),
    ],
)
def test_what_others_could_not_read_calls_the_checker(
    tmp_path: Path, verdict: CheckResult, safety: Safety, words: str
) -> None:
    guest = guest_of(made(tmp_path, ["mkfs.ext4", "-q"]))
    guest.checks["/dev/sda"] = verdict
    guest.file("/usr/bin/head").damaged = "it is listed in its directory but cannot be examined"
    assert brief(guest) == []  # nobody has asked for it yet
    assert not guest.exists(GuestPath("/usr/bin/head"))
    (found,) = run_analyzer(ANALYZER, Context(guest)).findings
    assert (found.rule, found.severity, found.subject) == ("filesystems/corrupt", ERROR, "/dev/sda")
    assert "/usr/bin/head cannot be read" in found.message
    assert words in found.message
    assert found.folded == ("/usr/bin/head",)
    assert found.repair is not None
    assert found.repair.safety is safety


def test_damage_without_a_checker_is_found_and_inconclusive(tmp_path: Path) -> None:
    guest = guest_of(made(tmp_path, ["mkfs.ext4", "-q"]))
    guest.file("/etc/fstab").damaged = "Input/output error"
    guest.exists(GuestPath("/etc/fstab"))
    findings, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert [f.rule for f in findings] == ["filesystems/corrupt"]
    assert [i.reason for i in inconclusive] == ["/dev/sda: no checker for it"]

"""Damaged tables and filesystems on a real disk: found, repaired, and judged by sgdisk and e2fsck."""

from __future__ import annotations

import filecmp
import subprocess
from pathlib import Path

import pytest

import fixtures
from tests.support.disks import debugfs, extract, partition, sgdisk_is_content, zero
from tests.support.program import guestrepair

pytestmark = [pytest.mark.image, pytest.mark.long]

ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A raw copy of the bootable Debian server."""
    path = tmp_path / "disk.raw"
    fixtures.copy_of("debian-server", path)
    return path


def test_primary_gpt_damaged_is_rebuilt_bit_for_bit(disk: Path, tmp_path: Path) -> None:
    healthy = tmp_path / "healthy.raw"
    subprocess.run(["cp", "--sparse=always", disk, healthy], check=True)
    zero(disk, 1, 33)
    assert not sgdisk_is_content(disk)
    done = guestrepair("repair", "--yes", "--only", "partitions", "--select", "partitions/*",
                       "--state-dir", tmp_path / "state", disk)  # fmt: skip
    assert done.found == {"partitions/gpt-primary-damaged@/dev/sda": ("error", "repaired")}, done.stderr
    assert done.status == 0
    assert sgdisk_is_content(disk)
    assert filecmp.cmp(disk, healthy, shallow=False)


def test_table_and_filesystem_damage_at_once(disk: Path, tmp_path: Path) -> None:
    # The second GPT gone, the ESP's type wrong, the root's superblock gone, an inode cleared.
    victim = "/usr/share/doc/bash/copyright"
    debugfs(disk, 3, f"set_super_value state 2\nclri {victim}\n")
    subprocess.run(["sgdisk", "-t2:0700", disk], check=True, capture_output=True)
    sectors = disk.stat().st_size // 512
    zero(disk, sectors - 1, 1)
    scan = guestrepair("scan", "--only", "partitions,filesystems", disk)
    assert scan.found.keys() >= {
        "partitions/gpt-backup-damaged@/dev/sda",
        "partitions/esp-missing-or-wrong-type@/dev/sda2",
        "filesystems/errors-recorded@/dev/sda3",
        "filesystems/corrupt@/dev/sda3",
    }
    assert scan.status == 1
    first, _ = partition(disk, 3)
    zero(disk, first + 2, 2)
    done = guestrepair("repair", "--yes", "--all", "--only", "partitions,filesystems",
                       "--state-dir", tmp_path / "state", disk)  # fmt: skip
    assert done.found["filesystems/superblock-damaged@/dev/sda3"] == ("error", "repaired"), done.stderr
    assert done.found["partitions/gpt-backup-damaged@/dev/sda"] == ("warning", "repaired")
    (said,) = done.report["repair"]["programs"]
    assert said["program"] == "checker of ext4 on /dev/sda3"
    assert "FILE SYSTEM WAS MODIFIED" in said["output"]
    assert sgdisk_is_content(disk)
    root = extract(disk, 3, tmp_path / "root.ext4")
    check = subprocess.run(["e2fsck", "-fn", root], check=False, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
    again = guestrepair("repair", "--yes", "--all", "--only", "partitions,filesystems",
                        "--state-dir", tmp_path / "state", disk)  # fmt: skip
    assert again.problems == set(), again.stderr
    info = subprocess.run(["sgdisk", "-i2", disk], check=True, capture_output=True, text=True).stdout
    assert ESP in info
    assert sgdisk_is_content(disk)


def test_truncated_disk_is_explained_and_left_alone(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.truncate(disk.stat().st_size - 60 * 1024 * 1024)  # into the swap space behind the root
    before = disk.stat().st_mtime_ns
    scan = guestrepair("scan", "--only", "partitions", disk)
    # Linux reads no partition of such a GPT, so no system can be mounted: the reason is said.
    assert scan.status == 3
    assert "cut off: its table describes 61865984 bytes more than it has" in scan.stderr
    assert scan.found == {"partitions/beyond-end@/dev/sda4": ("error", "open")}
    assert disk.stat().st_mtime_ns == before


def test_a_root_without_superblock_is_repaired_and_the_system_then_shows(tmp_path: Path) -> None:
    # XFS does not mount by a copy of its superblock, so nothing but the disk can be judged at first.
    disk = fixtures.copy_of("debian-xfs", tmp_path / "disk.raw")
    first, _ = partition(disk, 2)
    zero(disk, first, 1)
    scan = guestrepair("scan", "--only", "filesystems,system", disk)
    assert scan.status == 3
    assert scan.found == {"filesystems/superblock-damaged@/dev/sda2": ("error", "open")}
    before = disk.stat().st_mtime_ns
    only_safe = guestrepair("repair", "--yes", "--only", "filesystems,system",
                            "--state-dir", tmp_path / "state", disk)  # fmt: skip
    assert (only_safe.status, disk.stat().st_mtime_ns) == (3, before)
    done = guestrepair("repair", "--yes", "--all", "--only", "filesystems,system",
                       "--state-dir", tmp_path / "state", disk)  # fmt: skip
    assert done.found == {"filesystems/superblock-damaged@/dev/sda2": ("error", "repaired")}, done.stderr
    assert done.status == 0
    assert done.report["guest"]["hostname"] == "debian-xfs"
    check = subprocess.run(["xfs_repair", "-n", extract(disk, 2, tmp_path / "root.xfs")], check=False)
    assert check.returncode == 0


def test_the_table_of_a_data_disk_is_repaired_though_it_holds_no_system(tmp_path: Path) -> None:
    disk = fixtures.copy_of("blank-data", tmp_path / "disk.raw")
    subprocess.run(["sgdisk", "--mbrtogpt", "-g", disk], check=False, capture_output=True)
    if not sgdisk_is_content(disk):
        pytest.skip("sgdisk cannot make a GPT of this disk")
    zero(disk, 1, 33)
    done = guestrepair("repair", "--yes", "--all", "--only", "partitions",
                       "--state-dir", tmp_path / "state", disk)  # fmt: skip
    assert done.found == {"partitions/gpt-primary-damaged@/dev/sda": ("error", "repaired")}, done.stderr
    assert done.status == 3  # there is still no system on it to be examined
    assert sgdisk_is_content(disk)

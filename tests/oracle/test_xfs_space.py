"""Free space of XFS as it is counted here, against statfs(2) of this host's kernel; with loop devices."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.file_attributes import Space
from guestrepair.formats.xfs_reserved import reserved_bytes
from tests.oracle.test_space_of_the_kernel import fill, said
from tests.support.mounts import mounted
from tests.unit.formats.xfs_images import Disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
MADE = {
    "plain": [], "reverse map": ["-m", "rmapbt=1"], "1 KiB": ["-b", "size=1024", "-n", "size=4096"],
    "many groups": ["-d", "agcount=8"], "old": ["-m", "finobt=0,reflink=0,bigtime=0", "-i", "sparse=0"],
    "not counted": ["-m", "inobtcount=0,bigtime=0"], "few inodes": ["-i", "maxpct=1"],
    "any number of inodes": ["-i", "maxpct=0"], "large inodes": ["-i", "size=2048"],
    "large sectors": ["-s", "size=4096"], "stripes": ["-d", "su=64k,sw=2"], "wide": ["-i", "nrext64=1"],
    "large log": ["-l", "size=200m"], "newer": ["-m", "rmapbt=1", "-i", "nrext64=1"],
}  # fmt: skip


def counted(image: Path) -> Space | None:
    return Disk(image).tree().space()


def make(image: Path, *options: str, size: int = 1 << 30) -> None:
    image.touch()
    os.truncate(image, size)
    if subprocess.run(["mkfs.xfs", "-q", *options, image], check=False, capture_output=True).returncode:
        pytest.skip("this mkfs.xfs does not know the option")


@pytest.mark.parametrize("name", MADE)
def test_space_is_what_the_kernel_says(name: str, tmp_path: Path) -> None:
    image, point = tmp_path / "xfs.img", tmp_path / "point"
    make(image, *MADE[name])
    new = counted(image)
    assert new == said(image, point)
    with mounted(image, point, "rw"):
        fill(point, 7, 3000)
    used = counted(image)
    assert used is not None
    assert used == said(image, point) != new


def test_space_of_one_that_is_full_and_of_one_that_has_grown(tmp_path: Path) -> None:
    image, point = tmp_path / "xfs.img", tmp_path / "point"
    make(image, size=400 << 20)
    with mounted(image, point, "rw"):
        subprocess.run(["dd", "if=/dev/zero", f"of={point}/all", "bs=1M"], check=False, capture_output=True)
        for number in range(5000):  # and no room for inodes
            try:
                (point / f"{number}").write_bytes(b"")
            except OSError:
                break
    full = counted(image)
    assert full is not None
    assert full == said(image, point)
    # What a mount that is to be written to reserves for its trees is free in one that is to be read.
    assert full.available_bytes < full.size_bytes // 10
    os.truncate(image, 700 << 20)
    with mounted(image, point, "rw"):
        done = subprocess.run(["xfs_growfs", point], check=False, capture_output=True)
    if done.returncode == 0:
        grown = counted(image)
        assert grown == said(image, point)
        assert grown is not None
        assert grown.size_bytes - full.size_bytes == 300 << 20


@pytest.mark.parametrize("name", [name for name in MADE if name != "not counted"])
def test_what_is_held_back_is_what_a_mount_to_be_written_to_does_not_offer(name: str, tmp_path: Path) -> None:
    image, point = tmp_path / "xfs.img", tmp_path / "point"
    make(image, *MADE[name])
    with mounted(image, point, "rw"):
        fill(point, 7, 3000)
        offered = os.statvfs(point)
    read_only = said(image, point)
    assert read_only is not None
    with image.open("rb") as disk:
        held = reserved_bytes(lambda at, size: os.pread(disk.fileno(), size, at))
    # Inodes and blocks that the last files took may have been given back when it was unmounted.
    assert read_only.available_bytes - held == pytest.approx(offered.f_bavail * offered.f_frsize, abs=1 << 16)
    assert held > 0


def test_no_more_is_held_back_than_is(tmp_path: Path) -> None:
    """Where the kernel has to walk the trees to know what they take, their room is not counted."""
    image, point = tmp_path / "xfs.img", tmp_path / "point"
    make(image, *MADE["not counted"])
    with mounted(image, point, "rw"):
        offered = os.statvfs(point)
    read_only = said(image, point)
    assert read_only is not None
    with image.open("rb") as disk:
        held = reserved_bytes(lambda at, size: os.pread(disk.fileno(), size, at))
    assert 0 < held < read_only.available_bytes - offered.f_bavail * offered.f_frsize

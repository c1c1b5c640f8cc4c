"""Free space of ext4 as it is counted here, against statfs(2) of this host's kernel; with loop devices."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.ext_tree import open_tree
from guestrepair.formats.file_attributes import Space
from tests.support.mounts import mounted

MADE = {
    "plain": [], "1 KiB": ["-b", "1024"], "uninit_bg": ["-O", "^metadata_csum,uninit_bg"],
    "no checksums": ["-O", "^metadata_csum,^64bit"], "no journal": ["-O", "^has_journal"],
    "sparse_super2": ["-O", "sparse_super2"], "no sparse_super": ["-O", "^sparse_super,^resize_inode"],
    "nothing for root": ["-m", "0"], "small inodes": ["-I", "128"], "much for root": ["-m", "40"],
    "large journal": ["-J", "size=64"], "few inodes": ["-N", "64"], "seed": ["-O", "metadata_csum_seed"],
    "room to grow": ["-E", "resize=40000000"], "no room": ["-O", "^resize_inode"], "flex": ["-G", "4"],
    "external attributes": ["-O", "ea_inode"], "quota": ["-O", "quota"], "orphan file": ["-O", "orphan_file"],
}  # fmt: skip


def counted(image: Path) -> Space | None:
    with image.open("rb") as file:

        def read(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        return open_tree(read, image.stat().st_size).space()


def said(image: Path, point: Path) -> Space:
    with mounted(image, point, "ro"):
        found = os.statvfs(point)
    unit = found.f_frsize
    return Space(
        found.f_blocks * unit, found.f_bfree * unit, found.f_bavail * unit, found.f_files, found.f_ffree
    )


def fill(point: Path, seed: int, files: int) -> None:
    choose = random.Random(seed)  # noqa: S311 (no secret)
    for number in range(files):
        path = point / f"d{number % 40}" / f"f{number % 300}"
        path.parent.mkdir(exist_ok=True)
        if number % 3 == 2:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(bytes(choose.randrange(40_000)))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("nothing can be mounted here")
    return tmp_path / "ext4.img"


def make(image: Path, *options: str, size: str = "300M") -> None:
    done = subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", *options, image, size], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("this mke2fs does not know the option")


@pytest.mark.parametrize("name", MADE)
def test_space_is_what_the_kernel_says(name: str, image: Path, tmp_path: Path) -> None:
    make(image, *MADE[name])
    point = tmp_path / "point"
    new = counted(image)
    assert new == said(image, point)
    with mounted(image, point, "rw"):
        fill(point, 7, 60 if name == "few inodes" else 400)
    used = counted(image)
    assert used is not None
    assert used == said(image, point) != new
    subprocess.run(["e2fsck", "-fy", image], check=False, capture_output=True)
    assert counted(image) == said(image, point)


def test_space_of_one_that_was_resized(image: Path, tmp_path: Path) -> None:
    make(image, size="120M")
    image.open("r+b").truncate(1 << 30)
    for size in ("1000M", "200M"):
        subprocess.run(["e2fsck", "-fp", image], check=True, capture_output=True)
        subprocess.run(["resize2fs", image, size], check=True, capture_output=True)
        assert counted(image) == said(image, tmp_path / "point")


def test_what_is_counted_otherwise_is_left_to_the_kernel(image: Path) -> None:
    make(image)
    with image.open("r+b") as file:  # a number of blocks for itself that older kernels believe
        file.seek(1024 + 0x248)
        file.write(b"\1")
    assert counted(image) is None
    for options in (["-O", "bigalloc"], ["-E", "mount_opts=minixdf"]):
        image.unlink()
        make(image)
        if options[0] == "-O":
            make(image, *options)
        else:
            subprocess.run(["tune2fs", *options, image], check=True, capture_output=True)
        assert counted(image) is None

"""Free space of btrfs as it is counted here, against statfs(2) of this host's kernel; with loop devices."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from guestrepair.formats.btrfs_tree import open_tree
from guestrepair.formats.file_attributes import Space
from tests.oracle.test_space_of_the_kernel import fill
from tests.support.mounts import mounted, unmount

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
MADE = {
    "plain": [], "single": ["-m", "single"], "data twice": ["-d", "dup"], "mixed": ["-M"],
    "mixed twice": ["-M", "-m", "dup", "-d", "dup"], "small nodes": ["-n", "4096"],
    "large nodes": ["-n", "65536"], "files of free space": ["-R", "^free-space-tree"],
    "sha256": ["--csum", "sha256"], "fat extents": ["-O", "^skinny-metadata"],
    "groups in a tree": ["-O", "block-group-tree"],
}  # fmt: skip
MIB = 1 << 20


def make(image: Path, *options: str, size: int = 600 * MIB) -> None:
    image.touch()
    os.truncate(image, size)
    done = subprocess.run(["mkfs.btrfs", "-q", *options, image], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("this mkfs.btrfs does not know the option")


def counted(image: Path) -> Space | None:
    with image.open("rb") as file:

        def read(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        return open_tree(read, image.stat().st_size).space()


@contextmanager
def attached(image: Path) -> Iterator[str]:
    """The image as a device that may be written to: of others the kernel calls nothing available."""
    done = subprocess.run(["losetup", "-f", "--show", image], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("there are no loop devices here")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "-d", device], check=True)


def said(image: Path, point: Path) -> Space:
    point.mkdir(exist_ok=True)
    with attached(image) as device:
        if subprocess.run(["mount", "-o", "ro", device, point], check=False, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        found = os.statvfs(point)
        unmount(point)
    available = found.f_bavail * found.f_frsize
    return Space(found.f_blocks * found.f_frsize, available, available, found.f_files, found.f_ffree)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize("name", MADE)
def test_space_is_what_the_kernel_says(name: str, tmp_path: Path) -> None:
    image, point = tmp_path / "image", tmp_path / "point"
    make(image, *MADE[name])
    new, agreed = counted(image), 1
    assert new == said(image, point)
    with mounted(image, point, "rw"):
        run("btrfs", "subvolume", "create", point / "inner")
    for turn in range(4):
        with mounted(image, point, "rw"):
            fill(point / "inner", turn, 1500)
            run("btrfs", "subvolume", "snapshot", point / "inner", point / f"snapshot{turn}")
            if turn == 2:
                run("btrfs", "subvolume", "delete", "-c", point / "snapshot0")
        used = counted(image)
        assert used is not None
        assert used == said(image, point) != new
        agreed += 1
    print(f"{name}: size and what is available agreed {agreed} of {agreed} times")


@pytest.mark.parametrize("name", ["plain", "single", "data twice", "mixed", "small nodes"])
def test_space_of_one_that_is_full(name: str, tmp_path: Path) -> None:
    image, point = tmp_path / "image", tmp_path / "point"
    make(image, *MADE[name], size=300 * MIB)
    size, agreed = 0, list[int]()
    for step in (20, 180, 300, 2, 2):  # MiB of data, as far as there is room
        with mounted(image, point, "rw"), suppress(OSError):
            (point / f"data{len(agreed)}").write_bytes(os.urandom(step * MIB))
        full = counted(image)
        assert full is not None
        assert full == said(image, point)
        size = full.size_bytes
        agreed.append(full.available_bytes)
    assert agreed[-1] * 100 < size
    print(f"{name}: agreed {len(agreed)} of {len(agreed)} times, with {agreed} bytes available")


def test_space_of_one_whose_metadata_are_full(tmp_path: Path) -> None:
    image, point = tmp_path / "image", tmp_path / "point"
    make(image, "-m", "single", size=200 * MIB)
    with mounted(image, point, "rw"):
        with suppress(OSError):
            (point / "data").write_bytes(bytes(1 << 30))
        with suppress(OSError):
            for number in range(60_000):
                (point / f"{number}").write_bytes(b"inline" * 300)
    assert counted(image) == said(image, point)


def test_space_of_one_that_was_resized_and_converted(tmp_path: Path) -> None:
    image, point = tmp_path / "image", tmp_path / "point"
    make(image)
    os.truncate(image, 1 << 30)
    with mounted(image, point, "rw"):
        fill(point, 3, 600)
        run("btrfs", "filesystem", "resize", "max", point)
    grown = counted(image)
    assert grown is not None
    assert grown.size_bytes == 1 << 30
    assert grown == said(image, point)
    with mounted(image, point, "rw"):
        run("btrfs", "filesystem", "resize", "700M", point)
        run("btrfs", "balance", "start", "-dconvert=dup", "-f", point)
    assert counted(image) == said(image, point)
    with mounted(image, point, "rw"):
        (point / "more").write_bytes(os.urandom(250 * MIB))
        run("btrfs", "balance", "start", "-dconvert=single,limit=1", "-f", point)
    converted = counted(image)
    assert converted is None or converted == said(image, point)  # None: data of two profiles

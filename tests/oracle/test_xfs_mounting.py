"""What XFS is said to mount for certain, this host's own kernel mounts: to be read, and to be written to."""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from guestrepair.formats.xfs_mounting import mount_doubt
from tests.oracle.filesystems.test_xfs_mounting import SHAPES, WIDE_SINCE, sealed
from tests.support import mounts as host
from tests.unit.formats.xfs_images import Disk, make

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
HERE = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
"""The version of this host's kernel, which mounts here what the appliance's mounts elsewhere."""

CHANGES = 300 if os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough" else 30


class Place(NamedTuple):
    """Something that a mount looks at: where it lies, how much of it is in use, where its checksum stands."""

    start: int
    size: int
    used: int
    crc_at: int | None


def doubt(disk: Disk) -> str:
    return mount_doubt(disk, disk.size_bytes, kernel=(HERE[0], HERE[1]))


def mounts(image: Path, options: str) -> bool:
    return host.mounts(image, options, kind="xfs")


def places(disk: Disk) -> list[Place]:
    inodes = disk.tree().inodes
    geometry = inodes.geometry
    assert geometry is not None
    sector, unit = geometry.sector_bytes, geometry.block_bytes
    found = [Place(0, sector, 272, 224)] * 3
    for group in range(geometry.groups):
        start = geometry.place(group, 0)
        found += [Place(start + sector, sector, 96, 216), Place(start + 2 * sector, sector, 344, 312)]
        header = disk(start + 2 * sector, 344)
        if geometry.ro_compat & 1:
            tree_at = geometry.place(group, int.from_bytes(header[328:332], "big"))
            found.append(Place(tree_at, unit, 80, 52))
    chunk, _ = inodes.place(geometry.root)
    for number in range(3):  # the top directory, and the two of a realtime device
        found.append(Place(chunk + number * geometry.inode_bytes, geometry.inode_bytes, 200, 100))
    for sector_of_log in (0, 0, 1, 2):
        found.append(
            Place(geometry.log_at + sector_of_log * 512, 512, 340 if not sector_of_log else 24, None)
        )
    return found


def change(disk: Disk, place: Place, chance: random.Random) -> str:
    """One bit, or one byte that becomes a small number; mostly with its checksum made right."""
    data = bytearray(Disk(disk.path)(place.start, place.size))
    at = chance.randrange(place.used)
    data[at] = data[at] ^ 1 << chance.randrange(8) if chance.random() < 0.7 else chance.randrange(4)
    whole = bytes(data)
    if place.crc_at is not None and chance.random() < 0.9:
        whole = sealed(whole, place.crc_at)
    disk.replaced[place.start] = whole
    return f"{at} of what begins at {place.start}"


@pytest.fixture(params=SHAPES)
def shaped(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    options = SHAPES[request.param]
    if HERE < WIDE_SINCE and "nrext64" in " ".join(options):
        pytest.skip("this host's kernel does not know nrext64")
    return make(tmp_path, *options)


def copied(disk: Disk) -> Path:
    """The image with what was replaced in it."""
    copy = disk.path.parent / "copy"
    subprocess.run(["cp", "--sparse=always", disk.path, copy], check=True)
    with copy.open("r+b") as file:
        for at, data in disk.replaced.items():
            file.seek(at)
            file.write(data)
    return copy


def test_what_is_certain_mounts(shaped: Path) -> None:
    whole, chance = Disk(shaped), random.Random(18)  # noqa: S311 - the same each time
    where = places(whole)
    assert mounts(copied(whole), "ro")
    said = wrong = 0
    for _ in range(CHANGES):
        disk = Disk(shaped)
        what = change(disk, chance.choice(where), chance)
        if doubt(disk):
            continue
        said += 1
        for options in ("ro", "rw"):
            if not mounts(copied(disk), options):
                wrong += 1
                print(f"not mounted {options}: byte {what}")
    print(f"said to mount for certain, and mounted: {said - wrong} of {said} (of {CHANGES} changed ones)")
    assert said > CHANGES // 10
    assert not wrong


def test_what_was_written_to_and_unmounted_is_certain(shaped: Path) -> None:
    """Not once only: a log that has gone round, and trees that have grown."""
    point = shaped.parent / "mounted"
    assert mounts(shaped, "rw")
    for turn in range(3):
        with host.mounted(shaped, point, kind="xfs"):
            for number in range(1500):
                path = point / f"d{number % 30}" / f"{turn}-{number}"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(bytes(number * 7 % 9000))
                if number % 3 == 2:
                    path.unlink()
        disk = Disk(shaped)
        assert not doubt(disk)
        assert mounts(shaped, "ro")


@pytest.mark.skipif(HERE < WIDE_SINCE, reason="this host's kernel does not know nrext64")
def test_where_the_narrow_counter_was_there_is_nothing(tmp_path: Path) -> None:
    """Of an inode whose counters of extents are wide (di_nrext64_pad)."""
    image = make(tmp_path, "-i", "nrext64=1")
    disk = Disk(image)
    inodes = disk.tree().inodes
    assert inodes.geometry is not None
    place, _ = inodes.place(inodes.geometry.root)
    data = disk(place, inodes.geometry.inode_bytes)
    for value, refused in ((b"\0\0", False), (b"\0\1", True), (b"\x80\0", True)):
        disk.replaced[place] = sealed(data[:80] + value + data[82:], 100)
        assert bool(doubt(disk)) is refused
        assert mounts(copied(disk), "ro") is not refused


def test_trees_of_free_inodes_that_a_mount_counts(tmp_path: Path) -> None:
    image, point = make(tmp_path, "-b", "size=1024", "-m", "inobtcount=0,bigtime=0"), tmp_path / "mounted"
    assert mounts(image, "rw")
    with host.mounted(image, point, kind="xfs"):
        for number in range(20_000):
            (point / f"{number}").touch()
        for number in range(0, 20_000, 50):
            (point / f"{number}").unlink()
    disk = Disk(image)
    geometry = disk.tree().inodes.geometry
    assert geometry is not None
    headers = [disk(geometry.place(group, 0) + 1024, 336) for group in range(geometry.groups)]
    assert max(header[335] for header in headers) > 1  # levels
    assert not doubt(disk)
    assert mounts(image, "rw")
    group, header = next((g, header) for g, header in enumerate(headers) if header[335] > 1)
    root = geometry.place(group, int.from_bytes(header[328:332], "big"))
    records, first_below = int.from_bytes(disk(root + 6, 2), "big"), root + 56 + (1024 - 56) // 8 * 4
    last = int.from_bytes(disk(first_below + (records - 1) * 4, 4), "big")
    disk.replaced[geometry.place(group, last) + 100] = b"damage"
    assert "tree of free inodes" in doubt(disk)
    assert not mounts(copied(disk), "rw")


def test_a_small_log_that_has_gone_round(tmp_path: Path) -> None:
    image, point = tmp_path / "image", tmp_path / "mounted"
    image.touch()
    os.truncate(image, 300 << 20)
    allow = {"TEST_DIR": "1", "TEST_DEV": "1", "QA_CHECK_FS": "1"}  # logs as older programs made them
    subprocess.run(
        ["mkfs.xfs", "-q", "-l", "size=10m", image], check=True, capture_output=True, env=os.environ | allow
    )
    at: list[int] = []
    for turn in range(8):
        assert mounts(image, "rw")
        disk = Disk(image)
        assert not doubt(disk)
        blocks = disk.tree().inodes.blocks
        assert blocks is not None
        at.append(blocks.last_lsn)
        with host.mounted(image, point, kind="xfs"):
            for number in range(12_000):
                (point / f"{turn}-{number}").mkdir()
                if number % 1000 == 999:
                    subprocess.run(["sync", "-f", point], check=True)
            for number in range(12_000):
                (point / f"{turn}-{number}").rmdir()
    assert at == sorted(set(at))
    assert at[-1] >> 32 > at[0] >> 32
    print(f"the log has gone round {(at[-1] >> 32) - (at[0] >> 32)} times")

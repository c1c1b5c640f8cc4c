"""Whatever is said to mount for certain, this host's kernel mounts: damaged and forged btrfs filesystems.

Bytes of what a mount reads are changed, in all copies, mostly with the checksum made right, as nobody but a
forger does. It asks for root and loop devices.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from guestrepair.formats.btrfs_mounting import mount_doubt
from guestrepair.formats.btrfs_superblock import read_geometry
from guestrepair.formats.btrfs_volume import open_volume
from guestrepair.formats.superblock.model import Read
from tests.oracle.filesystems.test_btrfs_mounting import SHAPES
from tests.oracle.test_space_of_the_kernel import fill
from tests.support import mounts as host
from tests.unit.formats.btrfs_images import SUPERBLOCK, resealed

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
CHANGES = 600 if os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough" else 50
NODE = re.compile(r"^(?:leaf|node) (\d+) (?:level \d+ )?items \d+ .* owner (\S+)$", re.MULTILINE)
WITH_WRITES = frozenset({"", "ROOT_TREE", "FS_TREE", "UUID_TREE", "QUOTA_TREE", "DATA_RELOC_TREE"})
"""What is changed of the other trees is mounted to be read only: who writes would follow it."""


class Place(NamedTuple):
    """Something that a mount looks at: its address, its copies on the device, its size, and its tree."""

    address: int
    copies: tuple[int, ...]
    size: int
    owner: str


def reader(image: Path) -> Read:
    def read(offset: int, size: int) -> bytes:
        with image.open("rb") as file:
            return os.pread(file.fileno(), size, offset)

    return read


def doubt(image: Path) -> str:
    return mount_doubt(reader(image), image.stat().st_size)


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


def mount(image: Path, options: str) -> Path | None:
    """Where it is mounted; None: the kernel does not. Skips where there are no loop devices."""
    point = image.parent / "mounted"
    # Of one identity the kernel remembers the newest: what the last image has become.
    subprocess.run(["btrfs", "device", "scan", "--forget"], check=False, capture_output=True)
    return point if host.mount(image, point, options, kind="btrfs") else None


def mounts(image: Path, options: str) -> bool:
    point = mount(image, options)
    if point is not None:
        host.unmount(point)
    return point is not None


def make(folder: Path, *options: str, quotas: bool = False) -> Path:
    """An image that a kernel has used: subvolumes and snapshots, trees of several levels."""
    image = folder / "image"
    image.touch()
    os.truncate(image, 300 << 20)
    if subprocess.run(["mkfs.btrfs", "-q", *options, image], check=False, capture_output=True).returncode:
        pytest.skip("this mkfs.btrfs does not know the option")
    point = mount(image, "rw")
    assert point is not None
    run("btrfs", "subvolume", "create", point / "inner")
    if quotas:
        run("btrfs", "quota", "enable", point)
        run("btrfs", "qgroup", "create", "1/7", point)
        run("btrfs", "qgroup", "assign", "0/256", "1/7", point)
        run("btrfs", "qgroup", "limit", "100M", "0/256", point)
        run("btrfs", "quota", "rescan", "-w", point)
    for turn in range(3):
        fill(point / "inner", turn, 700)
        run("btrfs", "subvolume", "snapshot", point / "inner", point / f"snapshot{turn}")
    (point / "inner" / "shared").write_bytes(b"shared" * 40_000)
    run("cp", "--reflink=always", point / "inner" / "shared", point / "inner" / "copy")
    host.unmount(point)
    return image


def places(image: Path) -> list[Place]:
    """The superblock, and all nodes of all trees but of those of files, of which a mount reads few."""
    volume = open_volume(read_geometry(reader(image), image.stat().st_size), reader(image))
    command = ["btrfs", "inspect-internal", "dump-tree", str(image)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    size = volume.geometry.node_bytes
    found = {
        int(at): Place(int(at), tuple(volume.copies(int(at), size)), size, owner)
        for at, owner in NODE.findall(text)
        if not owner.isdigit()
    }
    assert {"ROOT_TREE", "CHUNK_TREE", "EXTENT_TREE", "DEV_TREE", "UUID_TREE"} <= {
        place.owner for place in found.values()
    }
    return [Place(SUPERBLOCK, (SUPERBLOCK,), 4096, ""), *found.values()]


def used(place: Place, data: bytes, chance: random.Random) -> int:
    """A byte of it that says something."""
    if not place.owner:
        return chance.choice(
            [chance.randrange(32, 300), chance.randrange(555, 587), chance.randrange(811, 1100)]
        )
    items = int.from_bytes(data[96:100], "little")
    if data[100]:
        return chance.randrange(32, 101 + 33 * items)
    heads = 101 + 25 * items
    last = int.from_bytes(data[heads - 8 : heads - 4], "little") if items else len(data) - 101
    content = range(101 + last, len(data))
    return chance.choice(content) if content and chance.random() < 0.6 else chance.randrange(32, heads)


def change(image: Path, place: Place, chance: random.Random) -> int:
    """One bit, or one byte that becomes a small number; mostly with its checksum made right."""
    data = bytearray(reader(image)(place.copies[0], place.size))
    at = used(place, bytes(data), chance)
    data[at] = data[at] ^ 1 << chance.randrange(8) if chance.random() < 0.7 else chance.randrange(4)
    whole = resealed(bytes(data)) if chance.random() < 0.9 else bytes(data)
    with image.open("r+b") as file:
        for start in place.copies:
            os.pwrite(file.fileno(), whole, start)
    return at


def test_what_is_certain_mounts(tmp_path: Path) -> None:
    chance = random.Random(18)  # noqa: S311 - the same each time
    copy = tmp_path / "copy"
    said = wrong = tried = 0
    for name in ("usual", "small nodes", "files of free space", "mixed"):
        folder = tmp_path / name
        folder.mkdir()
        whole = make(folder, *SHAPES[name], quotas=name == "usual")
        where = places(whole)
        for _ in range(CHANGES):
            owner = chance.choice(sorted({place.owner for place in where}))
            place = chance.choice([place for place in where if place.owner == owner])
            for options in ("ro", "rw") if place.owner in WITH_WRITES else ("ro",):
                run("cp", "--sparse=always", whole, copy)
                at = change(copy, place, random.Random(tried))  # noqa: S311
                if doubt(copy):
                    continue
                said += 1
                if not mounts(copy, options):
                    wrong += 1
                    print(f"not mounted {options}: {name}, byte {at} of {place}")
            tried += 1
    print(f"said to mount for certain, and mounted: {said - wrong} of {said} (of {tried} changed ones)")
    assert said > tried // 10
    assert not wrong


@pytest.mark.parametrize("name", SHAPES)
def test_what_was_written_to_and_unmounted_is_certain(name: str, tmp_path: Path) -> None:
    image = make(tmp_path, *SHAPES[name], quotas=name in {"usual", "small nodes"})
    for turn in range(3):
        assert not doubt(image)
        assert mounts(image, "ro")
        point = mount(image, "rw")
        assert point is not None
        fill(point / "inner", 10 + turn, 900)
        run("btrfs", "subvolume", "delete", "-c", point / f"snapshot{turn}")  # which is removed later
        host.unmount(point)
    assert not doubt(image)
    assert mounts(image, "rw")


def test_what_is_left_undone_is_a_doubt(tmp_path: Path) -> None:
    image = make(tmp_path)
    point = mount(image, "rw")
    assert point is not None
    try:
        with (point / "inner" / "gone").open("w") as file:
            (point / "inner" / "gone").unlink()
            os.fsync(file.fileno())
            run("btrfs", "filesystem", "sync", point)
            copy = tmp_path / "crashed"
            run("cp", "--sparse=always", image, copy)
    finally:
        host.unmount(point)
    assert "deleted files" in doubt(copy) or "log" in doubt(copy)
    assert not doubt(image)
    point = mount(image, "rw")
    assert point is not None
    try:
        with (point / "inner" / "written").open("w") as file:
            file.write("in the log")
            file.flush()
            os.fsync(file.fileno())
            run("cp", "--sparse=always", image, copy)
    finally:
        host.unmount(point)
    assert "log" in doubt(copy)

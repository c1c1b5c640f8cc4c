"""Is it certain that an XFS mounts? What mkfs.xfs makes is; what is damaged or new in it is not."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.xfs_mounting import mount_doubt
from tests.unit.formats.xfs_images import Disk, edit, make, make_filesystem

SHAPES = {
    "usual": (),
    "blocks of the free inodes' tree are counted": ("-m", "bigtime=0,inobtcount=0"),
    "no tree of free inodes": ("-m", "finobt=0,reflink=0,bigtime=0"),
    "no sparse inodes": ("-i", "sparse=0"),
    "reverse map": ("-m", "rmapbt=1"),
    "blocks of 1 KiB": ("-b", "size=1024", "-n", "size=4096"),
    "large sectors": ("-s", "size=4096"),
    "stripes": ("-d", "su=64k,sw=2,agcount=4"),
    "large names": ("-n", "size=65536"),
    "large inodes": ("-i", "size=2048"),
    "as newer programs make it": ("-m", "rmapbt=1", "-i", "nrext64=1"),
    "wide counters of extents": ("-i", "nrext64=1", "-b", "size=1024", "-n", "size=4096"),
}
WIDE_SINCE = (5, 19)
"""The first kernel with wide counters of extents (nrext64)."""
NO_CRC = bytes(4)


def doubt(disk: Disk, kernel: tuple[int, int] | None = None) -> str:
    return mount_doubt(disk, disk.size_bytes, kernel=kernel)


def sealed(data: bytes, crc_at: int) -> bytes:
    """Its checksum made right."""
    state = crc32c(data[:crc_at] + NO_CRC + data[crc_at + 4 :]) ^ 0xFFFFFFFF
    return data[:crc_at] + state.to_bytes(4, "little") + data[crc_at + 4 :]


def forged(path: Path, place: tuple[int, int, int], at: int, value: bytes) -> Disk:
    """One field of a structure (its first byte, size, and where its checksum stands) changed, and sealed."""
    start, size, crc_at = place
    data = Disk(path)(start, size)
    disk = Disk(path)
    disk.replaced[start] = sealed(data[:at] + value + data[at + len(value) :], crc_at)
    return disk


def headers(path: Path, group: int = 0) -> dict[str, tuple[int, int, int]]:
    """The superblock, and the headers of a group."""
    geometry = Disk(path).tree().inodes.geometry
    assert geometry is not None
    start, size = geometry.place(group, 0), geometry.sector_bytes
    return {
        "superblock": (0, size, 224),
        "space": (start + size, size, 216),
        "inodes": (start + 2 * size, size, 312),
    }


@pytest.fixture(scope="module", params=SHAPES)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("xfs"), *SHAPES[request.param])


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("xfs"), "-m", "inobtcount=0")


def test_what_mkfs_makes_mounts(image: Path) -> None:
    assert doubt(Disk(image), WIDE_SINCE) == ""


def test_wide_counters_of_extents_are_not_known_to_all(tmp_path: Path) -> None:
    disk = Disk(make(tmp_path, "-i", "nrext64=1"))
    for kernel in (None, (4, 18), (5, 14), (5, 18)):
        assert "features" in doubt(disk, kernel), kernel
    for kernel in (WIDE_SINCE, (6, 1), (7, 0)):
        assert not doubt(disk, kernel), kernel


def test_a_new_kernel_does_not_make_unknown_features_known(usual: Path) -> None:
    for bit in (0x10, 0x40, 0x80, 0x100, 0x200, 1 << 31):
        disk = forged(usual, headers(usual)["superblock"], 216, (0xB | bit).to_bytes(4, "big"))
        assert doubt(disk, (99, 0)), bit


def test_what_is_no_xfs_is_a_doubt(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(1 << 20))
    assert doubt(Disk(tmp_path / "image"))


@pytest.mark.parametrize(
    ("header", "at", "value", "why"),
    [
        ("superblock", 208, b"\0\0\0\1", "features"),  # a compatible one
        ("superblock", 216, b"\0\0\0\x4b", "features"),  # exchange of ranges
        ("superblock", 100, b"\x94\xa5", "features"),  # directories of version 1
        ("superblock", 176, b"\0\x41", "quotas"),
        ("superblock", 160, b"\0\0\0\0\0\0\0\x83", "quotas"),
        ("superblock", 32, bytes(16), "header"),  # which the headers carry, too
        ("superblock", 184, b"\0\0\0\4", "odd"),  # stripes without a width
        ("superblock", 180, b"\0\0\0\4", "odd"),  # alignment of inodes
        ("superblock", 228, b"\0\0\0\0", "odd"),
        ("superblock", 179, b"\1", "odd"),
        ("superblock", 92, b"\0\0\0\1", "odd"),
        ("superblock", 144, b"\1" + bytes(7), "odd"),  # more free blocks than there are
        ("superblock", 136, b"\1" + bytes(7), "odd"),
        ("superblock", 196, b"\0\x10\0\0", "log"),  # aligned to a megabyte
        ("superblock", 194, b"\x10\0", "log"),
        ("superblock", 96, b"\0\0\x08\0", "log"),  # 8 MiB; then its end is not found, either
        ("superblock", 240, b"\0\1" + bytes(6), "newer"),
        ("superblock", 64, b"\0\0\0\0\0\0\0\x83", "top directory"),  # a file in it, then
        ("space", 28, b"\0\0\0\0", "free space"),
        ("space", 32, b"\0\0\0\x20", "free space"),
        ("space", 40, b"\0\0\0\x77", "free space"),
        ("space", 48, b"\0\0\0\x78", "free space"),
        ("space", 52, b"\0\xff\0\0", "free space"),
        ("space", 56, b"\0\xff\0\0", "free space"),
        ("space", 92, b"\0\0\0\0", "free space"),
        ("inodes", 332, b"\0\0\0\0", "inodes of its group"),
        ("inodes", 332, b"\0\0\0\2", "tree of free inodes"),
        ("inodes", 328, b"\0\0\0\3", "tree of free inodes"),
    ],
)
def test_a_header_that_is_sealed_and_odd(usual: Path, header: str, at: int, value: bytes, why: str) -> None:
    place = headers(usual, group=1 if header != "superblock" else 0)[header]
    assert why in doubt(forged(usual, place, at, value))


def test_damage_is_a_doubt(usual: Path) -> None:
    inodes = Disk(usual).tree().inodes
    geometry = inodes.geometry
    assert geometry is not None
    chunk, _ = inodes.place(geometry.root)
    tree_at = geometry.place(1, struct.unpack(">I", Disk(usual)(headers(usual, 1)["inodes"][0] + 328, 4))[0])
    for at, why in (
        (geometry.sector_bytes + 300, "headers"),
        (geometry.place(3, 0) + 2 * geometry.sector_bytes + 20, "headers"),
        (chunk + 48, "top directory"),
        (chunk + geometry.inode_bytes + 48, "realtime"),
        (chunk + 2 * geometry.inode_bytes + 48, "realtime"),
        (tree_at + 8, "tree of free inodes"),
    ):
        disk = Disk(usual)
        disk.replaced[at] = bytes([disk(at, 1)[0] ^ 4])
        assert why in doubt(disk), at


def test_a_log_that_was_not_closed_is_a_doubt(usual: Path) -> None:
    geometry = Disk(usual).tree().inodes.geometry
    assert geometry is not None
    disk = Disk(usual)
    disk.replaced[geometry.log_at + 512 + 9] = b"\0"
    assert "log" in doubt(disk)


def test_a_log_that_would_begin_behind_its_end_is_a_doubt(usual: Path) -> None:
    geometry = Disk(usual).tree().inodes.geometry
    assert geometry is not None
    for at, value in ((27, b"\2"), (31, b"\xff"), (7, b"\2")):  # cycle and place of its tail, its own cycle
        disk = Disk(usual)
        disk.replaced[geometry.log_at + at] = value
        assert "log" in doubt(disk), at


def test_a_file_that_was_deleted_while_it_was_open_is_a_doubt(tmp_path: Path) -> None:
    make_filesystem(tmp_path / "image")
    edit(tmp_path / "image", "agi 0", "write -d unlinked[3] 131")
    assert "headers" in doubt(Disk(tmp_path / "image"))

"""Free space of XFS: from a superblock that the headers of all groups agree with, or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.oracle.filesystems.test_xfs_mounting import forged, headers
from tests.unit.formats.xfs_images import SIZE_BYTES, Disk, edit, make


@pytest.fixture(scope="module", params=[(), ("-b", "size=1024"), ("-i", "maxpct=1")])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("xfs"), *request.param)


def test_space_is_what_xfs_db_reads(image: Path) -> None:
    space = Disk(image).tree().space()
    text = edit(image, "sb 0", "print")
    said = {name: int(number) for name, number in re.findall(r"^(\w+) = (\d+)$", text, re.MULTILINE)}
    unit = said["blocksize"]
    free = said["fdblocks"] - 8 * said["agcount"]
    assert space is not None
    assert space.size_bytes == SIZE_BYTES - said["logblocks"] * unit
    assert space.free_bytes == space.available_bytes == free * unit
    room = said["icount"] + free * said["inopblock"]
    most = SIZE_BYTES // unit * said["imax_pct"] // 100 * said["inopblock"] // 64 * 64
    assert space.inodes == min(room, most)
    assert space.inodes - space.inodes_free == said["icount"] - said["ifree"]


@pytest.mark.parametrize(
    ("header", "at"),
    [
        *(("superblock", 151), ("superblock", 135), ("superblock", 143)),
        *(("space", 51), ("space", 55), ("space", 63), ("inodes", 19), ("inodes", 31)),
    ],
)
def test_a_counter_that_differs_is_seen(image: Path, header: str, at: int) -> None:
    place = headers(image)[header]
    value = Disk(image)(place[0] + at, 1)[0]
    assert forged(image, place, at, bytes([value])).tree().space() is not None
    for bit in range(8):
        assert forged(image, place, at, bytes([value ^ 1 << bit])).tree().space() is None


def test_a_filesystem_that_is_not_certain_has_no_space(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(1 << 20))
    assert Disk(tmp_path / "image").tree().space() is None

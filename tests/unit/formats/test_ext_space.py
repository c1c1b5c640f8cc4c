"""Free space of ext4: from group descriptors that are intact and agree with the superblock, or not at all."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_tree import Tree
from tests.unit.formats import ext_images

DESCRIPTORS_AT = 4096


@pytest.fixture(scope="module", params=[(), ("-O", "^metadata_csum,uninit_bg"), ext_images.WITHOUT_CHECKSUMS])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ext_images.make(tmp_path_factory.mktemp("space"), "-b", "4096", *request.param)


def test_space_is_what_dumpe2fs_reads(image: Path) -> None:
    space = ext_images.tree(image).space()
    assert space is not None
    text = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True, check=True).stdout
    said = {name: int(number) for name, number in re.findall(r"^([A-Z][a-z ]+): +(\d+)$", text, re.MULTILINE)}
    blocks, free = said["Block count"], said["Free blocks"]
    assert space.size_bytes == (blocks - said["Overhead clusters"]) * 4096
    assert space.free_bytes == free * 4096
    assert space.available_bytes == (free - said["Reserved block count"] - blocks // 50) * 4096
    assert (space.inodes, space.inodes_free) == (said["Inode count"], said["Free inodes"])


@pytest.mark.parametrize("at", [0x0C, 0x0E, 0x1E])
def test_a_flipped_bit_in_a_counter_is_seen(at: int, image: Path) -> None:
    data = bytearray(image.read_bytes())
    unused = at == 0x1E and ext_images.superblock_number(image, 0x64) & 0x410 == 0

    def tree() -> Tree:
        return Tree(Inodes(lambda offset, size: bytes(data[offset : offset + size]), len(data)))

    for bit in range(8):
        data[DESCRIPTORS_AT + at] ^= 1 << bit
        assert (tree().space() is None) != unused
        data[DESCRIPTORS_AT + at] ^= 1 << bit
    assert tree().space() is not None


def test_a_filesystem_that_is_not_certain_has_no_space() -> None:
    assert ext_images.tree_of(bytes(1 << 20)).space() is None

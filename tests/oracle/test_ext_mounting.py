"""What is said to mount for certain, this host's own kernel mounts: to be read, and to be written to."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from guestrepair.formats.ext_mounting import mount_doubt
from guestrepair.formats.superblock.checksums import crc32c
from tests.oracle.filesystems.test_ext_mounting import SHAPES
from tests.support import mounts as host
from tests.unit.formats.ext_images import make, tree

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
CHANGES = 300 if os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough" else 30
_SUPERBLOCK, _SUPERBLOCK_BYTES = 1024, 1024


def places(image: Path) -> list[tuple[int, int]]:
    """First bytes and sizes of what a mount looks at."""
    inodes = tree(image).inodes
    geometry, journal = inodes.geometry, inodes.journal_layout()
    assert geometry is not None
    found = [
        (_SUPERBLOCK, 0x284),
        (geometry.descriptors_at, geometry.groups * geometry.descriptor_bytes),
        inodes.place(2),
        inodes.place(8),
    ]
    return found + ([(journal.extents[0].physical, 256)] if journal is not None else [])


def changed(whole: bytes, where: list[tuple[int, int]], chance: random.Random) -> bytes:
    """One byte changed; a superblock gets its checksum again, so that what it says is believed."""
    start, size = chance.choice(where)
    data = bytearray(whole)
    data[start + chance.randrange(size)] ^= 1 << chance.randrange(8)
    if int.from_bytes(whole[_SUPERBLOCK + 0x64 : _SUPERBLOCK + 0x68], "little") & 0x400:
        state = crc32c(bytes(data[_SUPERBLOCK : _SUPERBLOCK + 0x3FC]))
        data[_SUPERBLOCK + 0x3FC : _SUPERBLOCK + 0x400] = state.to_bytes(4, "little")
    return bytes(data)


def certain(data: bytes) -> bool:
    return not mount_doubt(lambda offset, size: data[offset : offset + size], len(data))


@pytest.fixture(params=SHAPES)
def shaped(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make(tmp_path, *SHAPES[request.param])


def test_what_is_certain_mounts(shaped: Path) -> None:
    whole, where, chance = shaped.read_bytes(), places(shaped), random.Random(18)  # noqa: S311 - the same each time
    assert host.mounts(shaped, "ro", kind="ext4")
    said = wrong = 0
    for _ in range(CHANGES):
        data = changed(whole, where, chance)
        if not certain(data):
            continue
        said += 1
        for options in ("ro", "rw"):
            shaped.write_bytes(data)
            if not host.mounts(shaped, options, kind="ext4"):
                wrong += 1
                at = [index for index in range(len(whole)) if whole[index] != data[index]]
                print(f"not mounted {options}: bytes {at[:3]}")
    print(f"said to mount for certain, and mounted: {said - wrong} of {said} (of {CHANGES} changed ones)")
    assert said > CHANGES // 10
    assert not wrong

"""XFS with some of its metadata changed: an answer is right or not given, nothing is raised, time is bounded.

`GUESTREPAIR_TEST_DEPTH=thorough` changes many more.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.xfs_chunks import CHUNK_INODES
from tests.unit.formats.xfs_images import Answers, Disk, answers, make

THOROUGH = os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough"
CHANGES = 10_000 if THOROUGH else 150
SECONDS = 5.0
"""What the answers of one changed filesystem may take; they take some tens of milliseconds."""


@pytest.fixture(scope="module", params=[(), ("-b", "size=1024")], ids=["usual", "small blocks"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sound"), *request.param)


def in_use(image: Path) -> list[tuple[int, int]]:
    """First bytes and sizes of all metadata that are read for all the answers."""
    disk = Disk(image)
    right = answers(disk.tree())
    assert sum(answer is not None for answer in right.values()) > 3000
    return sorted(set(disk.reads))


def changed(image: Path, seed: int, places: list[tuple[int, int]], log: tuple[int, int]) -> Iterator[Disk]:
    """The image with one to three small changes, again and again."""
    rng, disk = random.Random(seed), Disk(image)  # noqa: S311 - no secret
    for _ in range(CHANGES):
        disk.replaced.clear()
        for _ in range(rng.choice((1, 1, 2, 3))):
            start, size = rng.choice(places)
            at = start + rng.randrange(size)
            if log[0] <= at < log[0] + log[1] and rng.random() < 0.8:
                at = at // 512 * 512 + rng.randrange(8)  # where each of its sectors says its cycle
            (old,) = disk(at, 1) or b"\0"
            new = rng.choice((old ^ 1 << rng.randrange(8), 0, 0xFF, rng.randrange(256)))
            disk.replaced[at] = bytes((new,))
        yield disk


def test_an_answer_is_right_or_not_given(image: Path) -> None:
    geometry = Disk(image).tree().inodes.geometry
    assert geometry is not None
    right, places, noticed = answers(Disk(image).tree()), in_use(image), 0
    for disk in changed(image, 1, places, (geometry.log_at, geometry.log_bytes)):
        started = time.process_time()
        said = answers(disk.tree())
        assert time.process_time() - started < SECONDS
        for question, answer in said.items():
            assert answer is None or answer == right[question], (question, disk.replaced)
        noticed += said != right
    assert noticed > CHANGES // 2  # the changes hit what is read


def test_with_right_checksums_nothing_is_raised_and_time_is_bounded(image: Path) -> None:
    """Whoever made the filesystem made its checksums, too: circles, numbers that lead anywhere."""
    geometry = Disk(image).tree().inodes.geometry
    assert geometry is not None
    places = [
        place for place in in_use(image) if not geometry.log_at <= place[0] < geometry.log_at + (1 << 26)
    ]
    rng, right, believed = random.Random(2), answers(Disk(image).tree()), 0  # noqa: S311 - no secret
    for _ in range(CHANGES):
        disk = Disk(image)
        for _ in range(4):
            start, size = rng.choice(places)
            _forge(disk, rng, start, size, geometry.inode_bytes)
        started = time.process_time()
        said = answers(disk.tree())
        _lie_on(said, disk.size_bytes)
        believed += said != right
        assert list(disk.tree().records(()))
        assert time.process_time() - started < SECONDS
    assert believed > CHANGES // 4


SEALS = {b"XFSB": 224, b"XAGF": 216, b"XAGI": 312, b"IAB3": 52, b"BMA3": 64, b"XSLM": 12}
"""Where structures keep their checksums, by their magic numbers."""


def _forge(disk: Disk, rng: random.Random, start: int, size: int, inode_bytes: int) -> None:
    """Change a structure, and its checksum with it."""
    unit = size
    if size == CHUNK_INODES * inode_bytes:
        unit = inode_bytes
    elif not start or size == 1024:  # a superblock, or the two sectors of a group's headers
        unit = 512
    start += rng.randrange(min(size, 1024) // unit if not start else size // unit) * unit
    data = bytearray(disk(start, unit))
    magic = bytes(data[:4])
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 200))
        data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), 0, 1, 0xFF, rng.randrange(256)))
    crc_at = 100 if magic[:2] == b"IN" else 4 if magic[:2] == b"XD" else SEALS.get(magic, 12)
    data[crc_at : crc_at + 4] = bytes(4)
    data[crc_at : crc_at + 4] = (crc32c(bytes(data)) ^ 0xFFFFFFFF).to_bytes(4, "little")
    disk.replaced[start] = bytes(data)


def _lie_on(said: Answers, size_bytes: int) -> None:
    """Files lie on the filesystem, and say what they may."""
    for (question, _), answer in said.items():
        if question == "layout" and answer is not None:
            assert answer.lies_within(size_bytes)  # type: ignore[attr-defined]


def test_a_filesystem_that_was_not_unmounted_is_not_read(image: Path) -> None:
    """Its log says so; xfs_logprint is asked, too."""
    geometry = Disk(image).tree().inodes.geometry
    assert geometry is not None
    disk = Disk(image)
    record = geometry.log_at
    assert disk(record, 4) == b"\xfe\xed\xba\xbe"
    assert disk(record + 512 + 9, 1) == b"\x20"
    disk.replaced[record + 512 + 9] = b"\0"
    assert not disk.tree().inodes.is_certain
    done = subprocess.run(["xfs_logprint", "-t", image], capture_output=True, text=True, check=True)
    assert "<CLEAN>" in done.stdout

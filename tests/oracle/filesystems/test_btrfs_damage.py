"""Flipped bits in a btrfs: the answer is the right one, or none; never another, and no other exception."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestrepair.formats.btrfs_subvolumes import list_subvolumes
from guestrepair.formats.btrfs_tree import BtrfsTree, open_tree
from guestrepair.formats.file_attributes import Found
from tests.oracle.filesystems.test_btrfs_tree import nested, packed_files
from tests.unit.formats.btrfs_images import (
    NODE,
    Image,
    answers,
    files,
    make,
    replaced,
    resealed,
    roots,
    tree_of,
)

MANY = 300 if os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough" else 24
"""Bits that are flipped, one at a time, spread over all that is read."""


class Flipped:
    """An image with some bits flipped, and where of it was read."""

    def __init__(self, image: Path, flips: dict[int, int] | None = None) -> None:
        self._opened = image.open("rb")
        self.size = image.stat().st_size
        self._flips = flips or {}
        self.ranges: set[tuple[int, int]] = set()

    def read(self, offset: int, size: int) -> bytes:
        data = bytearray(os.pread(self._opened.fileno(), size, offset))
        self.ranges.add((offset, len(data)))
        for at, bits in self._flips.items():
            if offset <= at < offset + len(data):
                data[at - offset] ^= bits
        return bytes(data)

    def tree(self) -> BtrfsTree:
        return open_tree(self.read, self.size)

    def close(self) -> None:
        self._opened.close()


def agrees(found: tuple[object, ...], truth: tuple[object, ...]) -> bool:
    return all(mine is None or mine == theirs for mine, theirs in zip(found, truth, strict=True))


def verify(tree: BtrfsTree, truth: dict[bytes, tuple[object, ...]], listed: set[object]) -> int:
    """That what is answered is right; how many answers there were."""
    count = 0
    for path, found in answers(tree):
        assert path in truth, path
        assert agrees(found, truth[path]), path
        count += any(each is not None for each in found)
    for record in tree.records(()):
        assert not isinstance(record, Found) or record in listed
    return count


@pytest.fixture(scope="module", params=["single", "dup"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("btrfs")
    made = make(folder / request.param, files(folder / "tree"), "-m", request.param)
    yield made
    made.unlink()


def used(image: Path) -> list[int]:
    """Bytes of the pieces that are read which are not zero, some of each sector."""
    whole = Flipped(image)
    list(answers(whole.tree()))
    data = image.read_bytes()
    whole.close()
    return sorted(
        {
            at + (at // 512 * 37) % 512
            for start, size in whole.ranges
            for at in range(start, start + size - 512, 512)
            if data[at : at + 512].strip(b"\0")
        }
    )


def test_a_flipped_bit_gives_the_right_answer_or_none(image: Path) -> None:
    sound = Flipped(image)
    truth, listed = dict(answers(sound.tree())), set[object](sound.tree().records(()))
    sound.close()
    places = used(image)
    answered = []
    for index, at in enumerate(places[:: max(1, len(places) // MANY)]):
        flipped = Flipped(image, {at: 1 << index % 8})
        answered.append(verify(flipped.tree(), truth, listed))
        flipped.close()
    assert len(answered) >= MANY
    assert min(answered) < len(truth) or image.name == "dup"
    assert max(answered) == len(truth)


@cache
def laid_out() -> bytes:
    made, _ = nested()
    packed_files(made)
    return made.finish()


@cache
def leaves() -> list[int]:
    """Where the leaf of each tree lies, and that of the tree of trees."""
    with_roots = tree_of(laid_out()).roots
    assert with_roots is not None
    geometry = with_roots.volume.geometry
    return [*roots(laid_out()).values(), geometry.roots.address, geometry.chunks.address]


@settings(max_examples=200, deadline=None)
@given(
    leaf=st.integers(0, 6),
    flips=st.lists(st.tuples(st.integers(32, NODE - 1), st.integers(1, 255)), min_size=1, max_size=3),
    near=st.booleans(),
)
def test_whatever_a_leaf_with_the_right_checksum_holds(
    leaf: int, flips: list[tuple[int, int]], near: bool
) -> None:
    """Who makes a filesystem can make its checksums right, and anything stand there: nothing breaks."""
    at = leaves()[leaf % len(leaves())]
    node = bytearray(laid_out()[at : at + NODE])
    for offset, bits in flips:
        node[32 + offset % 1500 if near else offset] ^= bits
    read = replaced(laid_out(), at, resealed(bytes(node)))
    tree = open_tree(read, len(laid_out()))
    for _, (number, *_) in zip(range(40), answers(tree), strict=False):
        assert number is None or number
    list(tree.records(()))
    list_subvolumes(read, len(laid_out()))


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 4095), bits=st.integers(1, 255))
def test_a_flipped_superblock_is_not_believed(at: int, bits: int) -> None:
    data = bytearray(laid_out())
    data[0x10000 + at] ^= bits
    # Only the checksum's own field is longer than the checksum.
    assert (tree_of(bytes(data)).roots is None) == (not 4 <= at < 32)


def test_an_image_that_is_cut_off_is_not_certain() -> None:
    assert tree_of(Image().finish()[: 8 << 20]).roots is None

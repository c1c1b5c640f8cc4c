"""btrfs read on the host: what mkfs.btrfs makes, every form of content, subvolumes, and what is refused."""

from __future__ import annotations

import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_content import unpack
from guestrepair.formats.btrfs_items import name_hash
from guestrepair.formats.btrfs_subvolumes import list_subvolumes
from guestrepair.formats.btrfs_tree import NOWHERE, BtrfsTree, open_tree
from guestrepair.formats.file_attributes import Found, Unsure
from guestrepair.formats.unpackers import ZSTD_WINDOW_LOG
from tests.support.libraries import zstd
from tests.unit.formats.btrfs_images import (
    FOLDER,
    LINK,
    REGULAR,
    Image,
    Key,
    Stored,
    Subvolume,
    answers,
    device,
    entry,
    files,
    inline,
    inode,
    lzo,
    make,
    tree_of,
)

TEXT = b"some text that is said again, " * 3000
PADDED = TEXT.ljust(22 * 4096, b"\0")
NOISE = random.Random(7).randbytes(22 * 4096)  # noqa: S311 (no secret)


def compressed(data: bytes) -> bytes:
    """With zstd."""
    assert ZSTD_WINDOW_LOG >= 17
    packed: bytes = zstd.compress(data)
    return packed


# --- made by mkfs.btrfs


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files(tmp_path_factory.mktemp("tree"))


@pytest.mark.parametrize(
    "options",
    [
        ("-d", "dup"), ("-m", "single", "--csum", "sha256"), ("--csum", "blake2", "--nodesize", "65536"),
        ("-O", "^no-holes,^extref"), ("--mixed", "--nodesize", "4096"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_tree_that_mkfs_made_is_read_as_it_was(
    tmp_path: Path, top: Path, options: tuple[str, ...]
) -> None:
    image = make(tmp_path / "image", top, *options)
    with image.open("rb") as opened:
        tree = open_tree(lambda at, size: os.pread(opened.fileno(), size, at), image.stat().st_size)
        seen = dict(answers(tree))
        there = {os.fsencode(f"/{path.relative_to(top)}"): path for path in top.rglob("*")}
        assert {path for path in seen if not path.endswith(b"/")} == there.keys()
        for name, path in there.items():
            found, status = tree.attributes(number_of(tree, name)), path.lstat()
            assert found is not None
            assert (found.mode, found.uid, found.gid) == (status.st_mode, status.st_uid, status.st_gid)
            assert path.is_dir() or found.size_bytes == status.st_size
            assert seen[name][2] == (os.fsencode(path.readlink()) if path.is_symlink() else None)
            assert seen[name][3] == (path.read_bytes() if path.is_file() and not path.is_symlink() else None)
        records = {b"/" + found.path: found for found in tree.records(()) if isinstance(found, Found)}
        assert records.keys() == there.keys()
        assert {b"/" + f.path for f in tree.records({b"dir"})} == there.keys() - {
            b"/dir/inner", b"/dir/inner/file"
        }  # fmt: skip


def number_of(tree: BtrfsTree, path: bytes) -> int:
    number = tree.root
    for part in path.strip(b"/").split(b"/"):
        number = (tree.names(number) or {})[part]
    return number


def test_a_checksum_of_an_unknown_kind_is_left_to_the_kernel(tmp_path: Path, top: Path) -> None:
    assert tree_of(make(tmp_path / "image", top / "dir", "--csum", "xxhash").read_bytes()).roots is None


# --- laid out here


def packed_files(image: Image) -> dict[str, int]:
    """Files of every form of content, by what they are."""
    top = image.top
    a = image.store(TEXT)
    four = image.store(bytes(range(256)) * 64)
    zipped, zstd = zlib.compress(PADDED), compressed(PADDED)
    plain = image.store(b"without a checksum", with_sums=False)
    forms: dict[str, tuple[int, int, dict[int, bytes]]] = {
        "inline": (5, 0, {0: inline(b"12345", 5)}),
        "inline longer": (9, 0, {0: inline(b"12345", 5)}),
        "inline zlib": (900, 0, {0: inline(zlib.compress(TEXT[:900]), 900, 1)}),
        "inline zstd": (900, 0, {0: inline(compressed(TEXT[:900]), 900, 3)}),
        "whole": (len(TEXT), 0, {0: Stored(address=a, disk=len(PADDED)).pack()}),
        "part": (8000, 0, {0: Stored(address=four, disk=16384, offset=4096, length=8192).pack()}),
        "hole before": (12288, 0, {8192: Stored(address=four, disk=16384, length=4096).pack()}),
        "hole behind": (99999, 0, {0: Stored(address=four, disk=16384).pack()}),
        "hole that is told": (8192, 0, {0: Stored(address=0, disk=0, ram=8192).pack()}),
        "preallocated": (8192, 0, {0: Stored(address=four, disk=16384, kind=2).pack()}),
        "zlib": (len(TEXT), 0, {0: packed(image, zipped, 1).pack()}),
        "zstd": (len(TEXT), 0, {0: packed(image, zstd, 3).pack()}),
        "lzo": (len(TEXT), 0, {0: packed(image, lzo(PADDED), 2).pack()}),
        "lzo that is no smaller": (len(NOISE), 0, {0: packed(image, lzo(NOISE), 2).pack()}),
        "lzo without the rest": (len(TEXT), 0, {0: packed(image, lzo(TEXT), 2).pack()}),
        "no lzo": (len(TEXT), 0, {0: packed(image, b"?", 2).pack()}),
        "lzo cut short": (len(TEXT), 0, {0: packed(image, lzo(PADDED[:-4096]), 2).pack()}),
        "inline lzo": (900, 0, {0: inline(lzo(TEXT[:900]), 900, 2)}),
        "inline lzo and more": (900, 0, {0: inline(lzo(TEXT[:900]) + b"?", 900, 2)}),
        "does not unpack": (len(TEXT), 0, {0: packed(image, b"?", 1).pack()}),
        "zlib without the rest": (len(TEXT), 0, {0: packed(image, zlib.compress(TEXT), 1).pack()}),
        "zstd without the rest": (len(TEXT), 0, {0: packed(image, compressed(TEXT), 3).pack()}),
        "unpacks to less": (len(TEXT), 0, {0: packed(image, zlib.compress(PADDED[:-4096]), 1).pack()}),
        "not verified": (18, 1, {0: Stored(address=plain, disk=4096).pack()}),
        "without a checksum": (18, 0, {0: Stored(address=plain, disk=4096).pack()}),
        "beyond what is stored": (8192, 0, {
            0: Stored(address=four, disk=16384, offset=12288, length=8192).pack(),
        }),
        "over each other": (8192, 0, {
            0: Stored(address=four, disk=16384).pack(), 4096: Stored(address=four, disk=16384).pack(),
        }),
        "verifies itself": (5, 1 << 32, {0: inline(b"12345", 5)}),
        "an inline one and more": (12288, 0, {
            0: inline(b"12345", 5), 8192: Stored(address=four, disk=16384, length=4096).pack(),
        }),
    }  # fmt: skip
    numbers = {}
    for name, (size, flags, extents) in forms.items():
        number = numbers[name] = top.add(256, name.encode(), REGULAR, size, flags=flags)
        top.items |= {(number, 108, at): item for at, item in extents.items()}
    return numbers


def packed(image: Image, data: bytes, kind: int) -> Stored:
    whole = -(-len(data) // 4096) * 4096
    return Stored(address=image.store(data), disk=whole, ram=len(PADDED), compression=kind)


RANDOM = bytes(range(256)) * 64
CONTENTS: dict[str, bytes | None] = {
    "inline": b"12345", "inline longer": b"12345" + bytes(4), "inline zlib": TEXT[:900],
    "inline zstd": TEXT[:900],
    "whole": TEXT, "part": RANDOM[4096:12096], "hole before": bytes(8192) + RANDOM[:4096],
    "hole behind": RANDOM + bytes(99999 - 16384), "hole that is told": bytes(8192),
    "preallocated": bytes(8192),
    "zlib": TEXT, "zstd": TEXT,
    "zlib without the rest": TEXT, "zstd without the rest": TEXT,
    "lzo": TEXT, "lzo that is no smaller": NOISE, "lzo without the rest": TEXT, "no lzo": None,
    "lzo cut short": None, "inline lzo": TEXT[:900], "inline lzo and more": None,
    "does not unpack": None, "unpacks to less": None,
    "not verified": b"without a checksum", "without a checksum": None, "beyond what is stored": None,
    "over each other": None, "verifies itself": None,
    "an inline one and more": b"12345" + bytes(8187) + RANDOM[:4096],
}  # fmt: skip


@pytest.mark.parametrize("kind", [0, 2, 3])
def test_every_form_of_content(kind: int) -> None:
    image = Image(kind=kind)
    numbers = packed_files(image)
    tree = tree_of(image.finish())
    for name, expected in CONTENTS.items():
        assert tree.content(numbers[name], 0, 1 << 20) == expected, name
        assert tree.attributes(numbers[name]) is not None
        if expected is not None:
            assert tree.content(numbers[name], 3, 5000) == expected[3:5003], name
            assert tree.content(numbers[name], len(expected), 5) == b""


@pytest.mark.parametrize(("kind", "data"), [(1, zlib.compress(TEXT)[:-6]), (3, compressed(TEXT)[:-6])])
def test_what_is_packed_and_cut_short_is_nothing(kind: int, data: bytes) -> None:
    with pytest.raises(FormatError, match="holds less"):
        unpack(kind, data, len(PADDED))


def test_a_file_of_many_holes_is_left_to_the_kernel() -> None:
    image = Image()
    number = image.top.add(256, b"sparse", REGULAR, 65 << 20, used=4096)
    assert tree_of(image.finish()).content(number, 0, 10) is None


def test_the_whole_one_of_two_copies_is_taken() -> None:
    image = Image(copies=2)
    address = image.store(b"twice")
    number = image.top.add(256, b"file", REGULAR, 5)
    image.top.items[number, 108, 0] = Stored(address=address, disk=4096).pack()
    bare = image.top.add(256, b"not verified", REGULAR, 5, flags=1)
    image.top.items[bare, 108, 0] = Stored(address=address, disk=4096).pack()
    whole = image.finish()
    first, second = whole.index(b"twice"), whole.rindex(b"twice")
    assert first < second
    for at in (first, second):
        tree = tree_of(whole[:at] + b"T" + whole[at + 1 :])
        assert tree.content(number, 0, 9) == b"twice"
        assert tree.content(bare, 0, 9) is None  # which copy the kernel reads is not certain
    assert tree_of(whole.replace(b"twice", b"Twice")).content(number, 0, 9) is None
    damaged = bytearray(whole)
    damaged[2 << 20 : 4 << 20] = bytes(2 << 20)  # the first copy of all trees
    assert tree_of(bytes(damaged)).names(256) == {b"file": number, b"not verified": bare}


def nested() -> tuple[Image, int]:
    """Directory "d" of the top holds subvolume 300 "a", and that 301 "b", of which a copy leads nowhere."""
    image = Image()
    directory = image.top.add(256, b"d", FOLDER)
    a, b = Subvolume(300), Subvolume(301)
    image.nest(a, image.top, directory, b"a")
    image.nest(b, a, 256, b"b")
    b.link(256, b"link", b"target")
    image.top.name(256, b"copy", (301, 132, (1 << 64) - 1), 2)
    return image, directory


def test_subvolumes_are_other_trees_and_their_numbers_tell() -> None:
    image, directory = nested()
    data = image.finish()
    tree = tree_of(data)
    a, b = 300 << 64 | 256, 301 << 64 | 256
    assert tree.names(directory) == {b"a": a}
    assert (tree.names(a), tree.parent(a), tree.parent(b)) == ({b"b": b}, directory, a)
    found = tree.attributes(a)
    assert found is not None
    assert found.inode == 256
    assert tree.link_target(301 << 64 | 257) == b"target"
    assert (tree.names(256) or {})[b"copy"] == NOWHERE
    assert (tree.attributes(NOWHERE), tree.names(NOWHERE), tree.parent(NOWHERE)) == (None, None, None)
    assert list(tree.records(())) == [Unsure(b"")]
    inside = tree_of(data, "d/a")
    assert inside.names(256) == {b"b": b}
    assert {f.path for f in inside.records(())} == {b"b", b"b/link"}
    assert {f.path for f in inside.records({b"b"})} == {b"b"}
    assert tree_of(data, "/d/a/b").link_target(257) == b"target"
    for other in ("d", "a", "copy", "d/a/none", "d/a/b/link"):
        assert tree_of(data, other).roots is None
    assert list_subvolumes(*device(data)) == [(300, b"d/a"), (301, b"d/a/b")]


def test_subvolumes_that_hang_in_each_other_are_not_listed() -> None:
    image = Image()
    a, b = Subvolume(300), Subvolume(301)
    image.nest(a, b, 256, b"a")
    image.nest(b, a, 256, b"b")
    data = image.finish()
    assert list_subvolumes(*device(data)) is None
    assert tree_of(data).names(256) == {}
    assert tree_of(data, "a").roots is None


def test_a_mount_shows_the_default_subvolume() -> None:
    image, _ = nested()
    image.default = 301
    assert tree_of(image.finish()).names(256) == {b"link": 257}
    image.default = 302
    assert tree_of(image.finish()).roots is None


@pytest.mark.parametrize(
    "change",
    [
        {"log_root": 4096}, {"devices": 2}, {"incompat": 0x1000}, {"incompat": 1 << 40},
        {"ro_compat": 0x10}, {"kind": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_kernel_may_refuse_or_would_change_is_not_certain(change: dict[str, int]) -> None:
    image = Image()
    for name, value in change.items():
        setattr(image, name, value)
    data = image.finish()
    assert tree_of(data).roots is None
    assert tree_of(data).names(256) is None
    assert list_subvolumes(*device(data)) is None
    assert tree_of(data[: len(data) - 4096]).root == 256


def test_of_two_accounts_that_differ_none_is_believed() -> None:
    """Lookups go by hash, listings by index: where they do not agree, the directory is not certain."""
    spoils: tuple[Callable[[dict[Key, bytes]], object], ...] = (
        lambda items: items.pop((256, 84, name_hash(b"file"))),
        lambda items: items.update({(256, 96, 900): entry(b"file", (257, 1, 0), 1)}),
        lambda items: items.update({(256, 96, 257): entry(b"file", (258, 1, 0), 1)}),
        lambda items: items.update({(256, 84, 5): entry(b"file", (257, 1, 0), 1)}),
        lambda items: items.update({(256, 96, 257): entry(b"a/e", (257, 1, 0), 1)}),
        lambda items: items.update({(257, 99, 0): b""}),
    )
    for spoil in spoils:
        image = Image()
        image.top.add(256, b"file", REGULAR)
        assert tree_of(image.finish()).names(256) == {b"file": 257}
        image = Image()
        image.top.add(256, b"file", REGULAR)
        spoil(image.top.items)
        assert tree_of(image.finish()).names(256) is None


def test_an_inode_that_its_entry_calls_something_else_is_not_certain() -> None:
    image = Image()
    number = image.top.add(256, b"file", REGULAR)
    image.top.items[number, 1, 0] = inode(LINK)
    tree = tree_of(image.finish())
    assert tree.attributes(number) is not None
    assert tree.names(256) == {b"file": number}
    assert tree.attributes(number) is None


@pytest.mark.parametrize(
    "item",
    [
        inode(REGULAR, links=0), inode(FOLDER, links=2), inode(0o644), inode(REGULAR | 1 << 16),
        inode(REGULAR, flags=1 << 20), inode(REGULAR, size=1 << 63), inode(REGULAR)[:-1],
        inode(REGULAR)[:-4] + b"\xff" * 4,
    ],
)  # fmt: skip
def test_inodes_that_a_kernel_may_refuse(item: bytes) -> None:
    image = Image()
    number = image.top.add(256, b"file", REGULAR)
    image.top.items[number, 1, 0] = item
    assert tree_of(image.finish()).attributes(number) is None


def test_a_link_whose_target_is_not_as_long_as_its_inode_says_is_not_certain() -> None:
    image = Image()
    short = image.top.link(256, b"short", b"target")
    image.top.items[short, 1, 0] = inode(LINK, 9)
    assert tree_of(image.finish()).link_target(short) is None


def test_a_directory_with_two_parents_has_none() -> None:
    image = Image()
    directory = image.top.add(256, b"d", FOLDER)
    other = image.top.add(256, b"e", FOLDER)
    image.top.items[directory, 12, other] = image.top.items[directory, 12, 256]
    tree = tree_of(image.finish())
    assert tree.parent(directory) is None
    assert tree.parent(other) == 256
    assert list(tree.records(())) == [Unsure(b"")]

"""What ext4's kernel refuses, the host does not give out: odd superblocks, inodes of the filesystem's own,
files over its metadata, directories in circles."""

from __future__ import annotations

import functools
import itertools
import shutil
import struct
from pathlib import Path

import pytest

from guestrepair.formats.ext_extents import MAX_NODES
from guestrepair.formats.ext_geometry import read_geometry
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_tree import Tree
from guestrepair.formats.superblock.ext import SUPERBLOCK_BYTES
from tests.unit.formats.ext_images import (
    ROOT,
    WITHOUT_CHECKSUMS,
    edit,
    make,
    metadata,
    superblock_number,
    tree,
    tree_of,
)

LAYOUTS = {
    "usual": (),
    "without checksums": WITHOUT_CHECKSUMS,
    "blocks of 1 KiB": (*WITHOUT_CHECKSUMS, "-b", "1024"),
    "two copies": ("-O", "sparse_super2,^metadata_csum", "-b", "1024"),
    "a copy in every group": ("-O", "^sparse_super,^resize_inode,^metadata_csum", "-b", "1024"),
    "bigalloc": ("-O", "bigalloc,^metadata_csum", "-b", "4096", "-C", "16384"),
    "bigalloc with blocks of 1 KiB": ("-O", "bigalloc,^metadata_csum", "-b", "1024", "-C", "8192"),
}


@pytest.fixture(scope="module", params=LAYOUTS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("ext4"), *LAYOUTS[request.param], size="40M")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without checksums, so that what is changed stays believable."""
    return make(tmp_path_factory.mktemp("ext4"), *WITHOUT_CHECKSUMS, "-b", "4096")


def number_of(found: Tree, path: str) -> int:
    number = ROOT
    for name in path.split("/"):
        number = (found.names(number) or {})[name.encode()]
    return number


@functools.lru_cache(maxsize=1)
def place_of(image: Path, path: str) -> tuple[bytes, int]:
    """The image's bytes, and where in them the inode of a file is."""
    data = image.read_bytes()
    found = tree_of(data)
    at, _ = found.inodes.place(number_of(found, path))
    return data, at


def with_extent(image: Path, path: str, block: int, count: int = 1) -> Tree:
    """The image with a file whose only extent is that run of blocks."""
    data, at = place_of(image, path)
    at += 40
    high, low = block >> 32, block & 0xFFFFFFFF
    extent = struct.pack("<HHHHIIHHI", 0xF30A, 1, 4, 0, 0, 0, count, high, low)

    def read(offset: int, size: int) -> bytes:
        found = data[offset : offset + size]
        first, last = max(at, offset), min(at + len(extent), offset + len(found))
        if first >= last:
            return found
        return found[: first - offset] + extent[first - at : last - at] + found[last - offset :]

    return Tree(Inodes(read, len(data)))


def test_all_of_it_is_read(image: Path) -> None:
    found = tree(image)
    assert set(found.names(ROOT) or {}) == {
        b"large", b"dir", b"short", b"long", b"file", b"pieces", b"lost+found"
    }  # fmt: skip
    layout = found.inodes.layout(number_of(found, "file"))
    assert layout is not None
    assert layout.size_bytes == 9000
    inner = number_of(found, "dir/inner")
    assert found.parent(inner) == number_of(found, "dir")
    assert found.parent(ROOT) == ROOT
    assert found.parent(number_of(found, "large")) == ROOT


def test_a_file_over_the_filesystems_own_blocks_is_not_given_out(image: Path) -> None:
    if superblock_number(image, 0x64) & 0x400:
        pytest.skip("its checksums would be wrong")
    own = metadata(image)
    number = number_of(tree(image), "file")
    assert own.keys() >= {"superblock", "descriptors", "inode table", "block bitmap", "journal"}
    for what, blocks in own.items():
        for block in {min(blocks), max(blocks)}:
            found = with_extent(image, "file", block)
            assert found.inodes.layout(number) is None, (what, block)
            assert found.attributes(number) is None, (what, block)
    everything = set().union(*own.values())
    last = superblock_number(image, 4) - 1
    free = next(b for b in range(last, 0, -1) if b not in everything)
    assert with_extent(image, "file", free).inodes.layout(number) is not None
    # A run that begins before them and reaches into them; and one over the end.
    before = next(b for b in sorted(everything) if b - 1 not in everything and b > 2) - 1
    assert with_extent(image, "file", before, 2).inodes.layout(number) is None
    assert with_extent(image, "file", last, 2).inodes.layout(number) is None
    assert with_extent(image, "file", 1 << 40, 1).inodes.layout(number) is None


def test_an_inode_of_the_filesystems_own_is_not_given_out(plain: Path, tmp_path: Path) -> None:
    copy = tmp_path / "image"
    shutil.copy(plain, copy)
    edit(copy, "link <8> journal", "link <7> resize", "link <1> bad", "link <5> loader")
    found = tree(copy)
    names = found.names(ROOT) or {}
    for name, number in {b"journal": 8, b"resize": 7, b"bad": 1, b"loader": 5}.items():
        assert names[name] == number
        for answer in (found.attributes, found.inodes.layout, found.link_target, found.xattrs):
            assert answer(number) is None


def test_directories_in_circles_are_seen(plain: Path, tmp_path: Path) -> None:
    copy = tmp_path / "image"
    shutil.copy(plain, copy)
    edit(copy, "link dir dir/inner/loop", "link dir dir/itself")
    found = tree(copy)
    directory, inner = number_of(found, "dir"), (found.names(ROOT) or {})[b"dir"]
    assert directory == inner
    assert found.names(directory) is None  # it holds itself
    copy2 = tmp_path / "image2"
    shutil.copy(plain, copy2)
    edit(copy2, "link dir dir/inner/loop")
    found = tree(copy2)
    inner = number_of(found, "dir/inner")
    loop = (found.names(inner) or {})[b"loop"]
    assert found.attributes(loop) is not None
    assert found.parent(loop) != inner


def superblock(image: Path, at: int, size: int, value: int) -> Tree:
    data = bytearray(image.read_bytes())
    data[1024 + at : 1024 + at + size] = value.to_bytes(size, "little")
    return tree_of(bytes(data))


IMPOSSIBLE = {
    "size of an inode": (0x58, 2, (0, 1, 127, 129, 130, 131, 192, 384, 8192, 65535)),
    "inodes": (0, 4, (0, 1, 10, 0xFFFFFFFF)),
    "blocks": (4, 4, (0, 1, 0xFFFFFFFF)),
    "first block": (0x14, 4, (1, 7, 0xFFFFFFFF)),
    "size of a block": (0x18, 4, (1, 3, 6, 7, 255, 256, 0xFFFFFFFF)),
    "size of a cluster": (0x1C, 4, (0, 3, 31, 0xFFFFFFFF)),
    "blocks in a group": (0x20, 4, (0, 1, 100, 1 << 20, 0xFFFFFFFF)),
    "inodes in a group": (0x28, 4, (0, 1, 31, 1 << 20, 0xFFFFFFFF)),
    "first inode": (0x54, 4, (0, 1, 10)),
    "room for descriptors": (0xCE, 2, (2000, 65535)),
    "journal": (0xE0, 4, (1, 2, 7, 12, 0xFFFFFFFF)),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_an_impossible_superblock_makes_no_filesystem(plain: Path, what: str) -> None:
    at, size, values = IMPOSSIBLE[what]
    for value in values:
        found = superblock(plain, at, size, value)
        assert found.names(ROOT) is None, value
        for number in range(1, 30):
            assert found.attributes(number) is None


def test_a_filesystem_larger_than_its_device_is_left_to_the_kernel(plain: Path) -> None:
    data = plain.read_bytes()
    assert tree_of(data).names(ROOT) is not None
    assert tree_of(data[: len(data) // 2]).names(ROOT) is None


def test_group_descriptors_that_lead_into_each_other_are_left_to_the_kernel(plain: Path) -> None:
    data = bytearray(plain.read_bytes())
    geometry = read_geometry(bytes(data[1024 : 1024 + SUPERBLOCK_BYTES]))
    assert geometry is not None
    at = geometry.descriptors_at
    for value in (0, 1, int.from_bytes(data[at : at + 4], "little"), geometry.blocks, 0xFFFFFFFF):
        changed = bytearray(data)
        changed[at + 8 : at + 12] = value.to_bytes(4, "little")
        assert tree_of(bytes(changed)).names(ROOT) is None


def test_changed_inodes_are_left_to_the_kernel(plain: Path) -> None:
    """One field of the inode of a file, a link or a directory at a time."""
    found, data = tree(plain), plain.read_bytes()
    fields = {
        "mode of no kind": ("file", 0, 2, 0x3000),
        "no links": ("file", 26, 2, 0),
        "size beyond signed numbers": ("file", 108, 4, 1 << 31),
        "attributes in the superblock": ("file", 104, 4, 1),
        "attributes beyond the end": ("file", 104, 4, 1 << 31),
        "more room than it has": ("file", 128, 2, 200),
        "odd room": ("file", 128, 2, 30),
        "inline": ("file", 35, 1, 0x10),
        "a tree that is too deep": ("file", 46, 2, 6),
        "more entries than fit": ("file", 42, 2, 5),
        "an immutable link": ("short", 32, 1, 0x10),
        "a link with blocks": ("short", 28, 4, 8),
        "a link longer than its text": ("short", 4, 4, 20),
        "a link shorter than its text": ("short", 4, 4, 3),
        "an unknown attribute": ("file", 160, 4, 0xEA020000),
    }
    for what, (path, at, size, value) in fields.items():
        number = number_of(found, path)
        start, _ = found.inodes.place(number)
        changed = bytearray(data)
        changed[start + at : start + at + size] = value.to_bytes(size, "little")
        if what == "an unknown attribute":
            changed[start + 164 : start + 170] = b"\xff\7\0\0\0\0"
        assert tree_of(bytes(changed)).attributes(number) is None, what


def test_nodes_that_are_read_are_counted(plain: Path) -> None:
    """Files may share the blocks of their trees; what is read of them in all is bounded."""
    data = plain.read_bytes()
    reads = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        return data[offset : offset + size]

    found = Tree(type(tree(plain).inodes)(read, len(data)))
    number = number_of(found, "pieces")
    answers = [found.inodes.layout(number) is not None for _ in range(MAX_NODES + 100)]
    assert answers[0]
    assert not answers[-1]
    assert reads < MAX_NODES + 1000


def test_traces_of_deleted_names_are_looked_up_a_bounded_number_of_times(plain: Path) -> None:
    """Hundreds of thousands of deleted names may stand in a directory, each with an inode to be looked at."""
    found, data = tree(plain), bytearray(plain.read_bytes())
    number = number_of(found, "large")
    layout = found.inodes.layout(number, kind=0x4000)
    assert layout is not None
    inodes = superblock_number(plain, 0)
    ghosts = itertools.count()
    block_bytes = found.inodes.block_bytes
    count = 0
    for extent in layout.extents:
        for at in range(extent.physical, extent.physical + extent.length, block_bytes):
            if at == layout.extents[0].physical:
                continue  # "." and ".." stand there
            entry = struct.pack("<IHBB", number_of(found, "file"), block_bytes, 1, 1) + b"x" * 4
            names = b""
            while len(entry) + len(names) + 20 <= block_bytes:
                index = next(ghosts)
                inode = inodes - index
                place, _ = found.inodes.place(inode)
                data[place + 20 : place + 24] = bytes([1, 0, 0, 0])  # the time of its deletion
                names += struct.pack("<IHBB", inode, 16, 6, 1) + f"{index:06d}".encode() + bytes(2)
            data[at : at + block_bytes] = (entry + names).ljust(block_bytes, b"\0")
            count += len(names) // 16
    asked: list[int] = []

    def read(offset: int, size: int) -> bytes:
        asked.append(size)
        return bytes(data[offset : offset + size])

    hostile = Tree(type(found.inodes)(read, len(data)))
    assert count > 1000
    times = sum(len(hostile.deletion_times(number) or {}) for _ in range(40))
    assert 0 < times <= 10_000
    for _ in range(2000):
        assert hostile.deletion_times(number) == {}
    assert sum(asked) < 64 << 20
    wanted = Tree(type(found.inodes)(read, len(data)))
    assert (wanted.deletion_times(number, {b"000077"}) or {}).keys() == {b"000077"}

"""Is it certain that a btrfs mounts? What mkfs.btrfs makes is; what is damaged or new in it is not."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guestrepair.formats.btrfs_mounting import mount_doubt
from guestrepair.formats.btrfs_nodes import Leaf
from guestrepair.formats.btrfs_subvolumes import read_roots
from guestrepair.formats.btrfs_tree import open_tree
from guestrepair.formats.btrfs_volume import Tree
from tests.unit.formats.btrfs_images import SUPERBLOCK, resealed

SHAPES = {
    "usual": (),
    "one copy": ("-m", "single"),
    "data twice": ("-d", "dup"),
    "mixed": ("-M",),
    "small nodes": ("-n", "4096"),
    "large nodes": ("-n", "65536"),
    "files of free space": ("-R", "^free-space-tree"),
    "sha256": ("--csum", "sha256"),
    "holes are stored": ("-O", "^no-holes"),
    "fat extents": ("-O", "^skinny-metadata"),
}
SIZE_BYTES = 260 << 20


@dataclass
class Disk:
    """An image of which parts are read otherwise than they are."""

    path: Path
    replaced: dict[int, bytes] = field(default_factory=dict)

    def __call__(self, offset: int, size: int) -> bytes:
        with self.path.open("rb") as file:
            data = bytearray(os.pread(file.fileno(), size, offset))
        for at, new in self.replaced.items():
            low, high = max(offset, at), min(offset + len(data), at + len(new))
            if low < high:
                data[low - offset : high - offset] = new[low - at : high - at]
        return bytes(data)

    def doubt(self) -> str:
        return mount_doubt(self, self.path.stat().st_size)

    def change(self, at: int, size: int, edit: Callable[[bytearray], None]) -> None:
        """Change something in a structure, and make its checksum right."""
        data = bytearray(self(at, size))
        edit(data)
        self.replaced[at] = resealed(bytes(data))


def make(folder: Path, *options: str) -> Path:
    image = folder / "image"
    image.touch()
    os.truncate(image, SIZE_BYTES)
    done = subprocess.run(["mkfs.btrfs", "-q", *options, image], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("this mkfs.btrfs does not know the option")
    return image


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("btrfs"), "-m", "single")


@dataclass(frozen=True)
class Found:
    """The leaf that holds an item: where it lies, and where in it the item's head and bytes are."""

    at: int
    size: int
    head: int
    start: int
    bytes_used: int


def find(image: Path, tree: int, objectid: int, kind: int) -> Found:
    """The first item of a tree with that objectid (-1: any) and type."""
    roots = read_roots(Disk(image), SIZE_BYTES)
    volume = roots.volume
    special = {1: volume.geometry.roots, 3: volume.geometry.chunks}
    where = Tree(tree, special[tree]) if tree in special else roots.tree(tree)
    leaf = volume.root_node(where)
    assert isinstance(leaf, Leaf)
    for index, key in enumerate(leaf.keys):
        if key >> 64 & 0xFF == kind and objectid in (-1, key >> 72):
            at = volume.copies(where.root.address, volume.geometry.node_bytes)[0]
            start, end = leaf.starts[index], leaf.ends[index]
            return Found(at, volume.geometry.node_bytes, 101 + 25 * index, start, end - start)
    raise AssertionError((tree, objectid, kind))


def forged(image: Path, tree: int, objectid: int, kind: int, at: int, value: bytes) -> Disk:
    """One field of an item changed, and its leaf sealed; from -25 to -9 in its key."""
    disk, found = Disk(image), find(image, tree, objectid, kind)
    start = found.start + at if at >= 0 else found.head + 25 + at

    def edit(data: bytearray) -> None:
        assert data[start : start + len(value)] != value
        data[start : start + len(value)] = value

    disk.change(found.at, found.size, edit)
    return disk


@pytest.mark.parametrize("name", SHAPES)
def test_what_mkfs_makes_mounts(name: str, tmp_path: Path) -> None:
    assert Disk(make(tmp_path, *SHAPES[name])).doubt() == ""


def test_what_is_no_btrfs_is_a_doubt(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(1 << 20))
    assert Disk(tmp_path / "image").doubt()


def test_one_that_no_kernel_has_mounted_yet(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"some bytes" * 9000)
    disk = Disk(make(tmp_path, "--rootdir", str(tmp_path / "tree")))
    assert disk.doubt() == ""


Q = struct.Struct("<Q").pack


@pytest.mark.parametrize(
    ("at", "value", "why"),
    [
        (180, Q(4), "features"),  # fs-verity, newer than 5.10
        (180, Q(1), "free space"),  # a tree of it that is not valid
        (180, Q(0), "lacks a tree|free space"),
        (555, Q(7), "free space"),  # kept twice
        (188, Q(0x341 | 0x1000), "features"),  # zones
        (188, Q(0x340), "unusual form"),
        (188, Q(0x345), "unusual form"),  # mixed, with large nodes
        (96, Q(4096), "log"),
        (136, Q(2), "several devices"),
        (80, Q(0), "roots"),
        (112, Q(4096), "larger"),  # the sum of its devices
        (209, Q(120 << 20), "told in two ways|larger|beyond"),  # the size of the device
    ],
)
def test_a_superblock_that_is_sealed_and_odd(usual: Path, at: int, value: bytes, why: str) -> None:
    disk = Disk(usual)

    def edit(data: bytearray) -> None:
        assert data[at : at + len(value)] != value
        data[at : at + len(value)] = value

    disk.change(SUPERBLOCK, 4096, edit)
    assert any(each in disk.doubt() for each in why.split("|")), disk.doubt()


RELOC, CSUMS = (1 << 64) - 9, (1 << 64) - 10


@pytest.mark.parametrize(
    ("tree", "objectid", "kind", "at", "value", "why"),
    [
        (1, 7, 132, -25, Q(8), "lacks a tree"),  # the tree of checksums becomes one of quotas
        (1, RELOC, 132, -25, Q((1 << 64) - 8), "lacks a tree"),
        (1, 5, 132, 160, Q(99), "from the future"),
        (1, 5, 132, 200, Q(99), "from the future"),
        (1, 5, 132, 239, Q(99), "from the future"),
        (1, 5, 132, 220, Q(99), "being deleted"),
        (1, 5, 132, 237, b"\1", "being deleted"),
        (1, 5, 132, 216, bytes(4), "no tree"),  # references
        (1, 5, 132, 176, Q(4096), "no chunk"),
        (1, 2, 132, 176, Q(5 << 20), "chunk|another|checksum"),
        (1, 6, 1, 0, Q(99), "from the future"),
        (1, 6, 84, 0, Q(8), "leads to no subvolume"),
        (3, -1, 228, 24, Q(3), "kind"),  # a chunk
        (3, -1, 216, 16, Q(1 << 40), "device item"),  # uses more than it has
        (4, -1, 204, 0, Q(2), "device extent"),
        (4, -1, 204, 16, Q(4096), "do not agree"),
        (4, -1, 204, 24, Q(4096), "do not agree"),
        (4, -1, 204, -25, Q(2), "lies over|beyond|out of order"),
        (4, -1, 204, -17, b"\xfa", "out of order|unusual"),  # a replaced device
        (2, -1, 192, 0, Q(1 << 40), "block group"),
        (2, -1, 192, 8, Q(255), "block group"),
        (2, -1, 192, 16, Q(3), "block group"),
        (2, -1, 192, -17, b"\xb0", "another size|block group"),  # a reference to an extent
        (2, -1, 169, 0, Q(0), "extent item"),  # fewer references than stand there
        (2, -1, 169, 8, Q(99), "from the future"),
        (2, -1, 169, 16, Q(1), "extent item"),
        (2, -1, 169, 24, b"\xac", "reference"),  # the owner of an extent, newer than 5.10
        (10, -1, 198, -16, Q(3), "free space"),
        (RELOC, 256, 1, 0, Q(99), "from the future"),
        (5, 256, 1, 8, Q(99), "from the future"),
        (5, 256, 1, 52, struct.pack("<I", 0o100755), "top directory"),
        (5, 256, 12, 8, struct.pack("<H", 0), "name"),
    ],
)
def test_an_item_that_is_sealed_and_odd(
    usual: Path, tree: int, objectid: int, kind: int, at: int, value: bytes, why: str
) -> None:
    doubt = forged(usual, tree, objectid, kind, at, value).doubt()
    assert any(each in doubt for each in why.split("|")), doubt


def test_the_second_copy_does_not_help(tmp_path: Path) -> None:
    """Older kernels refuse a node whose first copy has the right checksum, whatever the second holds."""
    image = make(tmp_path)
    roots = read_roots(Disk(image), SIZE_BYTES)
    copies = roots.volume.copies(roots.items[4].address, 16_384)
    assert len(copies) == 2
    disk = Disk(image)
    disk.replaced[copies[0] + 200] = b"damage"
    assert disk.doubt()
    assert open_tree(disk, SIZE_BYTES).space() is not None
    disk = Disk(image)
    disk.replaced[copies[1] + 200] = b"damage"
    assert not disk.doubt()


def test_space_of_an_empty_one(usual: Path) -> None:
    """All but the first megabyte, the chunk of chunks (4 MiB), and that of other metadata (8 MiB)."""
    space = open_tree(Disk(usual), SIZE_BYTES).space()
    assert space is not None
    assert space == (SIZE_BYTES, SIZE_BYTES - (13 << 20), SIZE_BYTES - (13 << 20), 0, 0)


def test_space_is_none_where_chunks_and_groups_do_not_agree(usual: Path) -> None:
    assert open_tree(Disk(usual), SIZE_BYTES).space() is not None
    for at, value in ((0, Q(1 << 40)), (8, Q(255)), (16, Q(3)), (-16, Q(4096))):
        assert open_tree(forged(usual, 2, -1, 192, at, value), SIZE_BYTES).space() is None

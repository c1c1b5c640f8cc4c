"""Real filesystems, tables and headers with some of their bytes changed: answers are right or none at all,
nothing but the declared errors, in bounded time.

`GUESTREPAIR_TEST_DEPTH=thorough` changes many more.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats import fat_tree, gpt, mbr
from guestrepair.formats.ext_tree import Tree, open_tree
from guestrepair.formats.file_attributes import Found
from guestrepair.formats.superblock import ext, fat, identify, journal, luks_keys
from guestrepair.session.host.filesystem import HostFilesystem
from tests.unit.formats import fat_images
from tests.unit.formats.ext_images import ROOT, WITHOUT_CHECKSUMS, edit, make, metadata, tree, tree_of

THOROUGH = os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough"
CHANGES = 20_000 if THOROUGH else 300
SECONDS = 20.0
"""What all entry points may take together for one disk; they take some milliseconds."""

Answers = dict[tuple[str, int], object]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sound"), "-b", "4096", size="8M")


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = make(tmp_path_factory.mktemp("unsealed"), *WITHOUT_CHECKSUMS, "-b", "1024", size="8M")
    edit(image, "rm /large/a-name-of-some-length-0100", "ea_set /file user.short x")
    return image


def in_use(image: Path) -> list[tuple[int, int]]:
    """First bytes and sizes of superblock, descriptors, and some inodes, nodes and directories."""
    found, data = tree(image), image.read_bytes()
    geometry = found.inodes.geometry
    assert geometry is not None
    places = [(1024, 1024), (geometry.descriptors_at, geometry.groups * geometry.descriptor_bytes)]
    for number in [ROOT, 8, *range(11, 40), *range(610, 630)]:
        places.append(found.inodes.place(number))
        layout = found.inodes.layout(number, kind=0x4000)
        places += [(e.physical, min(e.length, 4096)) for e in layout.extents] if layout else []
    magic = data.find(b"\x0a\xf3", geometry.block_bytes * 3)
    while magic >= 0:
        if magic % geometry.block_bytes == 0:
            places.append((magic, 12 * 40))
        magic = data.find(b"\x0a\xf3", magic + 1)
    return [place for place in places if place[1]]


def changed(image: Path, seed: int, places: list[tuple[int, int]]) -> Iterator[bytes]:
    """The image with one to three small changes, again and again."""
    rng, data = random.Random(seed), bytearray(image.read_bytes())  # noqa: S311 - no secret
    for _ in range(CHANGES):
        undo: list[tuple[int, int]] = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            start, size = rng.choice(places)
            at = start + rng.randrange(size)
            undo.append((at, data[at]))
            data[at] = rng.choice((data[at] ^ 1 << rng.randrange(8), 0, 0xFF, rng.randrange(256)))
        yield bytes(data)
        for at, value in reversed(undo):
            data[at] = value


def answers(found: Tree) -> Answers:
    """All that the reader says of some inodes."""
    said: Answers = {}
    for number in [1, ROOT, 5, 7, 8, *range(11, 40), *range(610, 640)]:
        said["attributes", number] = found.attributes(number)
        said["names", number] = found.names(number)
        said["parent", number] = found.parent(number)
        said["link", number] = found.link_target(number)
        said["xattrs", number] = found.xattrs(number)
        said["layout", number] = found.inodes.layout(number)
        said["deleted", number] = found.deletion_times(number)
    return said


def test_with_checksums_an_answer_is_right_or_not_given(sound: Path) -> None:
    right = answers(tree(sound))
    assert sum(answer is not None for answer in right.values()) > 150
    none = 0
    for data in changed(sound, 1, in_use(sound)):
        for question, answer in answers(tree_of(data)).items():
            none += answer is None and right[question] is not None
            assert answer is None or answer == right[question], question
    assert none > CHANGES  # the changes hit what is read


def test_without_checksums_no_file_lies_over_the_filesystem_itself(unsealed: Path) -> None:
    """What is believable is believed, as the kernel would; never a file over what dumpe2fs calls metadata."""
    found = tree(unsealed)
    geometry = found.inodes.geometry
    assert geometry is not None
    own = set().union(*metadata(unsealed).values())
    places = [p for p in in_use(unsealed) if p[0] > geometry.descriptors_at + geometry.block_bytes]
    for data in changed(unsealed, 2, places):
        hostile = tree_of(data)
        for number in [*range(11, 40), *range(610, 640)]:
            layout, attributes = hostile.inodes.layout(number), hostile.attributes(number)
            assert attributes is None or (attributes.links and attributes.mode)
            for extent in layout.extents if layout else ():
                first = extent.physical // geometry.block_bytes
                blocks = range(first, first + extent.length // geometry.block_bytes)
                assert own.isdisjoint(blocks), number
                assert blocks.stop * geometry.block_bytes <= len(data)


def everything(data: bytes) -> None:
    """Every function that reads a disk from the host's side."""

    def read(offset: int, size: int) -> bytes:
        return data[offset : offset + size] if offset >= 0 else b""

    def sectors(number: int, count: int) -> bytes:
        return read(number * 512, count * 512)

    size = len(data)
    calls: list[Callable[[], object]] = [
        lambda: identify(read, size),
        lambda: ext.find_backup(read, size),
        lambda: fat.root_names(read, size),
        lambda: luks_keys.objection(read),
        lambda: gpt.read_copy(sectors, 1, sector_bytes=512, total_sectors=size // 512).entries,
        lambda: logical(data),
        lambda: [journal.unclean(read, content) for content in ("xfs", "btrfs", "vfat")],
        lambda: contents(HostFilesystem(read, size, open_tree)),
        lambda: HostFilesystem(read, size, open_tree).space(),
        lambda: all_of_fat(fat_tree.open_tree(read, size)),
    ]
    for call in calls:
        try:
            call()
        except FormatError:
            continue


def logical(data: bytes) -> None:
    record = mbr.parse_mbr(data[:512])
    for entry in record.entries if record else ():
        mbr.parse_logical(lambda number: data[number * 512 : number * 512 + 512], entry)


def all_of_fat(tree: fat_tree.Tree) -> None:
    for found in tree.records(()):
        if isinstance(found, Found):
            assert tree.attributes(found.inode) is not None
            tree.layout(found.inode)


def contents(filesystem: HostFilesystem) -> None:
    for number in (ROOT, *range(11, 30)):
        filesystem.attributes(number)
        filesystem.names(number)
        filesystem.content(number, 0, 70_000)
        filesystem.deletion_times(number, {b"a-name-of-some-length-0100"})


@pytest.fixture(scope="module")
def disks(sound: Path, unsealed: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Filesystems, tables and containers of other kinds beside ext4."""
    folder = tmp_path_factory.mktemp("disks")
    made = [sound, unsealed]
    commands = {
        "fat16": (16, "mkfs.vfat -F 16 {}"),
        "fat32": (34, "mkfs.vfat -F 32 {}"),
        "gpt": (8, "sgdisk -n 1:2048:4095 -n 2:4096:8191 {}"),
        "luks": (
            20,
            "cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 {} -",
        ),
        "swap": (8, "mkswap {}"),
    }
    for name, (size, command) in commands.items():
        path = folder / name
        with path.open("wb") as file:
            file.truncate(size << 20)
        subprocess.run(command.format(path).split(), input=b"x", check=True, capture_output=True)
        made.append(path)
    for bits in ("12", "16"):
        fat_images.make(folder / f"used fat{bits}", bits)
        fat_images.age(folder / f"used fat{bits}", seed=1, steps=40)
        made.append(folder / f"used fat{bits}")
    return made


def test_whatever_is_changed_nothing_but_declared_errors(disks: list[Path]) -> None:
    for seed, disk in enumerate(disks):
        size = disk.stat().st_size
        places = in_use(disk) if seed < 2 else [(0, 4096), (0, 512), (4096, 20_000), (size - 40_000, 40_000)]
        started = time.process_time()
        for count, data in enumerate(changed(disk, seed, places)):
            if count > CHANGES // 5:
                break
            everything(data)
        assert (time.process_time() - started) / (CHANGES // 5) < SECONDS

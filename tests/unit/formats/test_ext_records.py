"""All names of an ext4 filesystem: those there, those deleted, and what is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_records import records
from guestrepair.formats.ext_tree import Tree
from guestrepair.formats.file_attributes import Found, Unsure
from tests.unit.formats import ext_images


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = ext_images.make(tmp_path_factory.mktemp("records"))
    ext_images.edit(
        made,
        *(f"rm /large/a-name-of-some-length-{n:04d}" for n in range(10, 20)),
        "set_inode_field /file mtime_extra 0xffffffff",
        "set_inode_field /file atime @-5",
        "set_inode_field /dir ctime_extra 5",
        "mi /dir/inner/file\n\n\n\n",
    )
    return made


def of(tree: Tree, *beyond: bytes) -> dict[bytes, Found]:
    return {r.path: r for r in records(tree, beyond) if isinstance(r, Found)}


def test_every_name_is_there_once(image: Path) -> None:
    found = list(records(ext_images.tree(image)))
    paths = [r.path for r in found]
    assert len(paths) == len(set(paths))
    assert not [r for r in found if isinstance(r, Unsure)]
    there = {r.path for r in found if isinstance(r, Found) and not r.deleted}
    assert {b"dir", b"dir/inner", b"dir/inner/file", b"short", b"long", b"pieces", b"lost+found"} <= there
    assert sum(path.startswith(b"large/") for path in there) == 590


def test_deleted_names_are_told_from_those_there(image: Path) -> None:
    gone = [r for r in of(ext_images.tree(image)).values() if r.deleted]
    assert {r.path for r in gone} == {b"large/a-name-of-some-length-%04d" % n for n in range(10, 20)}
    assert all(r.deleted_at and not r.reallocated for r in gone)


def test_times_with_nanoseconds_and_beyond_2038(image: Path) -> None:
    found = of(ext_images.tree(image))
    assert found[b"dir"].changed is not None
    assert found[b"dir"].changed // 10**9 > 1 << 32
    assert found[b"dir"].changed % 10**9 == 1
    modified = found[b"file"].modified
    assert modified is not None
    assert modified % 10**9 == 0  # more than a second of them is none
    assert found[b"file"].created is not None


def test_targets_stand_where_they_are_short(image: Path) -> None:
    found = of(ext_images.tree(image))
    assert (found[b"short"].target, found[b"long"].target) == (b"usr/lib", b"")


def test_what_lies_below_another_mount_is_left_out(image: Path) -> None:
    found = of(ext_images.tree(image), b"dir")
    assert b"dir" in found
    assert not [path for path in found if path.startswith(b"dir/")]


def test_a_directory_that_is_damaged_is_said(image: Path) -> None:
    tree = ext_images.tree(image)
    data = bytearray(image.read_bytes())
    layout = tree.inodes.layout(of(tree)[b"dir"].inode, kind=0x4000)
    assert layout is not None
    data[layout.extents[0].physical + 30] ^= 1
    damaged = list(records(ext_images.tree_of(bytes(data))))
    assert [r for r in damaged if isinstance(r, Unsure)] == [Unsure(b"dir")]
    assert b"large/a-name-of-some-length-0001" in {r.path for r in damaged}


def test_an_inode_that_is_damaged_is_told_as_it_stands(image: Path) -> None:
    tree = ext_images.tree(image)
    data = bytearray(image.read_bytes())
    at, _ = tree.inodes.place(of(tree)[b"file"].inode)
    data[at + 2] ^= 7  # its owner
    assert of(ext_images.tree_of(bytes(data)))[b"file"].uid == 7


def test_a_directory_is_entered_once(tmp_path: Path) -> None:
    made = ext_images.make(tmp_path, *ext_images.WITHOUT_CHECKSUMS)
    ext_images.edit(made, "ln /dir /dir/inner/again", "ln / /dir/inner/top")
    found = of(ext_images.tree(made))
    assert b"dir/inner/again" in found
    assert b"dir/inner/again/inner" not in found
    assert b"dir/inner/top/dir" not in found


def test_what_is_no_ext4_has_no_names() -> None:
    tree = Tree(Inodes(lambda _offset, size: bytes(size), 1 << 20))
    assert [r.path for r in records(tree)] == [b"", b"$OrphanFiles"]


def test_without_counters_all_inodes_are_looked_at(tmp_path: Path) -> None:
    made = ext_images.make(tmp_path, "-O", "^metadata_csum,^uninit_bg")
    tree = ext_images.tree(made)
    assert sum(map(len, tree.inodes.used())) == tree.inodes.count
    ext_images.edit(made, "kill_file /file", "unlink /file")
    gone = [r for r in of(ext_images.tree(made)).values() if r.deleted]
    assert gone

"""The reader of XFS on filesystems that mkfs.xfs made: each form of directory, extent and attribute."""

from __future__ import annotations

import stat
import struct
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats import xfs_attributes, xfs_chunks, xfs_directory
from guestrepair.formats.file_attributes import Unsure
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.xfs_accepted import is_accepted, known_flags, parse_inode
from guestrepair.formats.xfs_tree import Tree
from tests.unit.formats.xfs_images import (
    ATTRIBUTES,
    CONTENT,
    DIRECTORIES,
    Disk,
    answers,
    edit,
    make,
    make_filesystem,
    name,
)

SHAPES = {
    "usual": (),
    "small blocks": ("-b", "size=1024"),
    "large names": ("-n", "size=65536"),
    "large inodes": ("-i", "size=2048,nrext64=1"),
    "old features": ("-m", "bigtime=0,finobt=0,reflink=0", "-i", "sparse=0"),
    "large sectors": ("-s", "size=4096"),
}


@pytest.fixture(scope="module", params=SHAPES)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("xfs"), *SHAPES[request.param])


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("usual"))


def inside(tree: Tree, path: str) -> int:
    number = tree.root
    for part in path.split("/"):
        number = (tree.names(number) or {})[part.encode()]
    return number


def test_every_form_of_directory(image: Path) -> None:
    tree = Disk(image).tree()
    for directory, count in DIRECTORIES.items():
        number = inside(tree, directory)
        assert set(tree.names(number) or {}) == {name(n).encode() for n in range(count)}
        assert tree.parent(number) == tree.root
    assert tree.parent(tree.root) == tree.root
    assert tree.parent(inside(tree, "dir/inner")) == inside(tree, "dir")


def test_the_forms_are_what_they_are_taken_for(usual: Path) -> None:
    """xfs_db says how each directory lies; else a table of forms could hold one of them five times."""
    said = {
        directory: edit(usual, f"path /{directory}", "p core.format core.size core.nextents")
        for directory in DIRECTORIES
    }
    assert "(local)" in said["few"]
    assert "core.size = 4096" in said["block"]
    tree, last = Disk(usual).tree(), {}
    for directory in ("block", "leaf", "large"):
        number = inside(tree, directory)
        inode = tree.inodes.inode(number)
        assert inode is not None
        runs = tree.inodes.runs(number, inode)
        assert runs
        last[directory] = runs[-1].offset << 12
    assert last["block"] < xfs_directory.LEAVES_AT == last["leaf"] < xfs_directory.FREE_AT <= last["large"]


def test_attributes_links_and_content(image: Path) -> None:
    disk = Disk(image)
    tree = disk.tree()
    found = tree.attributes(inside(tree, "file"))
    assert found is not None
    assert (found.mode, found.uid, found.gid, found.size_bytes) == (0o100644, 1000, 70000, len(CONTENT))
    assert (found.links, found.mtime > 1_700_000_000) == (1, True)
    setuid, root = tree.attributes(inside(tree, "setuid")), tree.attributes(tree.root)
    assert setuid is not None
    assert root is not None
    assert setuid.mode == 0o104755
    assert root.links == 2 + len(DIRECTORIES) + 1
    kinds = {"fifo": stat.S_ISFIFO, "chr": stat.S_ISCHR, "short": stat.S_ISLNK, "dir": stat.S_ISDIR}
    for path, is_kind in kinds.items():
        attributes = tree.attributes(inside(tree, path))
        assert attributes is not None
        assert is_kind(attributes.mode)
    assert tree.link_target(inside(tree, "short")) == b"usr/lib"
    assert tree.link_target(inside(tree, "file")) == b""
    layout = tree.layout(inside(tree, "dir/inner/file"))
    assert layout is not None
    content = b"".join(disk(e.physical, e.length) for e in layout.extents)
    assert content[: layout.size_bytes] == CONTENT
    assert tree.layout(inside(tree, "dir")) is None
    empty = tree.layout(inside(tree, f"few/{name(0)}"))
    assert empty is not None
    assert (empty.size_bytes, empty.extents) == (0, ())


def test_extended_attributes(image: Path) -> None:
    tree = Disk(image).tree()
    said = {path: tree.xattrs(inside(tree, path)) for path in ("file", "dir", "few", "block", "leaf")}
    few_names = {b"user.name-%d" % number for number in range(ATTRIBUTES)}
    sizes = {
        path: None if all_ is None else {n: len(v) for n, v in all_.items()} for path, all_ in said.items()
    }
    assert sizes == {
        "file": {b"user.remote": 3000},
        "dir": {b"user.short": 5},
        "few": dict.fromkeys(few_names, 3),
        "block": {},
        "leaf": {},
    }
    assert tree.xattrs(tree.root) == {}
    number = inside(tree, "few")
    few = tree.inodes.inode(number)
    assert few is not None
    runs = tree.inodes.attribute_runs(number, few)
    assert runs
    assert sum(run.length for run in runs) > 2  # a node and leaves


def test_records_name_everything_with_its_times(image: Path) -> None:
    tree = Disk(image).tree()
    found = {each.path: each for each in tree.records([b"large"]) if not isinstance(each, Unsure)}
    names = sum(DIRECTORIES.values()) - DIRECTORIES["large"] + len(DIRECTORIES) + 8
    assert len(found) == names
    file = found[b"dir/inner/file"]
    assert (file.mode, file.uid, file.size_bytes) == (0o100600, 1, len(CONTENT))
    assert file.created is not None
    assert file.modified is not None
    assert abs(file.created - file.modified) < 10**9
    assert (file.deleted, file.deleted_at, found[b"short"].target) == (False, None, b"usr/lib")
    assert b"large" in found
    assert list(tree.former_files()) == []
    assert tree.deletion_times(tree.root) == {}


def test_what_is_not_certain_is_not_answered(usual: Path) -> None:
    tree = Disk(usual).tree()
    file = inside(tree, "file")
    assert tree.names(file) is None
    geometry = tree.inodes.geometry
    assert geometry is not None
    unused = max(inside(tree, f"large/{name(n)}") for n in range(DIRECTORIES["large"])) + 1
    for number in (0, -1, 1 << 70, 1 << 40, tree.root - 1, unused, *geometry.own_inodes):
        assert tree.names(number) is None
        assert tree.attributes(number) is None
        assert tree.link_target(number) is None
        assert tree.xattrs(number) is None
        assert tree.layout(number) is None
        assert tree.deletion_times(number) is None


def test_a_link_that_the_kernel_refuses_has_no_target(tmp_path: Path) -> None:
    """This mkfs.xfs writes a long link from a prototype without its head, which no kernel reads."""
    proto, image = tmp_path / "proto", tmp_path / "image"
    proto.write_text(f"/dev/null\n0 0\nd--755 0 0\nlong l--777 0 0 {'a/' * 400}\n$\n")
    make_filesystem(image, "-p", str(proto))
    tree = Disk(image).tree()
    number = inside(tree, "long")
    attributes = tree.attributes(number)
    assert attributes is not None
    assert attributes.size_bytes == 800
    target = tree.link_target(number)
    assert target is None or target == b"a/" * 400  # newer ones write it right


def sealed(data: bytes, crc_at: int) -> bytes:
    """The same with a right checksum."""
    zeroed = data[:crc_at] + bytes(4) + data[crc_at + 4 :]
    return data[:crc_at] + (crc32c(zeroed) ^ 0xFFFFFFFF).to_bytes(4, "little") + data[crc_at + 4 :]


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (100, b"\xb4\xa4"),  # version 4
        (100, b"\xf4\xa5"),  # names without case
        (16, b"\0\0\0\0\0\0\0\1"),  # a realtime device
        (48, bytes(8)),  # a log elsewhere
        (126, b"\1"),  # mkfs is still at it
        (212, b"\x80\0\0\0"),  # a feature that is not known
        (216, b"\0\0\0\x10"),  # to be repaired first
        (216, b"\0\0\1\3"),  # a metadata directory
        (220, b"\0\0\0\1"),  # a feature of the log in use
        (88, b"\0\0\xff\xff"),  # more groups than there are blocks
        (8, b"\0\0\0\0\0\1\x90\0"),  # more blocks than the device
        (192, b"\x09"),  # directory blocks that are too large
        (56, bytes(8)),  # no top directory
        (124, b"\x1f"),  # bits of a block's number that do not fit its group
        (96, b"\x7f\xff\xff\xff"),  # a log that ends outside
    ],
)
def test_other_filesystems_are_left_to_the_kernel(usual: Path, at: int, value: bytes) -> None:
    raw = Disk(usual)(0, 512)
    hostile = sealed(raw[:at] + value + raw[at + len(value) :], 224)
    assert Disk(usual, {0: sealed(raw, 224)}).tree().root
    tree = Disk(usual, {0: hostile}).tree()
    assert not tree.inodes.is_certain
    assert tree.root == 0
    assert tree.names(tree.root) is None
    assert [type(each) for each in tree.records(())] == [Unsure]


def test_files_to_be_freed_are_left_to_the_mount(usual: Path) -> None:
    raw = Disk(usual)(1024, 512)
    assert Disk(usual, {1024: sealed(raw, 312)}).tree().root
    assert not Disk(usual, {1024: sealed(raw[:40] + b"\0\0\0\x85" + raw[44:], 312)}).tree().root


@pytest.mark.parametrize(
    "command", [("xfs_admin", "-U", "generate"), ("xfs_repair", "-L"), ("xfs_repair",)], ids=" ".join
)
def test_logs_that_other_programs_have_written(tmp_path: Path, command: tuple[str, ...]) -> None:
    """xfs_admin's begins with a record that is not whole: the head lies before it, and all is clean."""
    image = make(tmp_path)
    before = answers(Disk(image).tree())
    subprocess.run([*command, image], check=True, capture_output=True)
    tree = Disk(image).tree()
    assert answers(tree) == before
    said = subprocess.run(["xfs_logprint", "-t", image], check=True, capture_output=True, text=True).stdout
    assert tree.inodes.blocks is not None
    assert f"head: {tree.inodes.blocks.last_lsn & 0xFFFFFFFF} state: <CLEAN>" in said


def test_what_is_newer_than_the_log_is_not_believed(usual: Path) -> None:
    raw = Disk(usual)(1024, 512)
    newer = sealed(raw[:320] + (5 << 32).to_bytes(8, "big") + raw[328:], 312)
    assert not Disk(usual, {1024: newer}).tree().root


def test_an_inode_whose_fields_contradict_each_other_is_not_given_out(usual: Path) -> None:
    tree = Disk(usual).tree()
    geometry, inode = tree.inodes.geometry, tree.inodes.inode(inside(tree, "file"))
    assert geometry is not None
    assert inode is not None
    flags = known_flags(geometry)
    assert is_accepted(inode, flags)
    changes = {
        "no mode": (2, bytes(2)),
        "no kind": (2, b"\xf1\xa4"),
        "content in the inode": (5, b"\1"),
        "no links": (16, bytes(4)),
        "links as version 1 had them": (7, b"\1"),
        "a negative size": (56, b"\xff"),
        "no blocks": (64, bytes(8)),
        "an extent size": (72, b"\0\0\0\1"),
        "more extents than there is room": (76, b"\0\0\0\xff"),
        "attributes behind its end": (82, b"\xff"),
        "attributes of no form": (83, b"\7"),
        "realtime": (90, b"\0\1"),
        "to be freed": (96, b"\0\0\0\1"),
        "a flag that is not known": (120, b"\x80"),
    }
    for what, (at, value) in changes.items():
        hostile = parse_inode(inode.data[:at] + value + inode.data[at + len(value) :])
        assert not is_accepted(hostile, flags), what
    assert not is_accepted(inode, 0)  # large times, where the filesystem has none
    empty = tree.inodes.inode(inside(tree, "empty"))
    assert empty is not None
    assert is_accepted(empty, flags)
    assert not is_accepted(empty._replace(blocks=1), flags)  # which nothing would lie in


def entry(number: int, text: bytes, at: int) -> bytes:
    size = (len(text) + 19) & ~7
    head = struct.pack(">QB", number, len(text)) + text + b"\1"
    return head.ljust(size - 2, b"\0") + at.to_bytes(2, "big")


def test_entries_of_a_block_that_cannot_be_right() -> None:
    head, gap = bytes(64), b"\xff\xff\0\x10" + bytes(10) + b"\0\x58"
    good = head + entry(7, b"abc", 64) + entry(8, b"b", 80)[:0] + b""
    found = xfs_directory.Names(5)
    assert xfs_directory.parse_data(good, len(good), 4096, found)
    assert (found.names, found.places) == ({b"abc": 7}, [(4096 + 64) >> 3])
    wrong = [
        head + entry(7, b"abc", 65),  # its own place
        head + entry(7, b"a/c", 64),
        head + entry(7, b"a\0c", 64),
        head + entry(5, b"abc", 64),  # the directory itself
        head + entry(7, b"abc", 64) + entry(9, b"abc", 64 + len(entry(7, b"abc", 64))),
        head + entry(7, b"", 64),
        head + entry(7, b"abc", 64)[:-1],
        head + gap,  # the place of a gap
        head + b"\xff\xff\0\0" + bytes(12),
        head + entry(6, b".", 64),
    ]
    for data in wrong:
        assert not xfs_directory.parse_data(data, len(data), 0, xfs_directory.Names(5)), data


def test_names_in_an_inode_that_cannot_be_right() -> None:
    good = b"\1\0\0\0\0\x80" + b"\3\0\x60abc\1\0\0\0\x85"
    found = xfs_directory.short_names(good, 128, len(good))
    assert found is not None
    assert (found.names, found.parent) == ({b"abc": 0x85}, 0x80)
    wrong = [
        b"\2" + good[1:],  # another one than there are
        good[:1] + b"\1" + good[2:],  # wide numbers that are none
        good.replace(b"abc", b"a/c"),
        good.replace(b"\0\x60", b"\0\x10"),
        good.replace(b"c\1", b"c\x7f"),
        good + b"\0",
        good.replace(b"\3\0\x60abc", b"\2\0\x60.."),
    ]
    for data in wrong:
        assert xfs_directory.short_names(data, 128, len(data)) is None, data


def test_an_index_that_leads_elsewhere_is_not_believed(usual: Path) -> None:
    """A name that stands in a directory, and that the kernel would not find by its hash."""
    disk = Disk(usual)
    tree = disk.tree()
    number = inside(tree, "block")
    inode = tree.inodes.inode(number)
    assert inode is not None
    runs, geometry = tree.inodes.runs(number, inode), tree.inodes.geometry
    assert runs
    assert geometry is not None
    at = geometry.address(runs[0].block)
    raw = disk(at, 4096)
    last = len(raw) - 8 - 8
    hostile = sealed(raw[: last + 4] + raw[last - 4 : last] + raw[last + 8 :], 4)
    assert len(Disk(usual, {at: sealed(raw, 4)}).tree().names(number) or ()) == DIRECTORIES["block"]
    assert Disk(usual, {at: hostile}).tree().names(number) is None


def test_chunks_whose_numbers_contradict_each_other_are_not_believed() -> None:
    def node(*records: bytes, level: int = 0) -> bytes:
        return (b"IAB3" + struct.pack(">HH", level, len(records))).ljust(56, b"\0") + b"".join(records).ljust(
            400, b"\0"
        )

    full = struct.pack(">IHBBQ", 64, 0, 64, 0, 0)
    sparse = struct.pack(">IHBBQ", 128, 0xFF00, 32, 30, (1 << 64) - 4)
    found = xfs_chunks.parse_node(node(full, sparse))
    assert found is not None
    assert [chunk.missing.bit_count() for chunk in found.chunks] == [0, 32]
    wrong = [
        node(sparse, full),
        node(full, struct.pack(">IHBBQ", 100, 0, 64, 0, 0)),  # one over the other
        node(struct.pack(">IHBBQ", 64, 0, 64, 1, 0)),  # none is unused
        node(struct.pack(">IHBBQ", 64, 0xFF00, 64, 0, 0)),
        node(struct.pack(">IHBBQ", 64, 0xFF00, 32, 0, 0)),  # what is not there is in use
        node(level=1),
    ]
    for data in wrong:
        assert xfs_chunks.parse_node(data) is None


def test_attributes_in_an_inode() -> None:
    entries = b"\4\1\0namev" + b"\1\1\x80xv" + b"\1\1\4sv"
    good = struct.pack(">HBx", 4 + len(entries), 3) + entries
    found = xfs_attributes.short_attributes(good)
    assert found is not None
    assert [each[:3] for each in found] == [(1, b"name", b"v"), (0x81, b"x", b"v"), (5, b"s", b"v")]
    assert xfs_attributes.short_attributes(good + bytes(20)) == found
    assert xfs_attributes.short_attributes(good[:-1]) is None
    assert xfs_attributes.short_attributes(good[:2] + b"\4" + good[3:]) is None


def test_what_did_not_change_is_not_read_again(usual: Path) -> None:
    former = Disk(usual).tree()
    said = answers(former)
    again = Disk(usual)
    tree = again.tree()
    opened = len(again.reads)
    tree.adopt(former, lambda _offset, _size: True)
    assert tree.names(tree.root) == former.names(tree.root)
    leaf = inside(tree, "leaf")
    assert tree.names(leaf) == said["names", leaf]
    assert len(again.reads) - opened <= 4  # of each group's tree of inodes; all else is kept
    changed = Disk(usual).tree()
    changed.adopt(former, lambda _offset, _size: False)
    assert answers(changed) == said
    make_filesystem(usual.parent / "other")
    other = Disk(usual.parent / "other").tree()
    other.adopt(former, lambda _offset, _size: True)
    assert other.names(other.root) == {}

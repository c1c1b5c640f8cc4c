"""Directories, attributes and links of ext4, read as debugfs reads them from real filesystems."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from guestrepair.formats import ext_tree
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_tree import Tree, parse_block
from guestrepair.formats.superblock.checksums import crc32c

ROOT = 2
ENTRY = re.compile(r"^/(\d+)/([0-7]+)/(\d+)/(\d+)/([^/]+)/(\d*)/$", re.MULTILINE)


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small and a large directory (a hash tree), links short and long, owners and times."""
    top = tmp_path_factory.mktemp("files") / "tree"
    (top / "large").mkdir(parents=True)
    for number in range(1500):
        (top / "large" / f"a-name-of-some-length-{number:04d}").touch(mode=0o600 + number % 8)
    (top / "empty").mkdir(mode=0o1777)
    (top / "short").symlink_to("usr/lib")
    (top / "long").symlink_to("a/" * 40)
    (top / "na\udcffme").touch()
    (top / "setuid").write_bytes(b"x" * 5000)
    (top / "setuid").chmod(0o4755)
    if os.geteuid() == 0:
        os.chown(top / "setuid", 100_000, 70_000)
    os.utime(top / "setuid", (86_400, 86_400))
    return top


@pytest.fixture(scope="module", params=["-b4096", "-b1024", "-I128", "-O^metadata_csum,^64bit"])
def image(request: pytest.FixtureRequest, top: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ext4 with all of that."""
    out = tmp_path_factory.mktemp("ext4") / "image"
    options = [request.param[:2], request.param[2:]]
    subprocess.run(["mke2fs", "-q", "-t", "ext4", *options, "-d", top, out, "16M"], check=True)
    # Some releases of mke2fs copy no time after 2038; an inode of 128 bytes has no room for one.
    subprocess.run(
        ["debugfs", "-w", "-R", "sif /empty mtime 4000000000", out], check=True, capture_output=True
    )
    return out


def debugfs(image: Path, *commands: str) -> None:
    text = "\n".join(commands)
    subprocess.run(
        ["debugfs", "-w", "-f", "-", image], input=text, text=True, check=True, capture_output=True
    )


def tree(image: Path) -> Tree:
    data = image.read_bytes()
    return Tree(Inodes(lambda offset, size: data[offset : offset + size]))


def said_by_debugfs(image: Path, directory: str) -> dict[bytes, tuple[int, int, int, int]]:
    done = subprocess.run(["debugfs", "-R", f"ls -p {directory}", image], capture_output=True, check=True)
    text = done.stdout.decode(errors="surrogateescape")
    return {
        name.encode(errors="surrogateescape"): (int(number), int(mode, 8), int(uid), int(gid))
        for number, mode, uid, gid, name, _size in ENTRY.findall(text)
        if name not in {".", ".."}
    }


@pytest.mark.parametrize("directory", ["/", "/large", "/empty"])
def test_names_modes_and_owners(image: Path, directory: str) -> None:
    found = tree(image)
    number = ROOT if directory == "/" else (found.names(ROOT) or {})[directory[1:].encode()]
    names = found.names(number)
    assert names is not None
    seen = {}
    for name, inode in names.items():
        a = found.attributes(inode)
        assert a is not None
        seen[name] = (a.inode, a.mode, a.uid, a.gid)
    assert seen == said_by_debugfs(image, directory)


def test_sizes_times_and_links(image: Path) -> None:
    found = tree(image)
    names = found.names(ROOT) or {}
    setuid, empty = found.attributes(names[b"setuid"]), found.attributes(names[b"empty"])
    assert setuid is not None
    assert empty is not None
    assert (setuid.size_bytes, setuid.mtime, setuid.links) == (5000, 86_400, 1)
    wide = int.from_bytes(image.read_bytes()[1024 + 0x58 : 1024 + 0x5A], "little") > 128
    assert empty.mtime == (4_000_000_000 if wide else 4_000_000_000 - (1 << 32))
    assert empty.links == 2
    assert found.link_target(names[b"short"]) == b"usr/lib"
    assert found.link_target(names[b"long"]) == b"a/" * 40
    assert found.link_target(names[b"setuid"]) == b""


def test_what_is_not_certain_is_not_answered(image: Path) -> None:
    found = tree(image)
    setuid = (found.names(ROOT) or {})[b"setuid"]
    assert found.names(setuid) is None
    for number in (0, 1 << 30, found.inodes.count):
        assert found.names(number) is None
        assert found.attributes(number) is None
        assert found.link_target(number) is None


def test_a_damaged_block_is_not_believed() -> None:
    good = (11).to_bytes(4, "little") + (12).to_bytes(2, "little") + b"\1\1a\0\0\0"
    rest = bytes(4) + (52).to_bytes(2, "little") + bytes(46)
    into: dict[bytes, int] = {}
    assert parse_block(good + rest, 20, into)
    assert into == {b"a": 11}
    assert not parse_block(good + rest, 10, {})  # no such inode
    assert not parse_block(good + rest, 20, {b"a": 12})  # the name stands twice
    assert not parse_block(good[:6] + b"\7" + good[7:] + rest, 20, {})  # the name is longer than its entry
    assert not parse_block(good.replace(b"a", b"/") + rest, 20, {})
    assert not parse_block(good + bytes(52), 20, {b"b": 1} | {b"a": 1})


def test_a_filesystem_with_a_journal_to_replay_is_not_read(image: Path) -> None:
    data = bytearray(image.read_bytes())
    data[1024 + 0x60] |= 0x4
    assert Tree(Inodes(lambda offset, size: bytes(data[offset : offset + size]))).names(ROOT) is None


def has_checksums(image: Path) -> bool:
    return bool(image.read_bytes()[1024 + 0x65] & 0x4)  # RO_COMPAT_METADATA_CSUM


def changed(image: Path, at: int) -> Tree:
    """The image as it is with one byte of it changed."""
    data = bytearray(image.read_bytes())
    data[at] ^= 0x40
    return Tree(Inodes(lambda offset, size: bytes(data[offset : offset + size])))


def test_an_inode_whose_checksum_is_wrong_is_not_believed(image: Path) -> None:
    number = (tree(image).names(ROOT) or {})[b"setuid"]
    inode = tree(image).inodes.inode(number)
    assert inode is not None
    at = image.read_bytes().find(inode.data)
    spoilt = changed(image, at + 8)  # the time of its last access
    assert (spoilt.attributes(number) is None) is has_checksums(image)
    assert spoilt.attributes(ROOT) is not None


@pytest.mark.parametrize("directory", ["large", "empty"])
def test_a_directory_whose_checksum_is_wrong_is_not_believed(image: Path, directory: str) -> None:
    found = tree(image)
    number = (found.names(ROOT) or {})[directory.encode()]
    layout = found._layout(number)
    assert layout is not None
    blocks = found._blocks(number, layout)
    assert blocks
    for block in {0: blocks[0], 1: blocks[-1]}.values():
        at = image.read_bytes().find(block)
        spoilt = changed(image, at + 7)  # the file type of "."; of a node, nothing that counts
        assert (spoilt.names(number) is None) is has_checksums(image)


def test_orphans_that_a_mount_would_free_are_left_to_it(image: Path) -> None:
    data = bytearray(image.read_bytes())
    if has_checksums(image):
        subprocess.run(["debugfs", "-w", "-R", "ssv last_orphan 12", image], check=True, capture_output=True)
        data = bytearray(image.read_bytes())
        subprocess.run(["debugfs", "-w", "-R", "ssv last_orphan 0", image], check=True, capture_output=True)
    else:
        data[1024 + 0xE8] = 12
    assert Tree(Inodes(lambda offset, size: bytes(data[offset : offset + size]))).names(ROOT) is None
    assert tree(image).names(ROOT) is not None


def test_deleted_names_are_found_in_the_gaps(image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "image"
    shutil.copy(image, copy)
    gone = ("short", "large/a-name-of-some-length-0700", "large/a-name-of-some-length-1400")
    commands = [f"rm {name}" for name in gone]
    names = tree(image).names(ROOT) or {}
    debugfs(copy, *commands)
    found = tree(copy)
    large = found.deletion_times(names[b"large"])
    assert large is not None
    assert set(large) == {name.encode().removeprefix(b"large/") for name in gone[1:]}
    assert all(abs(when - time.time()) < 3600 for when in large.values())
    assert found.deletion_times(names[b"empty"]) == {}
    assert set(large).isdisjoint(found.names(names[b"large"]) or {})
    assert found.deletion_times(names[b"setuid"]) is None


def test_extended_attributes(image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "image"
    shutil.copy(image, copy)
    number = (tree(image).names(ROOT) or {})[b"setuid"]
    assert tree(image).xattrs(number) == {}
    command = ["debugfs", "-w", "-R", "ea_set /setuid user.short x", str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    assert tree(copy).xattrs(number) == {b"user.short": b"x"}
    assert tree(copy).xattrs(ROOT) == {}
    assert tree(copy).xattrs(0) is None


class Reads:
    """An image whose reads are counted."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0

    def __call__(self, offset: int, size: int) -> bytes:
        self.count += 1
        return self.data[offset : offset + size]


def test_what_did_not_change_is_not_read_again_and_what_did_is(image: Path, tmp_path: Path) -> None:
    copy = tmp_path / "image"
    shutil.copy(image, copy)
    former = tree(image)
    large = (former.names(ROOT) or {})[b"large"]
    for number in (ROOT, large, (former.names(ROOT) or {})[b"empty"]):
        assert former.names(number) is not None
    setuid = (former.names(ROOT) or {})[b"setuid"]
    assert former.attributes(setuid) != former.attributes(large)
    commands = ["rm /large/a-name-of-some-length-0003", "sif /setuid mode 0100600"]
    debugfs(copy, *commands)
    before, after = image.read_bytes(), copy.read_bytes()

    def is_unchanged(offset: int, size: int) -> bool:
        return before[offset : offset + size] == after[offset : offset + size]

    fresh, adopting, again = Reads(after), Reads(after), Reads(before)
    expected, found, same = Tree(Inodes(fresh)), Tree(Inodes(adopting)), Tree(Inodes(again))
    found.adopt(former, is_unchanged)
    same.adopt(former, lambda _offset, _size: True)
    for number in (ROOT, large, (former.names(ROOT) or {})[b"empty"]):
        assert found.names(number) == expected.names(number)
        assert same.names(number) == former.names(number)
    assert b"a-name-of-some-length-0003" not in (found.names(large) or {})
    assert found.attributes(setuid) == expected.attributes(setuid)
    assert again.count < adopting.count < fresh.count


def test_another_filesystem_adopts_nothing(image: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "2048", other, "8M"], check=True)
    found, former = tree(other), tree(image)
    assert len(former.names(ROOT) or {}) > 1
    found.adopt(former, lambda _offset, _size: True)
    assert set(found.names(ROOT) or {}) == {b"lost+found"}


def test_a_root_of_a_hash_tree_that_was_a_leaf_is_intact() -> None:
    """The kernel leaves a leaf's end where it makes a root of it; the checksum is that of a root."""
    seed, most, count = 77, (1024 - 32 - 8) // 8, 2
    dots = (
        b"\x02\0\0\0\x0c\0\x01\x02.\0\0\0" + b"\x02\0\0\0\xf4\x03\x02\x02..\0\0" + bytes(4) + b"\x01\x08\0\0"
    )
    entries = most.to_bytes(2, "little") + count.to_bytes(2, "little") + (1).to_bytes(4, "little") + bytes(8)
    block = bytearray((dots + entries).ljust(1024, b"\0"))
    block[-12:-4] = ext_tree._LEAF_TAIL
    state = crc32c(bytes(block[: 32 + count * 8]), seed)
    block[-4:] = crc32c(bytes(block[-8:-4]) + bytes(4), state).to_bytes(4, "little")
    assert ext_tree.is_block_intact(bytes(block), seed)
    block[40] ^= 1
    assert not ext_tree.is_block_intact(bytes(block), seed)

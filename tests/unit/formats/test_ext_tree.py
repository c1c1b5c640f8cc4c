"""Directories, attributes and links of ext4, read as debugfs reads them from real filesystems."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_tree import Tree, parse_block

ROOT = 2
ENTRY = re.compile(r"^/(\d+)/([0-7]+)/(\d+)/(\d+)/([^/]+)/(\d*)/$", re.MULTILINE)


@pytest.fixture(scope="module", params=["-b4096", "-b1024", "-I128", "-O^metadata_csum,^64bit"])
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ext4 with a small and a large directory (a hash tree), links short and long, owners and times."""
    folder = tmp_path_factory.mktemp("ext4")
    top = folder / "tree"
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
    for name, time in (("setuid", 86_400), ("empty", 4_000_000_000)):
        os.utime(top / name, (time, time))
    out = folder / "image"
    options = [request.param[:2], request.param[2:]]
    subprocess.run(["mke2fs", "-q", "-t", "ext4", *options, "-d", top, out, "16M"], check=True)
    if request.param != "-I128":  # there is no room for the bits beyond 2038, and mke2fs leaves them out
        subprocess.run(
            ["debugfs", "-w", "-R", "sif /empty mtime_extra 1", out], check=True, capture_output=True
        )
    return out


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
    assert found.link_target(names[b"long"]) is None
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

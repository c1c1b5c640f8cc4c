"""XFS that this host's kernel has written to for a while: what is read is what the kernel says; root's."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.file_attributes import Found
from guestrepair.formats.xfs_tree import open_tree
from guestrepair.session.host.filesystem import HostFilesystem
from tests.support.aged_files import age, special_cases
from tests.support.mounts import mounted
from tests.unit.formats.xfs_images import Disk, answers, edit

SHAPES = {
    "usual": (),
    "newer features": ("-m", "bigtime=1,rmapbt=1,reflink=1", "-i", "nrext64=1,size=1024"),
    "small blocks": ("-b", "size=1024", "-n", "size=4096"),
    "large names": ("-n", "size=65536", "-d", "agcount=9"),
    "old features": ("-m", "finobt=0,reflink=0,bigtime=0", "-i", "sparse=0,size=2048", "-s", "size=4096"),
}
SIZE_BYTES = 1 << 30


@pytest.fixture(params=SHAPES)
def aged(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A filesystem of its shape, mounted and written to twice."""
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    subprocess.run(["mkfs.xfs", "-q", *SHAPES[request.param], image], check=True, capture_output=True)
    usual = request.param == "usual"
    with mounted(image, point):
        special_cases(point, names=20_000 if usual else 3000)
        subprocess.run(["cp", "--reflink=auto", point / "punched", point / "copy"], check=True)
    with mounted(image, point):
        (point / "aged").mkdir()
        age(point / "aged", seed=len(request.param), operations=6000 if usual else 2000)
    return image


def test_the_whole_tree_is_what_the_kernel_says(aged: Path) -> None:
    disk, point = Disk(aged), aged.parent / "point"
    found = HostFilesystem(disk, disk.size_bytes, open_tree)
    root = found.root
    assert root is not None
    with mounted(aged, point, "ro"):
        compared = compare(found, os.fsencode(point), root)
        records(found, os.fsencode(point), compared)
    assert compared > 3000
    print(f"{compared} files agree")


def compare(found: HostFilesystem, top: bytes, root: int) -> int:
    """All that is said of each file; how many there are."""
    compared, waiting = 0, [(top, root)]
    while waiting:
        directory, number = waiting.pop()
        names = found.names(number)
        assert names is not None, directory
        assert set(names) == {entry.name for entry in os.scandir(directory)}
        for name, inode in names.items():
            path, compared = directory + b"/" + name, compared + 1
            stat, attributes = os.lstat(path), found.attributes(inode)
            assert attributes is not None, path
            assert (attributes.inode, attributes.mode, attributes.links) == (
                stat.st_ino,
                stat.st_mode,
                stat.st_nlink,
            )
            assert (attributes.uid, attributes.gid) == (stat.st_uid, stat.st_gid)
            assert (attributes.size_bytes, attributes.mtime, attributes.ctime) == (
                stat.st_size,
                stat.st_mtime_ns // 10**9,
                stat.st_ctime_ns // 10**9,
            ), path
            assert found.xattrs(inode) == attributes_of(path), path
            kind = stat.st_mode & 0xF000
            assert found.link_target(inode) == (target(path) if kind == 0xA000 else b"")
            if kind == 0x4000:
                assert found.parent(inode) == number
                waiting.append((path, inode))
            elif kind == 0x8000:
                content = found.content(inode, 0, stat.st_size)
                assert content is not None, path
                with Path(os.fsdecode(path)).open("rb") as file:
                    assert hashlib.file_digest(file, "sha256").digest() == hashlib.sha256(content).digest()
    return compared


def attributes_of(path: bytes) -> dict[bytes, bytes]:
    """Extended attributes as the kernel gives them to root."""
    names = os.listxattr(path, follow_symlinks=False)
    return {os.fsencode(name): os.getxattr(path, name, follow_symlinks=False) for name in names}


def target(path: bytes) -> bytes:
    return os.fsencode(Path(os.fsdecode(path)).readlink())


def records(found: HostFilesystem, top: bytes, expected: int) -> None:
    """All names in one walk, with all their times."""
    walked = list(found.records(()) or ())
    assert len(walked) == expected
    for each in walked:
        assert isinstance(each, Found)
        stat = os.lstat(top + b"/" + each.path)
        assert (each.accessed, each.modified, each.changed) == (
            stat.st_atime_ns,
            stat.st_mtime_ns,
            stat.st_ctime_ns,
        ), each.path
        assert each.created is not None
        assert each.created <= (each.changed or 0)


def test_chunks_of_inodes_with_holes(tmp_path: Path) -> None:
    """Where no room for a whole chunk is left, inodes come in parts of one."""
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(300 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-i", "sparse=1,maxpct=90", image], check=True, capture_output=True)
    with mounted(image, point):
        fill(point)
    trees = [f"agi {group}\naddr root\naddr ptrs[{n}]\np" for group in range(4) for n in (1, 2)]
    assert re.search(r"\[\d+,0x(?!0,)[0-9a-f]+,", edit(image, *trees))
    disk = Disk(image)
    found = HostFilesystem(disk, disk.size_bytes, open_tree)
    with mounted(image, point, "ro"):
        assert found.root is not None
        assert compare(found, os.fsencode(point), found.root) > 30_000


def fill(top: Path) -> None:
    """Fill a filesystem with files of 16 KiB, empty every second one, and make more of them in the gaps."""
    number = 0
    for group in range(4):
        (top / f"d{group}").mkdir()  # in one allocation group after the other
    with contextlib.suppress(OSError):
        for number in range(20_000):
            with (top / f"d{number % 4}" / f"f{number}").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, 16 << 10)
    for gap in range(number):
        if gap // 4 % 2:
            os.truncate(top / f"d{gap % 4}" / f"f{gap}", 0)
    os.sync()
    for empty in range(30_000):
        (top / f"d{empty % 4}" / f"e{empty}").touch()


def test_a_mounted_filesystem_is_not_read(tmp_path: Path) -> None:
    """Before it is unmounted its log is dirty, as after a crash; xfs_logprint says where its head is."""
    image, point = tmp_path / "image", tmp_path / "point"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(300 << 20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True, capture_output=True)
    for number in range(12):
        with mounted(image, point):
            age(make(point / f"of {number}"), seed=number, operations=60)
            os.sync()
            assert set(answers(Disk(image).tree()).values()) == {None}
        said = subprocess.run(
            ["xfs_logprint", "-t", image], capture_output=True, text=True, check=True
        ).stdout
        head = re.search(r"head: (\d+) state: <CLEAN>", said)
        blocks = Disk(image).tree().inodes.blocks
        assert head is not None
        assert blocks is not None
        assert blocks.last_lsn & 0xFFFFFFFF == int(head[1])


def make(path: Path) -> Path:
    path.mkdir()
    return path

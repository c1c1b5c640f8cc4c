"""Names and times of ext4 as The Sleuth Kit has them, on small filesystems of many shapes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from guestrepair.formats.ext_records import records
from guestrepair.formats.ext_tree import open_tree
from guestrepair.formats.file_attributes import Found
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.guest.file_records import FileRecord
from guestrepair.report.bodyfile import bodyfile, mactime
from guestrepair.session.host.backend import HostBackend
from guestrepair.session.host.filesystem import HostFilesystem
from tests.support.mounts import mounted

pytestmark = pytest.mark.skipif(shutil.which("fls") is None, reason="no sleuthkit on this host")
SHAPES = {
    "usual": (),
    "1 KiB blocks": ("-b", "1024"),
    "small inodes": ("-I", "128"),
    "no checksums": ("-O", "^metadata_csum,^64bit"),
    "no journal": ("-O", "^has_journal"),
    "large inodes": ("-I", "512"),
    "no groups of groups": ("-O", "^flex_bg,^resize_inode"),
}
ODD = {"new\nline", "ta\tb", 'quote"s', "ü", "a b", "-x", "$dollar", "back\\slash"}


def fill(top: Path) -> None:
    """Every kind of file, mode and time."""
    (top / "many").mkdir(parents=True)
    for number in range(400):
        (top / "many" / f"a-name-of-some-length-{number}").write_bytes(b"x" * number)
    (top / "etc" / "inner" / "deep").mkdir(parents=True)
    for name in ODD:
        (top / "etc" / name).touch()
    for bits in (0o4755, 0o2644, 0o1666, 0o4644, 0o7000, 0o0):
        (top / "etc" / f"mode{bits:o}").touch()
        (top / "etc" / f"mode{bits:o}").chmod(bits)
    for when in (-5, 0, 1, 2**31 - 1, 2**31, 2**32 + 7):
        (top / "etc" / f"time{when}").touch()
        os.utime(top / "etc" / f"time{when}", (when, when))
    (top / "short").symlink_to("a" * 59)
    (top / "long").symlink_to("b" * 60)
    (top / "hard").hardlink_to(top / "etc" / "a b")
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.fspath(top / "s"))
    if os.geteuid() == 0:
        os.mknod(top / "char", 0o020600, os.makedev(1, 3))
        os.mknod(top / "block", 0o060600, os.makedev(7, 1))
        os.chown(top / "etc" / "ü", 70_000, 80_000)


def make(folder: Path, *options: str) -> Path:
    fill(folder / "tree")
    image = folder / "image"
    command = ["mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", str(folder / "tree"), str(image), "32M"]
    subprocess.run(command, check=True, capture_output=True)
    return image


class Disks:
    """One filesystem in a file."""

    def __init__(self, image: Path) -> None:
        data = image.read_bytes()
        self.found = HostFilesystem(lambda offset, size: data[offset : offset + size], len(data), open_tree)

    def filesystem(self, device: BlockDevice, _subvolume: str = "") -> HostFilesystem | None:
        return self.found

    def part(self, device: BlockDevice) -> None:
        return None

    def start_over(self) -> None:
        return None


def ours(image: Path) -> list[FileRecord]:
    device = BlockDevice("/dev/sda", DeviceKind.DISK, 1, "ext4", disk="/dev/sda")
    found = HostBackend(Disks(image), {"/": device}).records("/", ())
    assert found is not None
    known = list(found)
    assert not [each for each in known if isinstance(each, str)]
    return [each for each in known if not isinstance(each, str)]


def lines(parts: Iterable[str]) -> list[bytes]:
    return sorted("".join(parts).encode().splitlines())


def compare(image: Path, folder: Path) -> tuple[int, int, int]:
    body = subprocess.run(["fls", "-r", "-m", "/", image], check=True, capture_output=True).stdout
    (folder / "body").write_bytes(body)
    command = ["mactime", "-b", str(folder / "body"), "-d", "-y", "-z", "UTC"]
    table = subprocess.run(command, check=True, capture_output=True).stdout
    known = ours(image)
    assert lines(bodyfile(known)) == sorted(body.splitlines())
    assert lines(mactime(known)) == sorted(table.splitlines())
    return len(body.splitlines()), len(table.splitlines()), sum(r.deleted for r in known)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_lines_as_fls_and_mactime(shape: str, tmp_path: Path) -> None:
    image = make(tmp_path, *SHAPES[shape])
    body, table, _ = compare(image, tmp_path)
    print(f"{shape}: {body} lines of fls, {table} of mactime: alike")


@pytest.mark.parametrize("shape", ["usual", "1 KiB blocks", "small inodes"])
def test_deleted_by_debugfs_whose_names_stay(shape: str, tmp_path: Path) -> None:
    image = make(tmp_path, *SHAPES[shape])
    commands = [f"rm /many/a-name-of-some-length-{n}" for n in range(3, 90, 7)] + ["rmdir /etc/inner/deep"]
    debugfs = ["debugfs", "-w", "-f", "-", str(image)]
    subprocess.run(debugfs, input="\n".join(commands), text=True, check=True, capture_output=True)
    body, _, deleted = compare(image, tmp_path)
    assert deleted >= 13
    print(f"{shape}: {body} lines alike, {deleted} of deleted names")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")
@pytest.mark.parametrize("shape", ["usual", "1 KiB blocks", "no checksums"])
def test_deleted_by_the_kernel(shape: str, tmp_path: Path) -> None:
    image, point = make(tmp_path, *SHAPES[shape]), tmp_path / "mounted"
    with mounted(image, point):
        for number in range(100, 160):
            (point / "many" / f"a-name-of-some-length-{number}").unlink()
        (point / "etc" / "inner" / "deep").rmdir()
        (point / "etc" / "a b").rename(point / "etc" / "moved")
        (point / "new").write_text("new")
        os.utime(point / "new", ns=(7_258_118_400_123_456_789, -5_250_000_000))
    body, _, deleted = compare(image, tmp_path)
    assert deleted >= 59
    new = next(r for r in ours(image) if r.path == "/new")
    assert (new.accessed_ns, new.modified_ns) == (7_258_118_400_123_456_789, -5_250_000_000)
    gone = [r for r in ours(image) if r.deleted and not r.reallocated]
    assert all(r.deleted_ns is not None for r in gone)
    print(f"{shape}: {body} lines alike, {deleted} of deleted files")


def test_nanoseconds_are_those_of_debugfs(tmp_path: Path) -> None:
    image = make(tmp_path)
    data = image.read_bytes()
    tree = open_tree(lambda offset, size: data[offset : offset + size], len(data))
    by_path = {r.path: r for r in records(tree) if isinstance(r, Found)}
    names = ["hard", "short", "etc/inner", "fifo"]
    command = ["debugfs", "-f", "-", str(image)]
    script = "\n".join(f'stat "/{name}"' for name in names)
    said = subprocess.run(command, input=script, text=True, check=True, capture_output=True).stdout
    for name, part in zip(names, said.split("Inode: ")[1:], strict=True):
        found = by_path[name.encode()]
        for letter, value in (
            ("a", found.accessed),
            ("m", found.modified),
            ("c", found.changed),
            ("cr", found.created),
        ):
            text = next(line for line in part.splitlines() if line.strip().startswith(f"{letter}time:"))
            seconds, extra = (int(piece, 16) for piece in text.split()[1].split(":"))
            assert value == seconds * 10**9 + (extra >> 2)
    print(f"{len(names) * 4} times with nanoseconds as debugfs has them")

"""A btrfs as the host's backend gives it: subvolumes as other filesystems, content through its checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import GuestReadError
from guestrepair.formats.btrfs_tree import BtrfsTree
from guestrepair.formats.extents import Layout
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath
from guestrepair.session import hashing
from guestrepair.session.backends import Directory
from guestrepair.session.hashing import Hasher
from guestrepair.session.host.backend import HostBackend
from guestrepair.session.host.disks import HostDisks
from tests.oracle.filesystems.test_btrfs_tree import CONTENTS, nested, packed_files
from tests.support.sparse import write_sparse
from tests.unit.formats.btrfs_images import SIZE, tree_of

DISK = BlockDevice("/dev/sda", DeviceKind.DISK, SIZE, "btrfs", disk="/dev/sda")
TOP = Directory("/")


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[HostDisks]:
    image, _ = nested()
    packed_files(image)
    path = write_sparse(tmp_path / "image.raw", image.finish())
    (tmp_path / "private").mkdir()
    made = HostDisks({"/dev/sda": create_overlay(tmp_path / "private", examine(path))}, lambda: None)
    yield made
    made.close()


@pytest.fixture
def host(disks: HostDisks) -> HostBackend:
    return HostBackend(disks, {"/": DISK})


def below(host: HostBackend, path: str) -> Directory:
    directory = TOP
    for name in path.strip("/").split("/"):
        directory = Directory(directory.inside(name), host.stats(directory, [name])[name])
    return directory


def test_a_subvolume_below_is_another_filesystem(host: HostBackend) -> None:
    directory, a = below(host, "d"), below(host, "d/a")
    stats = [directory.stat, a.stat, host.stats(a, ["b"])["b"]]
    assert [(stat.inode, stat.device) for stat in stats if stat] == [
        (257, -1), (256, -1 - (300 << 32)), (256, -1 - (301 << 32)),
    ]  # fmt: skip
    assert host.names(a) == ("b",)
    b = below(host, "d/a/b")
    assert host.targets(b, ["link", "none"]) == {"link": "target"}
    link = host.stats(b, ["link"])["link"]
    assert link is not None
    assert (link.inode, link.device) == (257, -1 - (301 << 32))
    assert host.xattrs("/d/a/b/link", link) == {}
    assert host.xattrs("/d/a/b/link", Stat(link.mode, inode=257, device=7)) is None


def test_what_others_answer_gets_a_number_only_where_its_filesystem_is_known(host: HostBackend) -> None:
    a = below(host, "d/a")
    assert host.number(TOP, "d") == -1
    assert host.number(below(host, "d"), "a") is None  # its own number, whose tree may not be certain
    assert host.number(below(host, "d/a/b"), "link") == -1 - (301 << 32)
    assert host.number(a, "none") is None
    # A name of a subvolume that hangs elsewhere: the kernel makes a directory up, of a filesystem of its own.
    assert host.stats(TOP, ["copy"]) == {}
    assert host.number(TOP, "copy") is None


def test_a_subvolume_by_its_path_and_one_that_is_not_there(disks: HostDisks) -> None:
    host = HostBackend(disks, {"/": DISK}, {"/": "d/a/b"})
    assert host.names(TOP) == ("link",)
    host.mounted("/srv", DISK, "d/a")
    assert host.names(Directory("/srv", host.top("/srv"))) == ("b",)
    assert HostBackend(disks, {"/": DISK}, {"/": "none"}).top() is None
    assert disks.top_names(DISK) is not None
    assert disks.filesystem(DISK, "d/a/b") is disks.filesystem(DISK, "d/a/b")


def test_subvolumes_share_what_was_read_of_their_filesystem(disks: HostDisks) -> None:
    found = [disks.filesystem(DISK, subvolume) for subvolume in ("", "d/a", "d/a/b")]
    trees = [each.tree for each in found if each is not None]
    assert len({id(tree.roots) for tree in trees if isinstance(tree, BtrfsTree)}) == 1
    assert len(trees) == 3


class Nobody:
    """An appliance that is not there; it remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[GuestPath] = set()

    def hashed(self, _algorithm: str, files: Mapping[GuestPath, Stat]) -> Mapping[GuestPath, str]:
        self.asked |= files.keys()
        return {}

    def layouts(self, files: Mapping[GuestPath, Stat]) -> Iterator[tuple[GuestPath, Layout]]:
        raise GuestReadError("/", "nobody is there")


def stats_of(host: HostBackend) -> dict[GuestPath, Stat]:
    found = host.stats(TOP, list(CONTENTS))
    return {GuestPath("/") / name: stat for name, stat in found.items() if stat is not None}


def test_content_and_digests_are_those_of_what_is_certain(host: HostBackend) -> None:
    nobody, stats = Nobody(), stats_of(host)
    digests = Hasher(nobody, host).digests("sha256", stats)
    for name, expected in CONTENTS.items():
        path = GuestPath("/") / name
        assert host.content(str(path), stats[path], 0, 1 << 20) == expected, name
        assert digests.get(path) == (None if expected is None else hashlib.sha256(expected).hexdigest())
        assert host.located(str(path), stats[path]) is None
    assert nobody.asked == {GuestPath("/") / name for name, data in CONTENTS.items() if data is None}
    whole = stats[GuestPath("/whole")]
    other_size = Stat(whole.mode, size_bytes=3, inode=whole.inode, device=whole.device)
    assert host.content("/whole", other_size, 0, 3) is None


def test_no_more_is_hashed_than_may_be_read(host: HostBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "_READ_COST_BYTES", 0)
    stats = {path: stat for path, stat in stats_of(host).items() if path.name in ("whole", "hole behind")}
    nobody = Nobody()
    hasher = Hasher(nobody, host, left_bytes=sum(stat.size_bytes for stat in stats.values()))
    assert len(hasher.digests("md5", stats)) == 2
    assert (hasher.left_bytes, nobody.asked) == (0, set())
    assert hasher.digests("md5", stats) == {}


def test_a_disk_that_is_read_once_in_vain_is_left_alone(disks: HostDisks, host: HostBackend) -> None:
    (whole,) = [stat for path, stat in stats_of(host).items() if path.name == "whole"]
    read = host.reader("/whole", whole)
    assert read is not None
    assert read(0, 4) == b"some"
    disks.forget()
    assert read(0, 4) is None
    assert tree_of(b"").roots is None

"""What the host reads of a guest's directories is what the appliance's kernel says of them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

import fixtures
from guestrepair.disk import examine
from guestrepair.formats.ext_tree import Tree
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.operations import opening
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.scan import scan
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from guestrepair.session.writer import Writer
from tests.image.test_digests import opened
from tests.support.program import PROGRAM, run

pytestmark = pytest.mark.image
OPTIONS = ImageOptions()


def walked(guest: Guest, fat: Collection[GuestPath] = ()) -> Iterator[tuple[GuestPath, dict[str, object]]]:
    """Every directory with the lstat and the link's target of all that it holds.

    ``fat``: where FAT is mounted, on which the kernel makes inode numbers up, and ctime by its release.
    """
    waiting = [GuestPath("/")]
    while waiting:
        directory = waiting.pop()
        paths = [directory / name for name in guest.listdir(directory)]
        stats, links = guest.lstat_many(paths), guest.readlinks(paths)
        made_up = any(target in (directory, *directory.parents) for target in fat)
        yield (
            directory,
            {path.name: (without_device(stats[path], made_up=made_up), links[path]) for path in paths},
        )
        waiting += [p for p, stat in stats.items() if stat is not None and stat.is_directory]


def without_device(stat: Stat | None, *, made_up: bool = False) -> Stat | None:
    """The host counts filesystems in its own way."""
    if stat is None:
        return None
    return dataclasses.replace(stat, device=0, **({"inode": 0, "ctime": 0} if made_up else {}))


def session_of(image: Path) -> contextlib.AbstractContextManager[Session]:
    return opening.read_only_session((examine(image),), OPTIONS, UserInterface())


def read_before_the_appliance_has_started(session: Session, guest: Guest) -> None:
    assert guest.os.hostname
    assert guest.read(GuestPath("/etc/fstab"))
    assert guest.glob(GuestPath("/var/lib/dpkg/info"), "*.list")
    assert not guest.exists(GuestPath("/usr/bin/no-such-program"))
    assert not session.starting.started
    assert session.calls.count == 0


@pytest.mark.parametrize("name", ["debian-server", "centos7-like", "debian-xfs", "debian-btrfs"])
def test_the_whole_tree_is_the_same_both_ways(name: str) -> None:
    with session_of(fixtures.build(name)) as session:
        guest = session.guest(session.choose_root())
        if name == "debian-server":
            read_before_the_appliance_has_started(session, guest)
        assert session.verified()
        assert session.starting.started
        by_appliance = LiveGuest(
            ApplianceBackend(session.starting, guest.backend.prefix),
            DevicesWritten(session.starting),
            block=guest.block,
        )
        before = session.calls.count
        fat = [GuestPath(mount.target) for mount in guest.mounts if mount.type == "vfat"]
        seen = dict(walked(guest, fat))
        asked = session.calls.count - before
        assert seen == dict(walked(by_appliance, fat))
        assert sum(map(len, seen.values())) > 500
        # Long links and other filesystems are asked for; the other thousands of questions are not.
        assert asked < len(seen) // 4
        info = GuestPath("/usr/share/doc") if name == "debian-server" else GuestPath("/etc")
        assert guest.read_tree(info) == by_appliance.read_tree(info)


def test_what_the_host_wrongly_calls_missing_is_found_by_the_appliance(
    debian_image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host's reader is made blind for one name: the scan then reads everything by the appliance."""
    see = Tree.names

    def blind(tree: Tree, directory: int) -> Mapping[bytes, int] | None:
        names = see(tree, directory)
        return names if names is None else {n: inode for n, inode in names.items() if n != b"sshd"}

    monkeypatch.setattr(Tree, "names", blind)
    with session_of(debian_image) as session:
        guest = session.guest(session.choose_root())
        assert not guest.exists(GuestPath("/usr/sbin/sshd"))
        assert not session.verified()
        again = session.guest(session.choose_root())
        assert again.exists(GuestPath("/usr/sbin/sshd"))
        assert session.verified()
    report = scan(debian_image, OPTIONS, ScanOptions(only=("sshd",)), UserInterface())
    assert (report.findings, report.inconclusive, report.errors) == ([], [], [])


def test_what_is_written_in_the_same_launch_is_seen() -> None:
    directory, link = GuestPath("/etc/new directory"), GuestPath("/etc/new link")
    with opened(fixtures.build("debian-server")) as (session, root, guest):
        assert guest.lstat_many([directory, link]) == {directory: None, link: None}
        with session.writing(root, [directory]) as written:
            writer = Writer(session.handle, written)
            writer.make_directory(directory, mode=0o755, uid=0, gid=0)
            writer.make_link(link, "usr/lib")
            writer.set_mode(GuestPath("/etc"), 0o711)
        again = session.guest(root)
        stats = again.lstat_many([directory, link, GuestPath("/etc")])
        assert [stat.mode & 0o170000 for stat in stats.values() if stat] == [0o040000, 0o120000, 0o040000]
        assert again.readlink(link) == "usr/lib"
        etc = stats[GuestPath("/etc")]
        assert etc is not None
        assert etc.permissions == 0o711


def test_a_session_may_end_while_a_filesystem_is_mounted(debian_image: Path) -> None:
    with session_of(debian_image) as session:
        root = session.choose_root()
        assert session.verified()
        session.mount_table.clear()
        session.guest(root)  # its mounts are made meanwhile


def test_what_the_kernel_does_not_mount_is_not_believed_either(tmp_path: Path) -> None:
    """The host reads a filesystem without its journal's inode; the kernel refuses it, and is right."""
    disk = fixtures.copy_of("debian-server", tmp_path / "disk.raw")
    table = json.loads(subprocess.run(["sfdisk", "--json", disk], capture_output=True, check=True).stdout)
    start = table["partitiontable"]["partitions"][2]["start"] * 512
    subprocess.run(
        ["debugfs", "-w", "-R", "clri <8>", f"{disk}?offset={start}"], check=True, capture_output=True
    )
    done = run("scan", "--format", "json", disk)
    (image,) = json.loads(done.stdout)["images"]
    assert done.returncode == 3
    assert [(f["rule"], f["subject"]) for f in image["findings"]] == [("filesystems/corrupt", "/dev/sda3")]
    assert "no Linux system could be read" in image["errors"][0]["message"]
    assert len(done.stderr.splitlines()) == 1  # libguestfs's own words are not printed beside ours


def test_without_an_appliance_nothing_is_found(tmp_path: Path) -> None:
    """What the host alone has found is not reported: one line says that the appliance does not start."""
    disk = fixtures.copy_of("demo", tmp_path / "disk.qcow2")
    command = [str(PROGRAM), "scan", "--format", "json", str(disk)]
    env = {**os.environ, "LIBGUESTFS_PATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    (image,) = json.loads(done.stdout)["images"]
    assert (done.returncode, image["findings"], image["inconclusive"]) == (3, [], [])
    assert [error["stage"] for error in image["errors"]] == ["launch"]
    assert len(done.stderr.splitlines()) == 1

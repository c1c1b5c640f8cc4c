"""One launch, without a machine: systems, mounts, what is verified, and the phases of writing."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import ApplianceError, GuestReadError, NoSystemError
from guestrepair.guest.devices import Disk
from guestrepair.model import GuestPath as P
from guestrepair.session.session import Session
from guestrepair.session.writer import Writer
from tests.support.sparse import copy_sparse
from tests.unit.session.fake_appliance import FakeAppliance, session_on

MIB = 1 << 20
ROOT_UUID, HOME_UUID = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "ab")
FSTAB = f"UUID={ROOT_UUID} / ext4 defaults 0 1\nUUID={HOME_UUID} /home ext4 defaults 0 2\n"
SDA, SDB = Disk("/dev/sda", "/images/a.raw", 16 * MIB), Disk("/dev/sdb", "/images/b.raw", 16 * MIB)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two whole-disk ext4: a system, and its /home."""
    folder = tmp_path_factory.mktemp("made")
    system, home = folder / "system", folder / "home"
    for path in ("etc", "home", "usr/bin", "srv", "var/lib/dpkg", "boot/efi"):
        (system / path).mkdir(parents=True)
    (system / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')
    (system / "etc/hostname").write_text("here\n")
    (system / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (system / "etc/fstab").write_text(FSTAB)
    (home / "a").mkdir(parents=True)
    (home / "a/letter").write_text("dear b")
    for name, uuid in (("system", ROOT_UUID), ("home", HOME_UUID)):
        options = ["-q", "-t", "ext4", "-U", uuid, "-d", str(folder / name)]
        subprocess.run(["mke2fs", *options, folder / f"{name}.raw", "16M"], check=True)
    return folder


@pytest.fixture
def appliance(made: Path, tmp_path: Path) -> FakeAppliance:
    """Both disks, and copies of their trees that may be written to."""
    trees = {}
    for name, device in (("system", "/dev/sda"), ("home", "/dev/sdb")):
        trees[device] = Path(shutil.copytree(made / name, tmp_path / name, symlinks=True))
    devices = {"/dev/sda": made / "system.raw", "/dev/sdb": made / "home.raw"}
    return FakeAppliance(trees, devices)


@pytest.fixture
def session(appliance: FakeAppliance) -> Iterator[Session]:
    """A session in which the appliance alone reads the disks."""
    with session_on(appliance, [SDA, SDB]) as opened:
        yield opened


@contextlib.contextmanager
def on_host(appliance: FakeAppliance, tmp_path: Path) -> Iterator[Session]:
    """A session in which the host reads the disks, too."""
    overlays = {}
    for name, image in appliance.devices.items():
        folder = tmp_path / f"overlay-{image.name}"
        folder.mkdir(exist_ok=True)
        if not (folder / "overlay.qcow2").exists():
            create_overlay(folder, examine(image))
        overlays[name] = folder / "overlay.qcow2"
    with session_on(appliance, [SDA, SDB], overlays) as opened:
        yield opened


def test_a_system_is_found_and_mounted_as_its_fstab_says(session: Session) -> None:
    root = session.choose_root()
    assert (root.name, root.os.distro, root.os.hostname) == ("/dev/sda", "debian", "here")
    assert session.roots() == [root]
    guest = session.guest(root)
    assert [(mount.source, mount.target) for mount in guest.mounts] == [
        ("/dev/sda", "/"),
        ("/dev/sdb", "/home"),
    ]
    assert guest.unmounted == ()
    assert guest.os == root.os
    assert guest.read(P("/home/a/letter")) == b"dear b"
    assert guest.usage("/home").free_bytes == 50 * 4096
    assert session.verified()


def test_the_host_reads_it_all_and_the_appliance_verifies(appliance: FakeAppliance, tmp_path: Path) -> None:
    with on_host(appliance, tmp_path) as session:
        guest = session.guest(session.choose_root())
        assert guest.read(P("/home/a/letter")) == b"dear b"
        assert not guest.exists(P("/home/a/none"))
        assert guest.digests("md5", [P("/home/a/letter")])
        asked = set(appliance.calls)
        assert asked <= {"mkmountpoint", "mount_options"}
        assert session.verified()
        assert appliance.calls["glob_expand"] > 0  # what the host calls missing is looked for
        assert set(appliance.mounted) == {"/m0", "/m1", "/m0/home"}
        assert guest.read_device("/dev/sda", 1024 + 56, 2) == b"\x53\xef"
        assert appliance.calls["pread_device"] == 0


def test_what_the_host_wrongly_calls_missing_makes_the_appliance_read_all(
    appliance: FakeAppliance, tmp_path: Path
) -> None:
    (appliance.trees["/dev/sdb"] / "a/hidden").write_text("seen by the kernel")
    with on_host(appliance, tmp_path) as session:
        guest = session.guest(session.choose_root())
        assert not guest.exists(P("/home/a/hidden"))
        assert not session.verified()
        assert appliance.mounted == {}
        again = session.guest(session.choose_root())
        assert again.read(P("/home/a/hidden")) == b"seen by the kernel"
        assert session.verified()


def test_a_mount_that_fails_contradicts_what_the_host_has_read(
    appliance: FakeAppliance, tmp_path: Path
) -> None:
    appliance.broken["/dev/sda"] = "wrong fs type, bad superblock"
    with on_host(appliance, tmp_path) as session:
        assert session.choose_root().os.hostname == "here"
        assert not session.verified()
        with pytest.raises(NoSystemError, match="wrong fs type, bad superblock"):
            session.choose_root()
        assert session.verified()
        guest = session.without_system()
        assert [device for device, _ in guest.unmounted] == ["/dev/sda"]
        assert not guest.exists(P("/etc"))
        assert guest.peek("/dev/sdb") == ("a",)


def test_an_appliance_that_cannot_look_verifies_nothing(appliance: FakeAppliance, tmp_path: Path) -> None:
    with on_host(appliance, tmp_path) as session:
        guest = session.guest(session.choose_root())
        assert not guest.exists(P("/srv/none"))
        appliance.broken["/m0/srv"] = "Input/output error"
        assert not session.verified()


def test_a_mount_point_that_is_not_there_is_said(appliance: FakeAppliance) -> None:
    (appliance.trees["/dev/sda"] / "home").rmdir()
    with session_on(appliance, [SDA, SDB]) as session:
        guest = session.guest(session.choose_root())
        assert guest.unmounted == (("/home", "the mount point is not there"),)


def test_another_text_of_fstab_mounts_more(appliance: FakeAppliance) -> None:
    fstab = appliance.trees["/dev/sda"] / "etc/fstab"
    fstab.write_text(FSTAB.replace(HOME_UUID, "of-another"))
    with session_on(appliance, [SDA, SDB]) as session:
        root = session.choose_root()
        guest = session.guest(root)
        assert guest.unmounted == (("/home", "UUID=of-another is on none of the disks"),)
        more = session.mount_more(root, guest, FSTAB.encode())
        assert [mount.target for mount in more.mounts] == ["/", "/home"]
        assert more.unmounted == ()
        assert more.exists(P("/home/a/letter"))
        assert [mount.target for mount in session.guest(root).mounts] == ["/", "/home"]


def test_why_there_is_no_system_is_said(made: Path, appliance: FakeAppliance) -> None:
    with session_on(appliance, [SDB]) as session:
        assert session.roots() == []
        with pytest.raises(NoSystemError, match="no Linux system on the disk: /dev/sdb ext4"):
            session.choose_root()


def test_only_what_holds_a_path_is_mounted_read_write(session: Session, appliance: FakeAppliance) -> None:
    root = session.choose_root()
    with session.writing(root, [P("/home/a/new")]) as guest:
        assert appliance.mounted == {"/": ("/dev/sda", "ro"), "/home": ("/dev/sdb", "rw")}
        Writer(session.handle, guest).create_file(P("/home/a/new"), b"new", mode=0o600, uid=5, gid=6)
        with pytest.raises(GuestReadError, match="Read-only file system"):
            Writer(session.handle, guest).create_file(P("/etc/new"), b"", mode=0o600, uid=0, gid=0)
        assert guest.os == root.os
        assert guest.read_device("/dev/sda", 1024 + 56, 2) == b"\x53\xef"
    assert appliance.mounted == {}
    fresh = session.guest(root)
    found = fresh.lstat(P("/home/a/new"))
    assert found is not None
    assert (found.permissions, found.uid, found.gid) == (0o600, 5, 6)


def test_everything_is_read_write_for_programs_of_the_guest(
    session: Session, appliance: FakeAppliance
) -> None:
    with session.writing(session.choose_root(), [], everywhere=True):
        assert {options for _, options in appliance.mounted.values()} == {"rw"}


def test_a_filesystem_that_is_to_be_written_and_does_not_mount_stops_it(
    session: Session, appliance: FakeAppliance
) -> None:
    root = session.choose_root()
    session.guest(root)
    appliance.broken["mount_options /dev/sdb"] = "refused"
    session.reread()
    with pytest.raises(GuestReadError, match="refused"), session.writing(root, [P("/home/a/new")]):
        pass
    with session.writing(root, [P("/etc/new")]):
        assert set(appliance.mounted) == {"/"}  # nothing is to be written to what does not mount


def test_an_fstab_that_was_written_counts_from_then_on(session: Session) -> None:
    root = session.choose_root()
    assert len(session.guest(root).mounts) == 2
    with session.writing(root, [P("/etc/fstab")]) as guest:
        Writer(session.handle, guest).replace_content(P("/etc/fstab"), b"# nothing\n")
    assert [mount.target for mount in session.guest(root).mounts] == ["/"]


def test_disks_are_written_to_with_nothing_mounted_and_read_again(
    session: Session, appliance: FakeAppliance, tmp_path: Path
) -> None:
    appliance.devices["/dev/sdb"] = copy_sparse(appliance.devices["/dev/sdb"], tmp_path / "copy.raw")
    session.guest(session.choose_root())
    bare = session.disks_alone()
    assert appliance.mounted == {}
    Writer(session.handle, bare).write_device("/dev/sdb", 1024, bytes(1024))
    assert bare.read_device("/dev/sdb", 1024, 4) == bytes(4)
    session.reread(tables=True)
    assert appliance.calls["blockdev_rereadpt"] == 2
    backup = {device.name: device.ext.backup_superblock for device in session.block().devices if device.ext}
    assert backup == {"/dev/sda": 0, "/dev/sdb": 8193}
    session.guest(session.choose_root())
    assert appliance.mounted["/m0/home"] == ("/dev/sdb", "ro")


def test_at_the_end_the_appliance_is_gone_and_the_disks_are_described(
    appliance: FakeAppliance, tmp_path: Path
) -> None:
    with on_host(appliance, tmp_path) as session:
        before = session.block()
        session.guest(session.choose_root())
        assert session.finish() == before
        assert appliance.ended
        assert appliance.mounted == {}


def test_last_writes_that_fail_are_said(session: Session, appliance: FakeAppliance) -> None:
    appliance.broken["shutdown"] = "Input/output error"
    with pytest.raises(ApplianceError, match="last writes"):
        session.finish()


def test_devices_that_are_none_are_refused(session: Session) -> None:
    guest = session.without_system()
    for name in ("/dev/sdz", "/dev/null"):
        with pytest.raises(GuestReadError, match="no filesystem of this guest"):
            guest.peek(name)
        with pytest.raises(GuestReadError, match="no device of this guest"):
            guest.check_filesystem(name)

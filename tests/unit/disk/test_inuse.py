"""What uses a disk on this host: as the kernel's tables say, and loop devices by the file behind them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.hostile.headers import vmdk_descriptor
from guestrepair.disk import check_writable, examine, inuse
from guestrepair.disk.inuse import Tables, block_device_users, claimed, loop_users, refuse_in_use, users_of
from guestrepair.errors import ImageAccessError, ImageInUseError


@contextmanager
def attached(file: Path) -> Iterator[str]:
    """The file on a loop device, while the block runs."""
    done = subprocess.run(["losetup", "--find", "--show", file], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no loop device can be attached here")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def _hard_link(disk: Path, other: Path) -> None:
    os.link(disk, other)


def _symbolic_link(disk: Path, other: Path) -> None:
    other.symlink_to(disk)


@pytest.mark.parametrize("another_name", [_hard_link, _symbolic_link])
def test_a_file_attached_by_another_name_is_in_use(
    another_name: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    disk, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    disk.write_bytes(bytes(1 << 20))
    another_name(disk, other)
    with attached(other) as device:
        assert loop_users(disk) == [f"attached to {device}"]
        with pytest.raises(ImageInUseError, match=device):
            check_writable(examine(disk))
        assert any(device in warning for warning in examine(disk).warnings)
    assert loop_users(disk) == []


def test_a_file_whose_attached_name_is_gone_is_in_use(tmp_path: Path) -> None:
    disk, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    disk.write_bytes(bytes(1 << 20))
    os.link(disk, other)
    with attached(other) as device:
        other.unlink()
        assert loop_users(disk) == [f"attached to {device}"]
        other.write_bytes(bytes(1 << 20))
        assert loop_users(disk) == [f"attached to {device}"]


def test_another_file_is_not_in_use(tmp_path: Path) -> None:
    disk, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    disk.write_bytes(bytes(1 << 20))
    other.write_bytes(bytes(1 << 20))
    with attached(other):
        assert loop_users(disk) == []


def test_an_extent_that_is_attached_is_in_use(tmp_path: Path) -> None:
    """Not the descriptor is what a loop device would show, but the file that it names."""
    flat, disk = tmp_path / "disk-flat.vmdk", tmp_path / "disk.vmdk"
    flat.write_bytes(bytes(1 << 20))
    disk.write_bytes(vmdk_descriptor('RW 2048 FLAT "disk-flat.vmdk" 0'))
    with attached(flat) as device, pytest.raises(ImageInUseError, match=device):
        check_writable(examine(disk))


# --- the kernel's tables ---------------------------------------------------------------------------

DISK, PARTITION, OTHER = os.makedev(254, 0), os.makedev(254, 1), os.makedev(8, 0)
NUMBERS = {"/dev/vda": DISK, "/dev/vda1": PARTITION, "/dev/vda 1": PARTITION, "/dev/sda": OTHER}


class Host:
    """A host whose /proc and /sys are directories: a disk vda with one partition, and sda."""

    def __init__(self, home: Path) -> None:
        self.tables = Tables(home / "proc", home / "sys", home / "dev", lambda name: NUMBERS.get(str(name)))
        self.block = home / "sys/dev/block"
        self.partition = self.block / "254:0/vda1"
        for made in (home / "proc/self", self.partition, self.block / "254:1", self.block / "8:0"):
            made.mkdir(parents=True)
        (self.partition / "partition").write_text("1\n")
        (self.partition / "dev").write_text("254:1\n")
        self.mounted()

    def mounted(self, *lines: bytes) -> None:
        """As /proc/self/mountinfo says it, behind a line that is always there."""
        always = b"22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw"
        (self.tables.proc / "self/mountinfo").write_bytes(b"".join(li + b"\n" for li in (always, *lines)))

    def swaps(self, *names: bytes) -> None:
        """As /proc/swaps says it."""
        lines = [b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"]
        lines += [name + b"                               partition\t1048572\t\t0\t\t-2" for name in names]
        (self.tables.proc / "swaps").write_bytes(b"\n".join(lines) + b"\n")

    def held(self, device: str, *holders: str) -> None:
        """As /sys/dev/block/MAJOR:MINOR/holders says it."""
        for holder in holders:
            (self.block / device / "holders" / holder).mkdir(parents=True)

    def users(self) -> list[str]:
        """Of the disk."""
        return users_of(DISK, "vda", self.tables)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_disk_that_nothing_uses_has_no_users(host: Host) -> None:
    host.mounted(b"30 1 8:0 / /data rw - ext4 /dev/sda rw")
    host.swaps(b"/dev/sda", b"/swapfile")
    host.held("8:0", "dm-0")
    assert host.users() == []


@pytest.mark.parametrize(
    ("line", "users"),
    [
        (b"30 1 254:0 / /mnt rw - ext4 /dev/vda rw", ["vda is mounted on /mnt"]),
        (b"30 1 254:1 / / rw shared:1 master:2 - ext4 /dev/vda1 rw", ["vda1 is mounted on /"]),
        (b"30 1 0:44 /@ /srv rw - btrfs /dev/vda1 rw,subvol=/@", ["vda1 is mounted on /srv"]),
        (
            b"30 1 254:1 / /with\\040blank\\011tab rw - ext4 /dev/x rw",
            ["vda1 is mounted on /with blank\ttab"],
        ),
        (b"30 1 0:44 / /odd rw - btrfs /dev/vda\\0401 rw", ["vda1 is mounted on /odd"]),
        (b"30 1 254:1 / /no\\134tab rw - ext4 x rw", ["vda1 is mounted on /no\\tab"]),
        (b"30 1 254:1 / /\xff rw - ext4 x rw", ["vda1 is mounted on /\udcff"]),
        (b"30 1 0:44 / /tmp rw - tmpfs  rw", []),
        (b"30 1 0:44 / /net rw - nfs vda1:/x rw", []),
    ],
    ids=["disk", "partition", "btrfs", "blanks", "blank in source", "backslash", "bytes", "no source", "net"],
)
def test_mounts_are_told_by_number_and_for_btrfs_by_source(host: Host, line: bytes, users: list[str]) -> None:
    host.mounted(line)
    assert host.users() == users


@pytest.mark.parametrize("odd", [b"\r", b"\v", b"\f", b"\r\x1c\x85", "\u2028".encode()])
def test_what_somebody_calls_a_directory_hides_no_mount(host: Host, odd: bytes) -> None:
    """The kernel escapes blanks, line feeds and backslashes in the names of mountinfo, and nothing else."""
    name = b"/home/eve/a" + odd + b"-" + odd + b"x"
    host.mounted(
        b"30 1 0:50 / " + name + b" rw - fuse.sshfs eve" + odd + b"host: rw",
        b"31 1 0:44 / " + name + b"/b rw - btrfs /dev/vda1 rw",
        b"32 1 254:0 / /mnt rw - ext4 /dev/vda rw",
    )
    assert host.users() == [f"vda1 is mounted on {os.fsdecode(name)}/b", "vda is mounted on /mnt"]


def test_swap_space_and_holders_are_users(host: Host) -> None:
    host.swaps(b"/dev/sda", b"/dev/vda\\0401")
    host.held("254:0", "md127", "dm-3")
    host.held("254:1", "dm-0")
    assert host.users() == [
        "vda1 is swap space",
        "vda is held by dm-3",
        "vda is held by md127",
        "vda1 is held by dm-0",
    ]


def test_a_use_is_said_once_however_often_it_is_listed(host: Host) -> None:
    host.mounted(*[b"30 1 254:1 / /mnt rw - ext4 /dev/vda1 rw"] * 2)
    assert host.users() == ["vda1 is mounted on /mnt"]


def test_a_partition_that_goes_away_meanwhile_is_no_user(host: Host) -> None:
    (host.partition / "dev").unlink()
    host.mounted(b"30 1 254:0 / /mnt rw - ext4 /dev/vda rw")
    assert host.users() == ["vda is mounted on /mnt"]


def test_a_host_that_does_not_tell_its_mounts_is_not_called_free(host: Host) -> None:
    (host.tables.proc / "self/mountinfo").unlink()
    with pytest.raises(ImageAccessError, match="whether the disk is mounted is not known") as error:
        host.users()
    assert "mount -t proc" in error.value.hint


def test_a_loop_device_that_cannot_be_opened_is_known_by_its_files_name(host: Host, tmp_path: Path) -> None:
    """As in a container, whose /dev has none of the host's loop devices."""
    disk, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    for number, (name, file) in enumerate({"loop0": disk, "loop1": other, "loop2": disk}.items()):
        file.write_bytes(b"x")
        backing = host.tables.sys / "block" / name / "loop/backing_file"
        backing.parent.mkdir(parents=True)
        backing.write_bytes(os.fsencode(file) + (b" (deleted)\n" if number == 2 else b"\n"))
    assert loop_users(disk, host.tables) == ["attached to /dev/loop0"]


# --- real devices of this host ---------------------------------------------------------------------


def test_a_block_device_of_this_host_is_free_until_it_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inuse, "CLAIM_PATIENCE_SECONDS", 0.0)
    (tmp_path / "disk.raw").write_bytes(bytes(1 << 20))
    with attached(tmp_path / "disk.raw") as name:
        device = Path(name)
        assert block_device_users(device) == []
        refuse_in_use(device, is_block_device=True)
        with claimed(device):
            with pytest.raises(ImageInUseError, match="opened exclusively") as error:
                refuse_in_use(device, is_block_device=True)
            assert "lsblk" in error.value.hint
        refuse_in_use(device, is_block_device=True)


def test_what_may_not_be_written_to_is_not_claimed_and_that_is_told_elsewhere(tmp_path: Path) -> None:
    with claimed(tmp_path / "gone"):
        pass

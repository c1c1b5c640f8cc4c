"""Who on this host uses a disk: mounts, swap, volume managers, loop devices.

Sources: proc(5) (/proc/self/mountinfo, /proc/swaps), sysfs
(/sys/dev/block/MAJOR:MINOR: partitions, holders/), open(2) on O_EXCL and block
devices, loop(4). What running qemus hold is asked of qemu-img (qemu's own locks).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guestrepair.errors import ImageAccessError, ImageInUseError

_LOOP_GET_STATUS64 = 0x4C05
_LOOP_INFO_BYTES = 232
"""struct loop_info64 (linux/loop.h); it begins with the file's device and inode numbers."""
_OCTAL = re.compile(rb"\\([0-7]{3})")
_BLANKS = re.compile(rb"[ \t]")
CLAIM_PATIENCE_SECONDS = 1.0
"""udev looks at a device that was just written to, and a killed process's child lets go in a moment."""


def block_device_number(name: Path) -> int | None:
    """The number (st_rdev) of the block device of that name; None when there is none."""
    try:
        status = name.stat()
    except OSError:
        return None
    return status.st_rdev if stat.S_ISBLK(status.st_mode) else None


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the kernel tells who uses what: proc(5) and sysfs, and the devices that they name."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    dev: Path = Path("/dev")
    number_of: Callable[[Path], int | None] = block_device_number

    def device(self, number: int) -> Path:
        """The directory of sysfs that is a block device."""
        return self.sys / "dev/block" / f"{os.major(number)}:{os.minor(number)}"


THIS_HOST = Tables()


def block_device_users(path: Path) -> list[str]:
    """What uses a block device or a partition of it, one phrase each; empty when nothing does.

    Raises:
        ImageAccessError: this host does not tell what is mounted.
    """
    return users_of(path.stat().st_rdev, path.name)


def users_of(number: int, name: str, tables: Tables = THIS_HOST) -> list[str]:
    """What uses the block device of that number (st_rdev), or a partition of it, one phrase each.

    Raises:
        ImageAccessError: the host does not tell what is mounted.
    """
    devices = {number: name, **dict(_partitions(number, tables))}
    found = [f"{devices[d]} is mounted on {target}" for d, target in _mounts(tables) if d in devices]
    found += [f"{devices[d]} is swap space" for d in _swaps(tables) if d in devices]
    for device, called in devices.items():
        found += [f"{called} is held by {holder}" for holder in _holders(device, tables)]
    return list(dict.fromkeys(found))


def loop_users(path: Path, tables: Tables = THIS_HOST) -> list[str]:
    """Loop devices that a regular file is attached to, one phrase each, whatever name it was attached by."""
    status = path.stat()
    wanted = (status.st_dev, status.st_ino)
    return [
        f"attached to /dev/{entry.parent.parent.name}"
        for entry in sorted((tables.sys / "block").glob("loop*/loop/backing_file"))
        if wanted in _backing_inodes(entry, tables)
    ]


def _backing_inodes(entry: Path, tables: Tables) -> set[tuple[int, int]]:
    """Device and inode number of the file behind a loop device: as the device tells, and by the file's name.

    The device may not be there (a container) or not be ours to open; the name may be gone.
    """
    found = set()
    with contextlib.suppress(OSError):
        found.add(_told_by(tables.dev / entry.parent.parent.name))
    with contextlib.suppress(OSError):
        status = Path(os.fsdecode(entry.read_bytes().rstrip(b"\n"))).stat()
        found.add((status.st_dev, status.st_ino))
    return found


def _told_by(device: Path) -> tuple[int, int]:
    """Device and inode number of the file behind a loop device.

    Raises:
        OSError: it cannot be opened, or has no file.
    """
    fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        answer = fcntl.ioctl(fd, _LOOP_GET_STATUS64, bytes(_LOOP_INFO_BYTES))
    finally:
        os.close(fd)
    device_number, inode = struct.unpack_from("=QQ", answer)
    return device_number, inode


def refuse_in_use(path: Path, *, is_block_device: bool) -> None:
    """True afterwards: nothing on this host mounts, holds or has opened the disk exclusively.

    Raises:
        ImageInUseError: something does.
    """
    refuse_users(path, is_block_device=is_block_device)
    if is_block_device:
        with claimed(path):
            pass


def refuse_users(path: Path, *, is_block_device: bool) -> None:
    """True afterwards: nothing on this host mounts or holds the disk.

    Raises:
        ImageInUseError: something does.
    """
    users = block_device_users(path) if is_block_device else loop_users(path)
    if users:
        raise ImageInUseError(f"{path}: {users[0]}", hint="unmount it, or detach what holds it, first")


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """While the block runs, nothing else can mount or hold a block device, its whole disk or its partitions.

    That is what O_EXCL means for a block device (open(2); bd_may_claim in the kernel's block/bdev.c):
    it keeps away others that claim it, which mounts, swap, volume managers and other repairs do, and
    lets in those who only open it, as qemu does.

    Raises:
        ImageInUseError: something has claimed it already.
    """
    fd = _claim(path, time.monotonic() + CLAIM_PATIENCE_SECONDS)
    try:
        yield
    finally:
        if fd >= 0:
            os.close(fd)


def _claim(path: Path, deadline: float) -> int:
    """The claim as a file descriptor; -1 where the right to write is missing, which is told elsewhere."""
    while True:
        try:
            return os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.EBUSY:
                return -1
            if time.monotonic() > deadline:
                raise ImageInUseError(
                    f"{path}: opened exclusively by something on this host",
                    hint="another repair of it, or see lsblk, mount, dmsetup ls and cat /proc/mdstat",
                ) from error
        time.sleep(0.05)


def _partitions(number: int, tables: Tables) -> Iterator[tuple[int, str]]:
    for entry in sorted(tables.device(number).glob("*/partition")):
        try:
            major, _, minor = (entry.parent / "dev").read_text().strip().partition(":")
        except OSError:
            continue  # the partition went away meanwhile
        yield os.makedev(int(major), int(minor)), entry.parent.name


def _holders(number: int, tables: Tables) -> list[str]:
    """Volumes and arrays that a device is a part of; none where it went away meanwhile."""
    try:
        return sorted(holder.name for holder in (tables.device(number) / "holders").iterdir())
    except OSError:
        return []


def _mounts(tables: Tables) -> Iterator[tuple[int, str]]:
    """Device number and target of each mount; for btrfs, whose number is anonymous, that of its source."""
    told = tables.proc / "self/mountinfo"
    try:
        lines = _lines(told)
    except OSError as error:
        raise ImageAccessError(
            f"{told}: {error.strerror}, so whether the disk is mounted is not known",
            hint="mount /proc: mount -t proc proc /proc",
        ) from error
    for line in lines:
        fields = line.split(b" ")
        major, _, minor = fields[2].partition(b":")
        target = _unescape(fields[4])
        yield os.makedev(int(major), int(minor)), target
        number = _named(_unescape(fields[fields.index(b"-") + 2]), tables)
        if number is not None:
            yield number, target


def _swaps(tables: Tables) -> Iterator[int]:
    try:
        lines = _lines(tables.proc / "swaps")[1:]
    except OSError:
        return  # a kernel without swap
    for line in lines:
        number = _named(_unescape(_BLANKS.split(line, maxsplit=1)[0]), tables)
        if number is not None:
            yield number


def _named(source: str, tables: Tables) -> int | None:
    """The number of the device that a mount or swap space names; None when that is no device."""
    return tables.number_of(Path(source)) if source.startswith("/") else None


def _lines(table: Path) -> list[bytes]:
    """Its lines, which a line feed ends and nothing else: in a name the kernel escapes only blanks and that.

    Raises:
        OSError: it cannot be read.
    """
    return table.read_bytes().removesuffix(b"\n").split(b"\n")


def _unescape(field: bytes) -> str:
    return os.fsdecode(_OCTAL.sub(lambda m: bytes([int(m[1], 8)]), field))

"""Is this the file or device that a record speaks of? Asked of the host, before any content is read.

A regular file is known by device, inode number and, where the filesystem has one, the inode's
generation (FS_IOC_GETVERSION, ioctl_iflags(2)): the number alone is given to the next file as soon as
one is deleted. A device number says nothing about which disk is behind it today; what is known of a
block device is its serial number, where it has one (sysfs).
"""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from guestrepair.disk.image import Layer
from guestrepair.disk.inuse import THIS_HOST, Tables
from guestrepair.disk.manifest import Manifest, as_text

_FS_IOC_GETVERSION = 0x80087601
"""_IOR('v', 1, long) of linux/fs.h, for the 64-bit ABIs."""

_SERIALS = ("serial", "device/serial", "wwid", "device/wwid", "dm/uuid")
MAX_SERIAL = 256


class FileMarks(TypedDict):
    """What a manifest keeps of the file or device that an image is."""

    inode: tuple[int, int]
    generation: int
    serial: str


@dataclass(frozen=True, slots=True)
class Relation:
    """How an image and a record go together, as far as names tell.

    ``same_file`` is None where that cannot be known. ``vacant``: what the record speaks of no longer lies
    where it was, so it may have moved.
    """

    same_path: bool
    same_file: bool | None
    vacant: bool

    @property
    def near(self) -> bool:
        """True when the name or the file is the record's, so that the record must be looked at."""
        return self.same_file is True or self.same_path


def file_marks(layer: Layer) -> FileMarks:
    """What tells a file or device from others: device and inode number, generation, serial number."""
    return _marks(layer.path)


def _marks(path: Path) -> FileMarks:
    status = path.stat()
    if stat.S_ISBLK(status.st_mode):
        return {"inode": (0, status.st_rdev), "generation": 0, "serial": serial_number(status.st_rdev)}
    return {"inode": (status.st_dev, status.st_ino), "generation": _generation(path), "serial": ""}


def _generation(path: Path) -> int:
    """The inode's generation; 0 where the filesystem has none to tell."""
    answer = bytearray(8)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        fcntl.ioctl(fd, _FS_IOC_GETVERSION, answer)
    except OSError:
        return 0
    finally:
        os.close(fd)
    return int.from_bytes(answer[:4], "little")


def serial_number(device: int, tables: Tables = THIS_HOST) -> str:
    """The serial number of a block device (st_rdev), with the partition's number; empty when it has none."""
    home = Path(os.path.realpath(tables.device(device)))
    number = _text(home / "partition")
    whole = home.parent if number else home
    serial = next(filter(None, (_text(whole / name) for name in _SERIALS)), "")
    return f"{serial}:{number}" if serial and number else serial


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "backslashreplace").strip("\0 \t\n")[:MAX_SERIAL]
    except OSError:
        return ""


def relate(manifest: Manifest, layer: Layer) -> Relation:
    """How an image's own layer and a record go together."""
    same_path = manifest.path == as_text(layer.path)
    same_file = _same(manifest, _marks(layer.path), is_device=layer.is_block_device)
    if layer.is_block_device:
        # Another serial number: another disk has this name today.
        same_path = same_path and same_file is not False
    return Relation(same_path, same_file, _is_vacant(manifest))


def _same(manifest: Manifest, now: FileMarks, *, is_device: bool) -> bool | None:
    if is_device:
        known = manifest.serial and now["serial"]
        return manifest.serial == now["serial"] if known else None
    if manifest.generation and now["generation"]:
        # Device numbers may be others after a start of this host; number and generation together say it.
        return (manifest.inode[1], manifest.generation) == (now["inode"][1], now["generation"])
    return manifest.inode == now["inode"]


def _is_vacant(manifest: Manifest) -> bool:
    """True when the recorded path leads to nothing, or to another file than the recorded one."""
    place = Path(manifest.path)
    try:
        if stat.S_ISBLK(place.stat().st_mode):
            return False
        return not _same(manifest, _marks(place), is_device=False)
    except (OSError, ValueError):
        return True

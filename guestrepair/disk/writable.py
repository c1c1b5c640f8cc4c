"""May this image be written to? Asked before anything is opened for writing."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from guestrepair.disk import qemu
from guestrepair.disk.image import Image
from guestrepair.disk.inuse import refuse_in_use
from guestrepair.errors import ImageAccessError, ImageError


def check_writable(image: Image) -> None:
    """True afterwards: the format can be written, we may, it is undamaged, and nothing on this host uses it.

    Raises:
        ImageAccessError: no permission, or a read-only medium.
        ImageInUseError: mounted, held, attached, or opened exclusively.
        ImageError: a format that cannot be written, or a damaged container.
    """
    top = image.top
    if top.read_only:
        raise ImageError(
            f"{image.path}: {top.read_only}",
            hint="convert it to qcow2 (qemu-img convert -O qcow2) and repair that",
        )
    for file in top.files:
        refuse_in_use(file, is_block_device=file.is_block_device())
        _check_permission(image, str(file))
    if not top.is_block_device and top.format == "raw" and image.top.path.stat().st_size % 512:
        raise ImageError(
            f"{image.path}: its size is no multiple of 512 bytes: a truncated copy?",
            hint="copy it again; if it is whole, extend it with truncate -s %512",
        )
    _check_container(image)


def _check_permission(image: Image, file: str) -> None:
    try:
        fd = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        what = "no permission to write" if error.errno in (errno.EACCES, errno.EPERM) else error.strerror
        raise ImageAccessError(
            f"{image.path}: {what}", hint="run as its owner or as root, on a writable medium"
        ) from error
    try:
        if stat.S_ISBLK(os.fstat(fd).st_mode) and _is_read_only_device(fd):
            raise ImageAccessError(
                f"{image.path}: a read-only device", hint="make it writable: blockdev --setrw"
            )
    finally:
        os.close(fd)


def _is_read_only_device(fd: int) -> bool:
    number = os.fstat(fd).st_rdev
    try:
        flag = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/ro").read_text(encoding="ascii")
    except OSError:
        return False
    return flag.strip() == "1"


def _check_container(image: Image) -> None:
    counts = qemu.check(image.top) or {}
    damage = [k for k in ("corruptions", "check-errors") if counts.get(k)]
    if damage:
        found = ", ".join(f"{counts[k]} {k}" for k in damage)
        raise ImageError(
            f"{image.path}: the container itself is damaged ({found})",
            hint="repair the container of a copy first: qemu-img check -r all",
        )

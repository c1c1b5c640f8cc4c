"""May this image be written to? Asked before anything is opened for writing."""

from __future__ import annotations

import errno
import os
import stat

from guestrepair.disk import qemu
from guestrepair.disk.chain import ALLOW
from guestrepair.disk.headers import qcow2
from guestrepair.disk.headers.common import shown
from guestrepair.disk.image import Format, Image, Layer
from guestrepair.disk.inuse import THIS_HOST, refuse_in_use
from guestrepair.disk.source import access_error, opened
from guestrepair.errors import ImageAccessError, ImageError, UnsafeImageError


def check_writable(image: Image) -> None:
    """True afterwards: the format can be written, we may, it is undamaged, and nothing on this host uses it.

    Raises:
        ImageAccessError: no permission, or a read-only medium.
        ImageInUseError: mounted, held, attached, or opened exclusively.
        ImageError: a format that cannot be written, or a damaged container.
    """
    check_permitted(image)
    refuse_in_use(image.top.path, is_block_device=image.top.is_block_device)
    check_container(image)


def check_permitted(image: Image) -> None:
    """True afterwards: the format can be written, and we may.

    A qcow2 that was not closed cleanly passes: whether that is a repair of ours is not known here.

    Raises:
        ImageAccessError: no permission, or a read-only medium.
        ImageError: a format that cannot be written, or a truncated image.
        UnsafeImageError: it keeps its data in a file that may be another image.
    """
    top = image.top
    if top.read_only and not _is_dirty(top):
        raise ImageError(
            f"{image.path}: {top.read_only}",
            hint="convert it to qcow2 (qemu-img convert -O qcow2) and repair that",
        )
    if top.doubtful:
        raise UnsafeImageError(
            f"{image.path}: its data lie in '{shown(top.doubtful[0].name)}', whose name is not the image's "
            "own: it may be another disk, and is not written",
            hint=ALLOW,
        )
    for file in top.files:
        refuse_in_use(file, is_block_device=file.is_block_device())
        _check_permission(image, str(file))
    if not top.is_block_device and top.format == "raw" and top.path.stat().st_size % 512:
        raise ImageError(
            f"{image.path}: its size is no multiple of 512 bytes: a truncated copy?",
            hint="copy it again; if it is whole, extend it with truncate -s %512",
        )


def _is_dirty(layer: Layer) -> bool:
    """True for a qcow2 with lazy refcounts whose writer was killed; asked of the file as it is now."""
    if layer.format is not Format.QCOW2:
        return False
    with opened(layer.path) as (source, _status):
        incompatible = qcow2.parse(source).incompatible
    return incompatible & (qcow2.INCOMPATIBLE_DIRTY | qcow2.INCOMPATIBLE_CORRUPT) == qcow2.INCOMPATIBLE_DIRTY


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
    try:
        flag = (THIS_HOST.device(os.fstat(fd).st_rdev) / "ro").read_text(encoding="ascii")
    except OSError:
        return False
    return flag.strip() == "1"


def check_present(image: Image) -> None:
    """True afterwards: what was read of a device was there; qemu reads as zeros what has gone away meanwhile.

    Raises:
        ImageAccessError: it has gone away, or is another.
    """
    if not image.is_block_device or image.format is not Format.RAW:
        return
    try:
        with image.top.path.open("rb") as device:
            size = device.seek(0, os.SEEK_END)
    except OSError as error:
        raise access_error(image.top.path, error) from error
    if size != image.virtual_size_bytes:
        raise ImageAccessError(
            f"{image.path}: the device has gone away: {size} of {image.virtual_size_bytes} bytes are there",
            hint="see the host's log; attach it again and run the same command",
        )


def check_container(image: Image) -> None:
    """True afterwards: the image file's own tables are in order.

    Raises:
        ImageError: they are damaged, or were not written out by a writer that was killed.
    """
    if _is_dirty(image.top):
        raise ImageError(
            f"{image.path}: was not closed cleanly, so its reference counts are not right",
            hint=f"when nothing uses it: qemu-img check -r all {image.path}",
        )
    counts = qemu.check(image.top) or {}
    damage = [k for k in ("corruptions", "check-errors") if counts.get(k)]
    if damage:
        found = ", ".join(f"{counts[k]} {k}" for k in damage)
        raise ImageError(
            f"{image.path}: the container itself is damaged ({found})",
            hint="repair the container of a copy first: qemu-img check -r all",
        )

"""The one door: what is this file, and may it be opened?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from guestrepair.disk.attach.attachment import Attached
from guestrepair.disk.attach.location import ImageName
from guestrepair.disk.chain import read_attached, read_chain
from guestrepair.disk.headers.common import MAX_VIRTUAL_SIZE, SECTOR
from guestrepair.disk.image import Format, Image, JsonObject, Layer
from guestrepair.disk.inuse import block_device_users, loop_users
from guestrepair.disk.qemu import information
from guestrepair.errors import BudgetError, ImageError, UnsafeImageError, UsageError
from guestrepair.fence import EXAMINE, within


def examine(
    path: Path | Attached, *, input_format: str | None = None, allow_backing: Sequence[Path] = ()
) -> Image:
    """The image at ``path``, or what was attached, after every file that it leads to was looked at.

    Takes milliseconds and launches nothing.

    Without ``input_format`` a block device is raw whatever its first sector says
    (the guest wrote it), and a regular file is what its own header and name say.
    True afterwards: qemu opens every layer, nobody writes to one, no reference
    leads out of the image's directory or of ``allow_backing``.

    Raises:
        ImageAccessError: not there, not readable.
        ImageInUseError: a running machine or another program holds it.
        UnsafeImageError: it leads to other files, or its header is absurd or truncated.
        ImageError: no disk image, damaged, or of a format that is not opened here.
        UsageError: ``input_format`` is not a format.
    """
    declared = _declared(input_format)
    try:
        if isinstance(path, Attached):
            return within(EXAMINE, lambda: _examined_attached(path, declared))
        return within(EXAMINE, lambda: _examined(path, declared, allow_backing))
    except BudgetError as error:
        raise UnsafeImageError(
            f"{path.name if isinstance(path, Attached) else path}: looking at its headers was {error.reason}",
            hint="they are damaged, or made to hurt: run qemu-img check on a copy",
        ) from error


def _examined(path: Path, declared: Format | None, allow_backing: Sequence[Path]) -> Image:
    layers = read_chain(path, declared, explicit=declared is not None, allow_backing=allow_backing)
    sizes = [_virtual_size(information(layer), layer, layer.path) for layer in layers]
    top = layers[0]
    return Image(
        path=path,
        format=top.format,
        virtual_size_bytes=sizes[0],
        allocated_bytes=sizes[0] if top.is_block_device else sum(f.stat().st_blocks * 512 for f in top.files),
        is_block_device=top.is_block_device,
        layers=layers,
        warnings=tuple(_warnings(top)),
    )


def _examined_attached(attached: Attached, declared: Format | None) -> Image:
    layer = read_attached(attached, declared)
    return Image(
        path=attached.name,
        format=layer.format,
        virtual_size_bytes=_virtual_size(information(layer), layer, attached.name),
        allocated_bytes=attached.size_bytes,
        is_block_device=False,
        layers=(layer,),
        warnings=tuple(_odd_bytes(attached.name, layer, attached.size_bytes)),
    )


def _declared(input_format: str | None) -> Format | None:
    if input_format is None:
        return None
    try:
        return Format(input_format)
    except ValueError:
        names = ", ".join(Format)
        raise UsageError(f"unknown image format '{input_format}'", hint=f"one of: {names}") from None


def _virtual_size(answer: JsonObject, layer: Layer, path: ImageName) -> int:
    """The size that qemu sees, which is the one that was read here."""
    size = answer.get("virtual-size")
    if not isinstance(size, int):
        raise ImageError(f"{path}: qemu-img does not say its size", hint="is this qemu-img usable?")
    if size > MAX_VIRTUAL_SIZE:
        raise UnsafeImageError(f"{path}: absurd virtual size of {size} bytes")
    read = layer.virtual_size_bytes
    # Sizes that are no whole sectors are rounded up by some drivers and down by others.
    if read is not None and layer.format is not Format.RAW and abs(size - read) >= SECTOR:
        raise UnsafeImageError(
            f"{path}: its header says {read} bytes, qemu reads {size} from it",
            hint="the image is damaged, or made to be read in two ways",
        )
    return size


def _warnings(top: Layer) -> list[str]:
    warnings = [
        f"{file}: {what} on this host: what is read may be half of a change"
        for file in top.files
        for what in (block_device_users(file) if file.is_block_device() else loop_users(file))
    ]
    if not top.is_block_device:
        warnings += _odd_bytes(top.path, top, top.path.stat().st_size)
    return warnings


def _odd_bytes(path: ImageName, layer: Layer, size_bytes: int) -> list[str]:
    odd = size_bytes % SECTOR if layer.format is Format.RAW else 0
    return [f"{path}: {odd} bytes more than whole sectors: a truncated copy?"] if odd else []

"""From an image to all the files that it leads to, each one looked at before qemu sees it.

A header may name a backing file, an external data file or extents. Such a
reference is followed only to a regular file in the image's own directory (after
every link is resolved) or in a directory that the user allowed; never over a
protocol, to a device, or in a circle.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.disk.headers import Container, Reference, Source, qcow2, vdi, vhd, vhdx, vmdk
from guestrepair.disk.headers.common import shown
from guestrepair.disk.image import Format, Layer
from guestrepair.disk.recognise import FORMAT_NAMES, is_text, recognise
from guestrepair.disk.source import opened
from guestrepair.errors import FormatError, ImageAccessError, ImageError, UnsafeImageError

MAX_LAYERS = 32
_ALLOW = "if it is meant, name the directory that it lies in: --allow-backing DIR"
_DETACH = "make a whole image of it where it can be trusted: qemu-img convert -O qcow2"
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(slots=True)
class _Walk:
    """The state of one walk down a chain."""

    allowed: tuple[Path, ...]
    seen: set[tuple[int, int]] = field(default_factory=set)


def read_chain(
    path: Path, declared: Format | None, *, explicit: bool, allow_backing: Sequence[Path] = ()
) -> tuple[Layer, ...]:
    """The layers of an image, itself first; ``explicit``: the user said the format.

    Raises:
        UnsafeImageError: a reference leads where it must not, or a header is absurd.
        ImageAccessError: a file of the chain is missing or unreadable.
        ImageError: a layer is of a kind that is not opened here.
    """
    walk = _Walk(tuple(Path(os.path.realpath(d)) for d in allow_backing))
    layers: list[Layer] = []
    current: Path | None = path
    while current is not None:
        if len(layers) == MAX_LAYERS:
            raise UnsafeImageError(
                f"{path}: a backing chain of more than {MAX_LAYERS} files",
                hint="shorten it: qemu-img commit, or qemu-img convert of a copy",
            )
        trusted_name = explicit or bool(allow_backing) if not layers else declared is not None
        layer, reference = _read_layer(current, declared, walk, trusted=trusted_name)
        layers.append(layer)
        current, declared = None, None
        if reference is not None:
            current = _follow(layer.path, reference, walk)
            declared = _declared(layer.path, reference)
    return tuple(layers)


def _read_layer(
    path: Path, declared: Format | None, walk: _Walk, *, trusted: bool
) -> tuple[Layer, Reference | None]:
    """One file: its layer, and the reference to what lies under it."""
    real = Path(os.path.realpath(path))
    with opened(real) as (source, status):
        identity = (status.st_dev, status.st_ino)
        if identity in walk.seen:
            raise UnsafeImageError(
                f"{path}: the backing chain runs in a circle", hint="one of its headers is wrong"
            )
        walk.seen.add(identity)
        device = stat.S_ISBLK(status.st_mode)
        found = declared or (Format.RAW if device else recognise(path, source))
        container = _container(path, found, source)
    if container.unsupported:
        raise ImageError(
            f"{path}: {container.unsupported}", hint="convert a copy to qcow2 where it can be read"
        )
    if container.references and not trusted and real.suffix.lower() not in FORMAT_NAMES[found]:
        named = container.references[0]
        raise UnsafeImageError(
            f"{path}: its header names another file as {named.kind}: '{shown(named.name)}'",
            hint=f"a guest can write such a header into a raw disk; if it is meant: --input-format {found}",
        )
    return _layer(real, found, container, walk, is_block_device=device)


def _container(path: Path, found: Format, source: Source) -> Container:
    try:
        match found:
            case Format.QCOW2:
                header = qcow2.parse(source)
                qcow2.check_complete(header, source)
                return qcow2.container(header)
            case Format.VMDK:
                return vmdk.container(source)
            case Format.VPC:
                return vhd.container(source)
            case Format.VHDX:
                return vhdx.container(source)
            case Format.VDI:
                return vdi.container(source)
            case Format.RAW:
                return Container(source.size_bytes)
    except FormatError as error:
        raise UnsafeImageError(
            f"{path}: {error.message}", hint="is the copy complete and the format right?"
        ) from error


def _layer(
    real: Path, found: Format, container: Container, walk: _Walk, *, is_block_device: bool
) -> tuple[Layer, Reference | None]:
    data_file: Path | None = None
    extents: list[tuple[str, Path]] = []
    backing: Reference | None = None
    for reference in container.references:
        if reference.kind == "backing file":
            backing = reference
        elif reference.kind == "external data file":
            data_file = _follow(real, reference, walk)
        else:
            extents.append((reference.name, _extent(real, reference, walk)))
    read_only = container.read_only
    return Layer(real, found, is_block_device, data_file, tuple(extents), read_only), backing


def _extent(real: Path, reference: Reference, walk: _Walk) -> Path:
    """An extent, which must lie directly beside its descriptor."""
    if "/" in reference.name or reference.name in ("", ".", ".."):
        raise _refused(real, reference, "an extent must lie beside its descriptor")
    return _follow(real, reference, walk)


def _declared(owner: Path, reference: Reference) -> Format | None:
    if reference.format is None:
        return None
    try:
        return Format(reference.format)
    except ValueError:
        raise _refused(
            owner, reference, f"of format '{shown(reference.format)}', which is not opened here"
        ) from None


def _follow(owner: Path, reference: Reference, walk: _Walk) -> Path:
    """The real path of a reference that may be followed; whether it exists is asked last."""
    name = reference.name
    if not name or "\0" in name:
        raise _refused(owner, reference, "names no file")
    if _PROTOCOL.match(name.split("/", 1)[0]):
        raise _refused(owner, reference, "a protocol or pseudo file name is never followed")
    try:
        real = Path(os.path.realpath(owner.parent / name))
        own = () if _is_device(owner) else (owner.parent,)
        if not any(real.is_relative_to(d) for d in (*own, *walk.allowed)):
            raise _refused(owner, reference, "leads out of the image's own directory", hint=_ALLOW)
        status = real.stat()
    except FileNotFoundError:
        raise ImageAccessError(
            f"{owner}: its {reference.kind} '{shown(name)}' is not there",
            hint="put it beside the image, under the name that the header has",
        ) from None
    except OSError as error:
        raise _refused(owner, reference, error.strerror or "cannot be read") from error
    allowed_device = stat.S_ISBLK(status.st_mode) and any(real.is_relative_to(d) for d in walk.allowed)
    if not stat.S_ISREG(status.st_mode) and not allowed_device:
        raise _refused(owner, reference, "is not a regular file", hint=_ALLOW)
    if reference.kind != "backing file":
        _claim(owner, reference, (status.st_dev, status.st_ino), walk)
    elif reference.format in (None, "raw") and stat.S_ISREG(status.st_mode):
        _refuse_text(owner, reference, real)
    return real


def _claim(owner: Path, reference: Reference, identity: tuple[int, int], walk: _Walk) -> None:
    if identity in walk.seen:
        raise _refused(owner, reference, "is used twice in the chain")
    walk.seen.add(identity)


def _refuse_text(owner: Path, reference: Reference, real: Path) -> None:
    """A text file under a disk is a way to read that file, not a disk."""
    with opened(real) as (source, _status):
        if is_text(source.read(0, 4096)):
            raise _refused(owner, reference, "is a text file, not a disk")


def _is_device(path: Path) -> bool:
    return stat.S_ISBLK(path.stat().st_mode)


def _refused(owner: Path, reference: Reference, why: str, *, hint: str = _DETACH) -> UnsafeImageError:
    return UnsafeImageError(
        f"{owner}: its {reference.kind} '{shown(reference.name)}' is refused: {why}",
        hint=hint,
    )

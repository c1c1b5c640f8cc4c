"""From an image to all the files that it leads to, each one looked at before qemu sees it.

A header may name a backing file, an external data file or extents. Such a
reference is followed only to a regular file directly in the image's own directory
(after every link is resolved), or anywhere under a directory that the user allowed;
never over a protocol, to a device, in a circle, or to a file that is no disk.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from guestrepair.disk.attach.attachment import Attached
from guestrepair.disk.attach.location import ImageName
from guestrepair.disk.headers import Container, Reference, Source, qcow2, vdi, vhd, vhdx, vmdk
from guestrepair.disk.headers.common import shown
from guestrepair.disk.image import Format, Layer
from guestrepair.disk.rawfile import why_no_disk
from guestrepair.disk.recognise import FORMAT_NAMES, container_format, recognise
from guestrepair.disk.source import opened
from guestrepair.errors import FormatError, GuestRepairError, ImageAccessError, ImageError, UnsafeImageError

MAX_LAYERS = 32
LINK_NAMES = ("i", "d")
"""What the image and its data file are called where qemu opens them, extents beside (link_layers)."""
ALLOW = "if it is meant, name the directory that it lies in: --allow-backing DIR"
_DETACH = "make a whole image of it where it can be trusted: qemu-img convert -O qcow2"
_ELSEWHERE = "it lies elsewhere, or in an archive, and is only read"
_PROTOCOL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(slots=True)
class _Walk:
    """The state of one walk down a chain."""

    allowed: tuple[Path, ...]
    seen: set[tuple[int, int]] = field(default_factory=set)

    def allows(self, real: Path) -> bool:
        """True for what lies under a directory that the user named."""
        return any(real.is_relative_to(directory) for directory in self.allowed)


def read_chain(
    path: Path, declared: Format | None, *, explicit: bool, allow_backing: Sequence[Path] = ()
) -> tuple[Layer, ...]:
    """The layers of an image, itself first; ``explicit``: the user said the format.

    Raises:
        UnsafeImageError: a reference leads where it must not, or a header is absurd.
        ImageAccessError: a file of the chain is missing or unreadable.
        ImageError: a layer is of a kind that is not opened here.
    """
    return tuple(_layers(path, declared, explicit=explicit, allow_backing=allow_backing))


def read_attached(attached: Attached, declared: Format | None) -> Layer:
    """What was attached, as the one layer that it has to be: from elsewhere nothing leads to another file.

    Raises:
        UnsafeImageError: its header names another file, or is absurd.
        ImageError: it is of a kind that is not opened here.
    """
    name = attached.name
    with attached.opened() as source:
        found = declared or recognise(name, source)
        container = _container(name, found, source)
    _refuse_unsupported(name, container)
    if container.references:
        named = container.references[0]
        raise UnsafeImageError(
            f"{name}: its header names another file as {named.kind}: '{shown(named.name)}', "
            "which is not followed from there",
            hint=_DETACH,
        )
    return Layer(
        attached.path,
        found,
        read_only=_ELSEWHERE,
        virtual_size_bytes=container.virtual_size_bytes,
        kind=container.kind,
        is_socket=attached.is_socket,
    )


def known_files(
    path: Path, declared: Format | None = None, *, allow_backing: Sequence[Path] = ()
) -> tuple[Path, ...]:
    """The image and every file of it that can be found, however far its chain can be followed."""
    found = [path]
    # What stops the walk is said by those who open the image.
    with contextlib.suppress(GuestRepairError):
        for layer in _layers(path, declared, explicit=declared is not None, allow_backing=allow_backing):
            found += layer.files
    return tuple(found)


def _layers(
    path: Path, declared: Format | None, *, explicit: bool, allow_backing: Sequence[Path]
) -> Iterator[Layer]:
    walk = _Walk(tuple(Path(os.path.realpath(d)) for d in allow_backing))
    trusted = explicit or bool(allow_backing)
    current = path
    for _ in range(MAX_LAYERS):
        layer, reference = _read_layer(current, declared, walk, trusted=trusted)
        yield layer
        if reference is None:
            return
        current = _follow(layer.path, reference, walk)
        declared = _declared(layer.path, reference)
        trusted = declared is not None
    raise UnsafeImageError(
        f"{path}: a backing chain of more than {MAX_LAYERS} files",
        hint="shorten it: qemu-img commit, or qemu-img convert of a copy",
    )


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
    _refuse_unsupported(path, container)
    if container.references and not trusted and real.suffix.lower() not in FORMAT_NAMES[found]:
        named = container.references[0]
        raise UnsafeImageError(
            f"{path}: its header names another file as {named.kind}: '{shown(named.name)}'",
            hint=f"a guest can write such a header into a raw disk; if it is meant: --input-format {found}",
        )
    return _layer(real, found, container, walk, is_block_device=device)


def _refuse_unsupported(name: ImageName, container: Container) -> None:
    if container.unsupported:
        raise ImageError(
            f"{name}: {container.unsupported}", hint="convert a copy to qcow2 where it can be read"
        )


def _container(path: ImageName, found: Format, source: Source) -> Container:
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
    named = [*([] if data_file is None else [data_file]), *(path for _, path in extents)]
    layer = Layer(
        real,
        found,
        is_block_device,
        data_file,
        tuple(extents),
        container.read_only,
        container.virtual_size_bytes,
        tuple(path for path in named if not (_is_named_after(path, real) or walk.allows(path))),
        container.kind,
    )
    return layer, backing


def _is_named_after(path: Path, image: Path) -> bool:
    """True for ``disk-flat.vmdk``, ``disk-s001.vmdk``, ``disk.raw`` of ``disk.vmdk``, not ``disk2.raw``."""
    rest = path.name.removeprefix(image.stem)
    return path.name.startswith(image.stem) and not rest[:1].isalnum()


def _extent(real: Path, reference: Reference, walk: _Walk) -> Path:
    """An extent, which must lie directly beside its descriptor."""
    if "/" in reference.name or reference.name in ("", ".", ".."):
        raise _refused(real, reference, "an extent must lie beside its descriptor")
    if reference.name in LINK_NAMES:
        raise _refused(real, reference, "a name that is needed here", hint="give the extent a longer name")
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
        allowed = walk.allows(real)
        own = not _is_device(owner) and real.parent == owner.parent
        if not (own or allowed):
            raise _refused(owner, reference, "leads out of the image's own directory", hint=ALLOW)
        status = real.stat()
    except FileNotFoundError:
        raise ImageAccessError(
            f"{owner}: its {reference.kind} '{shown(name)}' is not there",
            hint="put it beside the image, under the name that the header has",
        ) from None
    except OSError as error:
        raise _refused(owner, reference, error.strerror or "cannot be read") from error
    if not (stat.S_ISREG(status.st_mode) or (allowed and stat.S_ISBLK(status.st_mode))):
        raise _refused(owner, reference, "is not a regular file", hint=ALLOW)
    if not allowed and status.st_nlink > 1 and status.st_uid != owner.stat().st_uid:
        raise _refused(owner, reference, "is a hard link to a file of another owner", hint=ALLOW)
    if reference.kind != "backing file":
        _claim(owner, reference, (status.st_dev, status.st_ino), walk)
    if stat.S_ISREG(status.st_mode):
        _look_at(owner, reference, real)
    return real


def _claim(owner: Path, reference: Reference, identity: tuple[int, int], walk: _Walk) -> None:
    if identity in walk.seen:
        raise _refused(owner, reference, "is used twice in the chain")
    walk.seen.add(identity)


def _look_at(owner: Path, reference: Reference, real: Path) -> None:
    """True afterwards: the file is what its reference takes it for; a raw one is a disk."""
    with opened(real) as (source, _status):
        undeclared = reference.format is None and container_format(source.read(0, 4096)) is None
        why = ""
        if reference.format == "raw" or undeclared:
            why = why_no_disk(source, continues=reference.continues)
        try:
            if not why and reference.check is not None:
                reference.check(source)
        except FormatError as error:
            why = error.message
    if why:
        raise _refused(owner, reference, why)


def _is_device(path: Path) -> bool:
    return stat.S_ISBLK(path.stat().st_mode)


def _refused(owner: Path, reference: Reference, why: str, *, hint: str = _DETACH) -> UnsafeImageError:
    return UnsafeImageError(
        f"{owner}: its {reference.kind} '{shown(reference.name)}' is refused: {why}",
        hint=hint,
    )

"""The qcow2 overlay through which every command opens an image.

The overlay names each layer's driver and file, down to the last one, which has
nothing under it. So neither qemu nor libguestfs ever looks at an image's content
to find out what it is (with ``readonly=1`` libguestfs does, and then shows files
of the host that a guest's first sector names).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.disk import qemu
from guestrepair.disk.image import Image, JsonObject, Layer, block_node, json_name
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import ImageAccessError, ImageError

MAX_BACKING_NAME = 1023
"""Bytes that a qcow2 header has for the backing file's name (docs/interop/qcow2.txt)."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """A qcow2 file over an image: add ``path`` with ``format`` to a machine, never the image itself."""

    path: Path
    image: Image
    format: str = "qcow2"


@contextmanager
def throwaway(image: Image, *, directory: Path | None = None) -> Iterator[Overlay]:
    """An overlay that is thrown away when the block ends, by whatever way; the image is only read.

    ``directory`` is where its private directory goes (default: $TMPDIR or /var/tmp).

    Raises:
        ImageError: and its kinds, when it cannot be made.
    """
    with private_directory(directory) as private:
        yield Overlay(create_overlay(private, image), image)


def create_overlay(directory: Path, image: Image) -> Path:
    """Make ``overlay.qcow2`` over the image in a private directory, links to the layers beside it.

    Raises:
        ImageInUseError: a layer is being written to by another process.
        ImageError: the chain is too long to be spelled out, or qemu-img fails.
    """
    path = directory / "overlay.qcow2"
    backing = json_name(chain_node(image.layers, link_layers(directory, image.layers)))
    if len(os.fsencode(backing)) > MAX_BACKING_NAME:
        raise ImageError(
            f"{image.path}: a backing chain of {len(image.layers)} files, more than can be spelled out",
            hint="shorten the chain: qemu-img commit, or qemu-img convert of a copy",
        )
    qemu.run(
        "qemu-img",
        "create",
        "-q",
        "-f",
        "qcow2",
        "-F",
        image.format.value,
        "-b",
        backing,
        str(path),
        str(image.virtual_size_bytes),
        path=image.path,
        cage=Cage(read=files_of(image.layers), write=(directory,)),
        writes=True,
    )
    path.chmod(0o600)
    return path


def files_of(layers: Iterable[Layer]) -> tuple[Path, ...]:
    """Every file of a chain: what may be opened for it."""
    return tuple(file for layer in layers for file in layer.files)


def files_under(overlay: Path) -> tuple[Path, ...]:
    """What a program that opens an overlay of ours must be able to open besides it: what links there name."""
    homes = [home for home in overlay.parent.iterdir() if home.name.isdecimal() and home.is_dir()]
    return tuple(Path(os.path.realpath(link)) for home in homes for link in home.iterdir())


def link_reached(home: Path, below: Path) -> tuple[Path, ...]:
    """Links to an overlay and to all under it in a new directory beside another one that is to lie on top."""
    reached = (below, *files_under(below))
    home.mkdir(mode=0o700)
    for number, file in enumerate(reached):
        (home / str(number)).symlink_to(file.absolute())
    return reached


def link_layers(directory: Path, layers: tuple[Layer, ...]) -> tuple[Path, ...]:
    """A directory a layer with links to its files, under names that are short, plain and the same everywhere.

    A chain is then spelled out in the 1023 bytes that there are, whatever its files are
    called, and the extents of a split VMDK lie where its descriptor expects them.
    """
    links = []
    try:
        for number, layer in enumerate(layers):
            home = directory / str(number)
            home.mkdir(mode=0o700, exist_ok=True)
            for name, target in (("i", layer.path), ("d", layer.data_file), *layer.extents):
                if target is not None and not (home / name).is_symlink():
                    (home / name).symlink_to(target)
            links.append(home)
    except OSError as error:
        raise ImageAccessError(f"{directory}: {error.strerror}", hint="is there space left?") from error
    return tuple(links)


def chain_node(layers: tuple[Layer, ...], homes: tuple[Path, ...]) -> JsonObject:
    """The block node of a whole chain, opened through the links in ``homes``."""
    node: JsonObject | None = None
    for layer, home in zip(reversed(layers), reversed(homes), strict=True):
        node = block_node(layer, home / "i", home / "d" if layer.data_file else None, node)
    if node is None:
        raise ImageError("an image without layers")
    return node

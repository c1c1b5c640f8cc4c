"""An image as it was: at an internal snapshot, or before a repair that is on record. It is only read.

Each is an image of its own in a private directory: for a repair, an overlay with the old content of what was
written since; for a snapshot, a copy of what the image's own file held then, since qemu shows no internal
snapshot under an overlay. Both lie on the same backing files as the image.

Sources: qemu-img(1), ``convert -l``; QEMU's docs/interop/qcow2.txt, "Snapshots".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.disk import qemu
from guestrepair.disk.belonging import Fit, in_force
from guestrepair.disk.content import undo_data
from guestrepair.disk.device import open_image
from guestrepair.disk.image import Format, Image, Layer, json_name
from guestrepair.disk.manifest import Phase
from guestrepair.disk.overlay import chain_node, create_overlay, files_of, link_layers
from guestrepair.disk.record import Record, all_records
from guestrepair.disk.space import RESERVE_BYTES, free_bytes, require_free
from guestrepair.disk.tempdirs import private_directory
from guestrepair.errors import ImageError, StateError, UsageError

COPY_SECONDS = 3600.0
"""How long the copy of a snapshot may take."""

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An internal snapshot: its number and name, as qemu-img lists them."""

    identifier: str
    name: str


def snapshots(image: Image) -> tuple[Snapshot, ...]:
    """The internal snapshots of an image, in its order; none where its format has none.

    Raises:
        ImageError: qemu cannot open it.
    """
    if image.format is not Format.QCOW2:
        return ()
    listed = qemu.information(image.top).get("snapshots")
    if not isinstance(listed, list):
        return ()
    return tuple(
        Snapshot(str(each.get("id", "")), str(each.get("name", "")))
        for each in listed
        if isinstance(each, dict)
    )


def chosen_snapshot(image: Image, wanted: str) -> Snapshot | None:
    """The snapshot of that name, else of that number; None when there is none.

    Raises:
        UsageError: several are called so.
    """
    listed = snapshots(image)
    named = [s for s in listed if s.name == wanted] or [s for s in listed if s.identifier == wanted]
    if len(named) > 1:
        numbers = ", ".join(s.identifier for s in named[:_SHOWN])
        raise UsageError(
            f"{image.path}: {len(named)} snapshots are called '{wanted}'",
            hint=f"name one by its number: {numbers}",
        )
    return named[0] if named else None


@contextmanager
def at_snapshot(image: Image, snapshot: Snapshot) -> Iterator[Image]:
    """The image as it was when the snapshot was made; the copy is gone when the block ends.

    Raises:
        ImageAccessError: there is no room for the copy.
        ImageError: qemu-img fails.
    """
    with private_directory() as private:
        require_free(private, image.allocated_bytes + RESERVE_BYTES, "a copy of the snapshot")
        path = private / "snapshot.qcow2"
        below = image.layers[1:]
        homes = link_layers(private, image.layers)
        name = ",,".join(snapshot.name.split(",")), ",,".join(snapshot.identifier.split(","))
        arguments = ["convert", "-q", "-l", f"snapshot.name={name[0]},snapshot.id={name[1]}", "-O", "qcow2"]
        if below:
            arguments += ["-B", json_name(chain_node(below, homes[1:])), "-F", below[0].format.value]
        qemu.run(
            "qemu-img",
            *arguments,
            json_name(chain_node(image.layers, homes)),
            str(path),
            path=image.path,
            cage=Cage(read=files_of(image.layers), write=(private,)),
            timeout_seconds=COPY_SECONDS,
            cpu_seconds=int(COPY_SECONDS),
            writes=True,
            most_bytes=free_bytes(private) - RESERVE_BYTES,
        )
        yield _over(image, path, below)


@contextmanager
def before_repair(image: Image, identifier: str, state_dir: Path) -> Iterator[Image]:
    """The image as it was before a repair ("": the last one), all later ones taken back as well.

    Raises:
        UsageError: no such repair of it is on record.
        StateError: the undo data is gone or damaged, or the image was changed since.
    """
    with private_directory() as private:
        path = create_overlay(private, image)
        earlier = _over(image, path, image.layers)
        with open_image(earlier, writable=True) as device:
            for record in _back_to(image, identifier, state_dir):
                with record.held(), undo_data(record) as old:
                    for part in record.ranges():
                        device.write(part.offset, old.old(part))
            device.flush()
        yield earlier


def _over(image: Image, path: Path, below: tuple[Layer, ...]) -> Image:
    layers = (Layer(path, Format.QCOW2), *below)
    return replace(image, format=Format.QCOW2, is_block_device=False, layers=layers, warnings=())


def _back_to(image: Image, identifier: str, state_dir: Path) -> Iterator[Record]:
    """The repairs to take back, the last one first."""
    last = in_force(all_records(state_dir), image)
    if last is None or last.fit is not Fit.OURS:
        why = "no repair of it is on record" if last is None else "it was changed since its last repair"
        raise StateError(
            f"{image.path}: {why} in {state_dir}", hint="guestrepair history IMAGE lists the repairs"
        )
    record: Record | None = last.record
    for _ in range(len(all_records(state_dir)) + 1):
        if record is None:
            break
        if record.phase is not Phase.COMMITTED:
            raise StateError(
                f"{image.path}: the old content of the repair of {record.manifest.time} is no longer kept",
                hint="compare with a backup of the image",
            )
        yield record
        if not identifier or record.manifest.identifier == identifier:
            return
        record = record.sibling(record.manifest.follows)
    raise UsageError(
        f"{image.path}: no repair '{identifier}' of it is in force",
        hint="guestrepair history IMAGE --format json names them",
    )


def no_such_snapshot(image: Image, wanted: str) -> ImageError:
    """The error for a name that is no snapshot's."""
    names = ", ".join(f"'{s.name}'" for s in snapshots(image)[:_SHOWN])
    return ImageError(
        f"{image.path}: it has no internal snapshot '{wanted}'",
        hint=f"it has {names}" if names else "it has none; qemu-img snapshot -l lists them",
    )

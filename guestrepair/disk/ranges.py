"""Which bytes of the disk an overlay changes, found by comparing, so that nothing else is written.

The overlay's clusters (64 KiB) hold more than what changed; each is compared with
the image in blocks of 4 KiB, and only blocks that differ are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guestrepair.confine.cage import Cage
from guestrepair.disk import qemu
from guestrepair.disk.device import REQUEST_BYTES, Device
from guestrepair.disk.image import Format, Layer
from guestrepair.errors import ImageError, StateError

BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes that an overlay holds; ``zero`` when it says that they are zeros."""

    offset: int
    length: int
    zero: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A run of blocks that differ, with both contents; at most :data:`REQUEST_BYTES` long."""

    offset: int
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Range:
    """A changed run as it is recorded: where, SHA-256 of both contents, and where its old content is kept.

    ``undo_offset`` is the offset in the undo data, or -1 where the old content is zeros.
    """

    offset: int
    length: int
    before: str
    after: str
    undo_offset: int


def held_extents(overlay: Path, *, shared: bool = False) -> list[Extent]:
    """What an overlay holds itself, in order, as ``qemu-img map`` tells it.

    ``shared``: while a machine holds it, as of that machine's last flush.

    Raises:
        ImageError: qemu-img fails, or is too old to tell.
    """
    layer = Layer(overlay, Format.QCOW2)
    options = ["--output=json", *(["--force-share"] if shared else [])]
    arguments = ("map", *options, qemu.layer_name(layer))
    entries = json.loads(qemu.run("qemu-img", *arguments, path=overlay, cage=Cage(read=layer.files)))
    if entries and "present" not in entries[0]:
        raise ImageError(
            f"{overlay}: this qemu-img cannot tell what an overlay holds", hint="qemu 6.1 or newer"
        )
    return [Extent(e["start"], e["length"], not e["data"]) for e in entries if e["present"]]


def changes(extents: list[Extent], overlay: Device, image: Device) -> Iterator[Change]:
    """The runs of blocks in which overlay and image differ, in order."""
    for extent in extents:
        end = min(extent.offset + extent.length, image.size_bytes)
        at = extent.offset
        while at < end:
            length = min(end, (at // REQUEST_BYTES + 1) * REQUEST_BYTES) - at
            new = bytes(length) if extent.zero else overlay.read(at, length)
            old = image.read(at, length)
            if old != new:
                yield from _runs(at, old, new)
            at += length


def _runs(offset: int, old: bytes, new: bytes) -> Iterator[Change]:
    start: int | None = None
    for at in range(0, len(old), BLOCK_BYTES):
        differs = old[at : at + BLOCK_BYTES] != new[at : at + BLOCK_BYTES]
        if differs and start is None:
            start = at
        elif not differs and start is not None:
            yield Change(offset + start, old[start:at], new[start:at])
            start = None
    if start is not None:
        yield Change(offset + start, old[start:], new[start:])


def digest(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def dump(ranges: list[Range]) -> bytes:
    """The ranges as JSON, one a line."""
    rows = (json.dumps([r.offset, r.length, r.before, r.after, r.undo_offset]) for r in ranges)
    return ("[\n" + ",\n".join(rows) + "\n]\n").encode()


def load(data: bytes) -> list[Range]:
    """The ranges that :func:`dump` wrote.

    Raises:
        StateError: they are not such.
    """
    try:
        ranges = [Range(*row) for row in json.loads(data)]
    except (ValueError, TypeError) as error:
        raise StateError(
            "the record of changed ranges cannot be read", hint="restore the image from a backup"
        ) from error
    return ranges

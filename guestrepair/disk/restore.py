"""Writing recorded ranges into an image: forward (the repair) or back (as it was).

Both directions are idempotent: each writes whole ranges from what is kept on this
host, so after a kill at any moment either can be run again from its start. Before
an interrupted write is taken up, every sector must hold its old or its new
content; anything else was written by somebody since, and is not overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from guestrepair.disk.device import Device, open_image, open_overlay
from guestrepair.disk.image import Image
from guestrepair.disk.partitions import partition_starts
from guestrepair.disk.ranges import BLOCK_BYTES, Range, digest
from guestrepair.disk.record import Identity, Phase, Record, Sample, sync_path
from guestrepair.errors import ImageError, StateError

Steps: TypeAlias = Callable[[str], None]
"""Called with the name of each step before it begins; raising from it ends the work there."""

SECTOR = 512
SAMPLE_BYTES = 256 * 1024
KEPT = frozenset({"manifest.json", "ranges.json", "undo.data"})


def no_steps(_name: str) -> None:
    """The hook that does nothing."""


class UndoData:
    """The old content of the ranges of a record."""

    def __init__(self, fd: int, record: Record) -> None:
        self._fd = fd
        self._record = record

    def old(self, of: Range) -> bytes:
        """The old content of a range.

        Raises:
            StateError: it is damaged.
        """
        data = bytes(of.length) if of.undo_offset < 0 else os.pread(self._fd, of.length, of.undo_offset)
        if digest(data) != of.before:
            raise StateError(
                f"{self._record.directory}: the undo data of byte {of.offset} is damaged",
                hint="restore the image from a backup; 'guestrepair repair' finishes an interrupted repair",
            )
        return data


@contextmanager
def undo_data(record: Record) -> Iterator[UndoData]:
    """The undo data of a record, open while the block runs.

    Raises:
        StateError: it is not there.
    """
    try:
        fd = os.open(record.undo_data, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StateError(f"{record.undo_data}: the undo data cannot be read: {error.strerror}") from error
    try:
        yield UndoData(fd, record)
    finally:
        os.close(fd)


def write_ranges(
    device: Device, ranges: list[Range], content: Callable[[Range], bytes], *, back: bool, steps: Steps
) -> tuple[Sample, ...]:
    """Write ranges, flush, read them back; answers with the samples of the disk as it is now.

    Raises:
        ImageError: a write failed.
        StateError: what was read back is not what was written.
    """
    for number, part in enumerate(ranges):
        steps(f"write {number}")
        if back:
            _put_back(device, part.offset, content(part))
        else:
            device.write(part.offset, content(part), keep_space=True)
    steps("flush")
    device.flush()
    steps("read back")
    for part in ranges:
        expected = part.before if back else part.after
        if digest(device.read(part.offset, part.length)) != expected:
            raise StateError(
                f"byte {part.offset} reads back other than it was written",
                hint="the host's disk is failing; copy the image away",
            )
    return take_samples(device)


def _put_back(device: Device, offset: int, data: bytes) -> None:
    """Write old content; where that fails (no space to allocate), only the blocks that are not old any more.

    Those were written before, so there is room for them.
    """
    try:
        device.write(offset, data)
    except ImageError:
        for at in range(0, len(data), BLOCK_BYTES):
            block = data[at : at + BLOCK_BYTES]
            if device.read(offset + at, len(block)) != block:
                device.write(offset + at, block)


def take_samples(device: Device) -> tuple[Sample, ...]:
    """Digests of the start of the disk and of each partition: superblocks, which any mount changes."""
    found = []
    for offset in (0, *partition_starts(device.read, device.size_bytes)):
        length = min(SAMPLE_BYTES, device.size_bytes - offset)
        found.append(Sample(offset, length, digest(device.read(offset, length))))
    return tuple(found)


def unexplained(device: Device, ranges: list[Range], old: UndoData, new: Device | None) -> int | None:
    """The first byte of a sector that holds neither its old nor its new content; None when there is none."""
    for part in ranges:
        now = device.read(part.offset, part.length)
        if digest(now) in (part.before, part.after):
            continue
        before = old.old(part)
        after = new.read(part.offset, part.length) if new is not None else b""
        for at in range(0, part.length, SECTOR):
            sector = now[at : at + SECTOR]
            if sector not in (before[at : at + SECTOR], after[at : at + SECTOR]):
                return part.offset + at
    return None


def write_forward(record: Record, image: Image, *, steps: Steps = no_steps) -> Record:
    """Finish an interrupted commit: the image holds the whole repair afterwards, and the record is committed.

    Raises:
        StateError: the image was written to since, or the record is damaged.
        ImageError: a write failed; the record stays interrupted.
    """
    ranges = record.ranges()
    if not record.overlay.exists():
        raise StateError(
            f"{record.overlay}: the staged repair is gone", hint="take it back: guestrepair undo"
        )
    with (
        undo_data(record) as old,
        open_overlay(record.overlay) as new,
        open_image(image, writable=True) as device,
    ):
        _refuse_unexplained(record, unexplained(device, ranges, old, new))
        samples = write_ranges(
            device, ranges, lambda r: new.read(r.offset, r.length), back=False, steps=steps
        )
    return settle(record, image, Phase.COMMITTED, samples, steps=steps)


def write_back(record: Record, image: Image, *, force: bool = False, steps: Steps = no_steps) -> Record:
    """Take back an interrupted commit or undo: the image is as it was before the repair afterwards.

    Raises:
        StateError: the image was written to since (unless forced), or the record is damaged.
        ImageError: a write failed; the record stays interrupted.
    """
    ranges = record.ranges()
    with undo_data(record) as old:
        if not force:
            _check_explained(record, image, ranges, old)
        with open_image(image, writable=True) as device:
            samples = write_ranges(device, ranges, old.old, back=True, steps=steps)
    undoing = record.phase in (Phase.UNDOING, Phase.COMMITTED)
    return settle(record, image, Phase.UNDONE if undoing else Phase.REVERTED, samples, steps=steps)


def _check_explained(record: Record, image: Image, ranges: list[Range], old: UndoData) -> None:
    if not record.overlay.exists():
        # An interrupted undo: the new content is no longer kept, only its digests. Where a range
        # was cut in the middle, its sectors cannot be told apart, and the old content is right for all.
        return
    with open_overlay(record.overlay) as new, open_image(image) as device:
        _refuse_unexplained(record, unexplained(device, ranges, old, new))


def _refuse_unexplained(record: Record, offset: int | None) -> None:
    if offset is not None:
        raise StateError(
            f"{record.manifest.path}: byte {offset} was changed by something else after the repair of "
            f"{record.manifest.time} was interrupted",
            hint="guestrepair undo --force puts the old content back all the same",
        )


def settle(
    record: Record, image: Image, phase: Phase, samples: tuple[Sample, ...], *, steps: Steps
) -> Record:
    """The end of a write: image synced, its identity recorded, phase saved, what is not needed removed."""
    steps("sync")
    for file in image.top.files:
        sync_path(file)
    identity = Identity.of(image.top)
    if phase is not Phase.COMMITTED:
        _refresh_predecessor(record, identity)
    steps("settle")
    record = record.saved(phase=phase, after=identity, samples=samples)
    steps("clean up")
    record.keep_only(KEPT if phase is Phase.COMMITTED else frozenset({"manifest.json"}))
    return record


def _refresh_predecessor(record: Record, identity: Identity) -> None:
    """The image is again what the repair before this one left: that one can be undone next."""
    before = record.sibling(record.manifest.follows)
    if before is not None and before.phase is Phase.COMMITTED:
        before.saved(after=identity)

"""Writing recorded ranges into an image: forward (the repair) or back (as it was).

Both directions are idempotent: each writes whole ranges from what is kept on this
host, so after a kill at any moment either can be run again from its start. Only a record that was
judged to be of this image (guestrepair.disk.belonging) comes here, and of its ranges only those
are written that do not hold what they should already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from guestrepair.disk.belonging import Judged
from guestrepair.disk.content import Holds, keep_sectors, sample_around, undo_data
from guestrepair.disk.device import Device, open_image, open_overlay
from guestrepair.disk.durable import sync_path
from guestrepair.disk.image import Image
from guestrepair.disk.manifest import Identity, Phase, as_text
from guestrepair.disk.ranges import BLOCK_BYTES, Range, digest
from guestrepair.disk.record import Record
from guestrepair.disk.relation import file_marks
from guestrepair.errors import ImageError, StateError

Steps: TypeAlias = Callable[[str], None]
"""Called with the name of each step before it begins; raising from it ends the work there."""


def no_steps(_name: str) -> None:
    """The hook that does nothing."""


def write_ranges(
    device: Device, ranges: list[Range], content: Callable[[Range], bytes], *, back: bool, steps: Steps
) -> None:
    """Write ranges and flush them.

    Raises:
        ImageError: a write failed.
    """
    for number, part in enumerate(ranges):
        steps(f"write {number}")
        if back:
            _put_back(device, part.offset, content(part))
        else:
            device.write(part.offset, content(part), keep_space=True)
    steps("flush")
    device.flush()


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


def read_back(device: Device, ranges: list[Range], *, back: bool, steps: Steps) -> None:
    """True afterwards: all ranges hold what they should.

    Raises:
        StateError: one does not.
    """
    steps("read back")
    for part in ranges:
        expected = part.before if back else part.after
        if digest(device.read(part.offset, part.length)) != expected:
            raise StateError(
                f"byte {part.offset} reads back other than it was written",
                hint="the host's disk is failing; copy the image away",
            )


def write_forward(judged: Judged, image: Image, *, steps: Steps = no_steps) -> Record:
    """Finish an interrupted commit: the image holds the whole repair afterwards, and the record is committed.

    Raises:
        StateError: the staged repair is gone.
        ImageError: a write failed; the record stays interrupted.
    """
    record = judged.record
    if not record.overlay.exists():
        raise StateError(
            f"{record.overlay}: the staged repair is gone", hint="take it back: guestrepair undo"
        )
    ranges = record.ranges()
    left = [r for r, holds in zip(ranges, judged.content.ranges, strict=True) if holds is not Holds.NEW]
    with open_overlay(record.overlay) as new, open_image(image, writable=True) as device:
        write_ranges(device, left, lambda r: new.read(r.offset, r.length), back=False, steps=steps)
        read_back(device, ranges, back=False, steps=steps)
    return settle(record, image, Phase.COMMITTED, steps=steps)


def write_back(judged: Judged, image: Image, *, forced: bool = False, steps: Steps = no_steps) -> Record:
    """Take back a repair, or go on with that: the image is as it was before the repair afterwards.

    ``forced``: what is overwritten may be anything.

    Raises:
        StateError: the record is damaged.
        ImageError: a write failed; the record stays interrupted.
        OSError: the phase cannot be stored; nothing was begun.
    """
    record = judged.record
    ranges = record.ranges()
    left = [r for r, holds in zip(ranges, judged.content.ranges, strict=True) if holds is not Holds.OLD]
    with undo_data(record) as old:
        for part in ranges:
            old.old(part)  # all of it must be whole before anything is overwritten
        record = _on_the_way_back(record, image, steps, forced=forced)
        with open_image(image, writable=True) as device:
            write_ranges(device, left, old.old, back=True, steps=steps)
            read_back(device, ranges, back=True, steps=steps)
    return settle(record, image, _taken_back(record), steps=steps)


def _on_the_way_back(record: Record, image: Image, steps: Steps, *, forced: bool) -> Record:
    """The record in phase undoing or reverting, with all that is needed to go on from there."""
    phase = Phase.UNDOING if _taken_back(record) is Phase.UNDONE else Phase.REVERTING
    if forced or not record.manifest.sectors:
        steps("write down")
        return _write_down(record, image, phase)
    if record.phase is phase:
        return record
    steps(f"begin {phase.value}")
    return record.reverting() if phase is Phase.REVERTING else record.saved(phase=phase)


def _taken_back(record: Record) -> Phase:
    return Phase.UNDONE if record.phase in (Phase.UNDOING, Phase.COMMITTED) else Phase.REVERTED


def _write_down(record: Record, image: Image, phase: Phase) -> Record:
    """Keep digests of what is there before it is overwritten; the record is in ``phase`` afterwards.

    So an undo that is killed is only gone on with where each sector holds the old content or this.
    """
    ranges = record.ranges()
    with open_image(image) as device:
        sectors = keep_sectors(record, (device.read(r.offset, r.length) for r in ranges))
        around = sample_around(ranges, device.size_bytes, device.read)
    # Forced: the image's size or format is another, too.
    size, form = image.virtual_size_bytes, image.format.value
    return record.saved(phase=phase, sectors=sectors, around=around, virtual_size_bytes=size, format=form)


def settle(record: Record, image: Image, phase: Phase, *, steps: Steps) -> Record:
    """The end of a write: image synced, its identity recorded, phase saved, what is not needed removed."""
    steps("sync")
    for file in image.top.files:
        sync_path(file)
    identity = Identity.of(image.top)
    if phase is not Phase.COMMITTED:
        _refresh_predecessor(record, identity)
    steps("settle")
    record = record.saved(phase=phase, after=identity, path=as_text(image.top.path), **file_marks(image.top))
    steps("clean up")
    record.tidy()
    return record


def close(record: Record, image: Image) -> Record:
    """Settle a record whose repair the image does not hold any more; nothing is written to the image."""
    _refresh_predecessor(record, Identity.of(image.top))
    record = record.saved(phase=_taken_back(record))
    record.tidy()
    return record


def _refresh_predecessor(record: Record, identity: Identity) -> None:
    """The image is again what the repair before this one left: that one can be undone next."""
    before = record.sibling(record.manifest.follows)
    if before is not None and before.phase is Phase.COMMITTED:
        before.saved(after=identity)

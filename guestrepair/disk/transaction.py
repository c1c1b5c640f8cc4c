"""A repair as a transaction: staged in an overlay, committed whole or not at all, undoable.

The image itself is not opened for writing before :meth:`Transaction.commit` has put
the old content of every range that will change, and the plan of what will be written, on stable
storage. From then on a kill at any moment leaves a record from which the next repair finishes and
the next undo takes back.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from guestrepair.disk import ranges as ranges_module
from guestrepair.disk.belonging import Judge, Judged
from guestrepair.disk.content import keep_sectors, patched, sample_around
from guestrepair.disk.device import Device, open_image, open_overlay
from guestrepair.disk.durable import sync_path, write_durably
from guestrepair.disk.image import Image
from guestrepair.disk.lock import exclusive
from guestrepair.disk.manifest import Identity, Phase, RepairRecord, Sample
from guestrepair.disk.overlay import create_overlay
from guestrepair.disk.ranges import Change, Range
from guestrepair.disk.record import Record, new_record
from guestrepair.disk.recovery import predecessor, recover, refuse_unless_ours
from guestrepair.disk.restore import (
    Steps,
    no_steps,
    read_back,
    settle,
    write_back,
    write_ranges,
)
from guestrepair.disk.signals import Deferred, cleaned_up_on_termination, deferred
from guestrepair.disk.space import LEAST_FREE_BYTES, growth_bytes, require_free
from guestrepair.disk.writable import check_container, check_permitted, check_present
from guestrepair.errors import GuestRepairError, ImageAccessError, RepairError, words_of

_log = logging.getLogger(__name__)
NOTHING_TOLD = RepairRecord()


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What a commit wrote: its record's name and directory, ranges and bytes (0: nothing changed)."""

    identifier: str
    directory: Path
    range_count: int
    changed_bytes: int


class Transaction:
    """One repair of one image; a context manager that drops what was not committed.

    Changes go into ``overlay`` (a qcow2 file to be added to a machine in the image's
    stead). End that machine before :meth:`commit`: it holds locks.
    """

    def __init__(self, image: Image, record: Record, stack: ExitStack, steps: Steps) -> None:
        self._image = image
        self._record = record
        self._stack = stack
        self._steps = steps
        self._open = True
        self.overlay = record.overlay
        self.directory = record.directory

    @classmethod
    def begin(
        cls,
        image: Image,
        state_dir: Path,
        *,
        say: Callable[[str], None] = _log.warning,
        steps: Steps = no_steps,
    ) -> Transaction:
        """Start a repair: the image is locked against others, checked to be writable, and an overlay is made.

        A repair of it that was killed before its commit is cleaned away; one that was
        killed within is finished first. ``say`` is told so, in one line each.

        Raises:
            ImageInUseError: another repair, a machine, a mount or a holder has it.
            ImageAccessError: no right to write, or no space for the overlay.
            ImageError: a format that cannot be written, or a damaged container.
            StateError: an interrupted repair can be neither finished nor taken back as things are.
        """
        with ExitStack() as stack:
            check_permitted(image)
            stack.enter_context(cleaned_up_on_termination())
            stack.enter_context(exclusive(image.top.path))
            # Finishing needs hardly any space, and gives back that of the overlay.
            recover(image, state_dir, say=say, steps=steps)
            check_container(image)
            require_free(state_dir, LEAST_FREE_BYTES, "a repair's overlay and undo data")
            steps("begin")
            try:
                follows = predecessor(image, state_dir)
                record = stack.enter_context(new_record(image, state_dir, follows=follows))
            except OSError as error:
                raise _no_room(state_dir, error) from error
            steps("make overlay")
            create_overlay(record.directory, image)
            steps("staged")
            return cls(image, record, stack.pop_all(), steps)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open:
            self.drop("not committed" if error is None else f"ended by {type(error).__name__}")

    def drop(self, reason: str) -> None:
        """Throw the staged changes away; the image was not touched."""
        _log.info("%s: staged changes dropped: %s", self._image.path, reason)
        self._close()

    def _close(self) -> None:
        self._open = False
        self._stack.close()

    def commit(
        self, plan: object = None, report: object = None, *, repair: RepairRecord = NOTHING_TOLD
    ) -> CommitRecord:
        """Write what changed into the image, undoably; on stable storage when this returns.

        ``repair`` says what it was for; ``plan`` and ``report`` (of JSON's types) are kept beside it,
        for people. An overlay that changes nothing is dropped, and the image file stays untouched.

        Raises:
            RepairError: it could not be written, and the image is as it was (or, when the message
                says so, half written because its disk went away: then undo and repair both go on).
            KeyboardInterrupt: interrupted meanwhile, and the image is as it was.
        """
        self._record = dataclasses.replace(
            self._record,
            manifest=dataclasses.replace(self._record.manifest, repair=repair, plan=plan, report=report),
        )
        try:
            return self._commit()
        except OSError as error:
            raise _no_room(self._record.directory, error) from error
        finally:
            self._close()

    def _commit(self) -> CommitRecord:
        self._refuse_changed()
        kept = self._keep_old_content()
        self._refuse_changed()
        ranges = kept.ranges
        changed = sum(r.length for r in ranges)
        if not ranges:
            return CommitRecord(self._record.manifest.identifier, self.directory, 0, 0)
        where = self._image.top.path.parent
        growth = growth_bytes(self._image.top, [(r.offset, r.length) for r in ranges])
        require_free(where, growth, "what the image will grow by")
        self._steps("prepare")
        self._record = self._record.saved(
            phase=Phase.PREPARED,
            range_count=len(ranges),
            changed_bytes=changed,
            ranges_sha256=kept.sha256,
            sectors=kept.sectors,
            around=kept.around,
        )
        self._record.prepare_reverting()
        with deferred() as held:
            self._write(ranges, held)
        return CommitRecord(self._record.manifest.identifier, self.directory, len(ranges), changed)

    def _refuse_changed(self) -> None:
        check_present(self._image)
        if Identity.of(self._image.top) != self._record.manifest.before:
            raise RepairError(
                f"{self._image.path}: was written to by something else during the repair",
                hint="shut down what uses it, and repair again",
            )

    def _keep_old_content(self) -> _Kept:
        """Compare overlay and image; what is needed to go back is on stable storage afterwards.

        That is the old content and the ranges, and what tells later whether the image is as it was left.
        """
        self._steps("compare")
        extents = ranges_module.held_extents(self.overlay)
        with open_overlay(self.overlay) as overlay, open_image(self._image) as image:
            found: list[Range] = []
            with (self.directory / "undo.data").open("wb") as undo:

                def new_contents() -> Iterator[bytes]:
                    for change in ranges_module.changes(extents, overlay, image):
                        found.append(_kept_range(change, undo))
                        yield change.new

                sectors = keep_sectors(self._record, new_contents())
                self._steps("keep old content")
                undo.flush()
                os.fsync(undo.fileno())
            around = _sample_both(found, image, overlay)
        sync_path(self.overlay)
        data = ranges_module.dump(found)
        write_durably(self.directory / "ranges.json", data)
        return _Kept(found, ranges_module.digest(data), sectors, around)

    def _write(self, ranges: list[Range], held: Deferred) -> None:
        def stop_when_interrupted(name: str) -> None:
            self._steps(name)
            if held.came and name.startswith("write"):
                raise KeyboardInterrupt

        try:
            self._steps("commit")
            self._record = self._record.saved(phase=Phase.COMMITTING)
            with open_overlay(self.overlay) as new, open_image(self._image, writable=True) as device:
                write_ranges(
                    device,
                    ranges,
                    lambda r: new.read(r.offset, r.length),
                    back=False,
                    steps=stop_when_interrupted,
                )
                read_back(device, ranges, back=False, steps=self._steps)
            self._record = settle(self._record, self._image, Phase.COMMITTED, steps=self._steps)
        except BaseException as error:  # whatever ends the writing, the image is not left half written
            self._revert(error)
            raise

    def _revert(self, error: BaseException) -> None:
        """Put the old content back; the image is as it was afterwards.

        Raises:
            RepairError: always, saying what failed; unless the error is an interruption, or an order to
                exit, that is now undone.
        """
        why = _reason(error)
        try:
            self._steps("revert")
            self._record = self._record.reverting()
            self._steps("make room")
            # The host's disk may be full: the new content goes first, so that there is room to take it back.
            self.overlay.unlink(missing_ok=True)
            self._record = write_back(self._judged(), self._image, steps=self._steps)
        except Exception as second:  # what is on the disk says so, too: undo goes on from there
            raise RepairError(
                f"{self._image.path}: half written: the repair could not be written ({why}), "
                f"nor taken back ({_reason(second)})",
                hint="once its disk is back or has space again, 'guestrepair undo' takes it back",
            ) from error
        if isinstance(error, Exception):
            raise RepairError(
                f"{self._image.path}: the repair could not be written: {why}; the image is as it was",
                hint="see the reason; nothing was lost, and the repair can be run again",
            ) from error

    def _judged(self) -> Judged:
        with Judge(self._image) as judge:
            judged = judge(self._record)
        refuse_unless_ours(judged, self._image)
        return judged


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was kept before a commit; ``sha256`` is of the ranges' file, ``sectors`` of the digests."""

    ranges: list[Range]
    sha256: str
    sectors: str
    around: tuple[Sample, ...]


def _kept_range(change: Change, undo: BinaryIO) -> Range:
    """Append a change's old content to the undo data, unless it is zeros; answers with its range."""
    zero = not change.old.strip(b"\0")
    at = -1 if zero else undo.tell()
    if not zero:
        undo.write(change.old)
    before, after = ranges_module.digest(change.old), ranges_module.digest(change.new)
    return Range(change.offset, len(change.old), before, after, at)


def _sample_both(ranges: list[Range], image: Device, overlay: Device) -> tuple[Sample, ...]:
    """Samples around the ranges, at the partitions that the disk has before the repair and after it."""
    after = patched(image.read, ranges, overlay.read)
    return sample_around(ranges, image.size_bytes, image.read, after)


def _reason(error: BaseException) -> str:
    if isinstance(error, GuestRepairError):
        return error.message
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return words_of(error)


def _no_room(directory: Path, error: OSError) -> GuestRepairError:
    if isinstance(error, PermissionError):
        return ImageAccessError(
            f"{directory}: {error.strerror}", hint="name another one with --state-dir DIR"
        )
    return RepairError(
        f"{directory}: {error.strerror}; the image was not touched",
        hint="free some space, or use --state-dir DIR",
    )

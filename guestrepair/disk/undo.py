"""Taking the last repair back, bit for bit as the guest sees the disk; and the list of repairs."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk.belonging import Fit, Judged, half_written, in_force, near, of_image, same_shape
from guestrepair.disk.image import Format, Image, Layer
from guestrepair.disk.lock import exclusive
from guestrepair.disk.manifest import HALF_WRITTEN, UNTOUCHED, Identity, Phase
from guestrepair.disk.record import Record, all_records, recorded_in
from guestrepair.disk.recovery import changed, drop_untouched, refuse_unless_ours, way_back
from guestrepair.disk.relation import relate
from guestrepair.disk.restore import Steps, close, no_steps, write_back
from guestrepair.disk.signals import deferred
from guestrepair.disk.space import growth_bytes, require_free
from guestrepair.disk.writable import check_container, check_permitted
from guestrepair.errors import StateError

_SHOWN_BACKUPS = 5


class NothingToUndoError(StateError):
    """No repair of the image is recorded that could be taken back."""


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What was taken back; ``was_interrupted``: a repair (or undo) that a kill had left half written.

    ``written`` is false where the image held the old content already, and only the record was closed.
    """

    identifier: str
    time: str
    range_count: int
    changed_bytes: int
    was_interrupted: bool = False
    written: bool = True


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One repair of an image: when, by which version, what it repaired, what it wrote, how it stands.

    ``undoable`` is true for the last committed one alone; ``repaired`` holds (rule, subject);
    ``pruned`` is when its undo data was removed, empty while that is there.
    """

    identifier: str
    time: str
    tool_version: str
    phase: str
    repaired: tuple[tuple[str, str], ...]
    range_count: int
    changed_bytes: int
    undoable: bool
    directory: Path
    pruned: str = ""


def last_repair(image: Image, state_dir: Path) -> HistoryEntry | None:
    """The repair that :func:`undo` would take back; None when there is none.

    Raises:
        StateError: its record is damaged.
    """
    found = _candidate(all_records(state_dir), image)
    return None if found is None else _entry(found.record, undoable=_is_undoable(found))


def history(image: Image, state_dir: Path) -> list[HistoryEntry]:
    """The repairs of an image that this state directory knows, oldest first."""
    records = all_records(state_dir)
    try:
        last = _candidate(records, image)
    except StateError:  # damaged
        last = None
    undoable = last.record.directory if last is not None and _is_undoable(last) else None
    shown = [r for r in of_image(records, image) if r.phase not in UNTOUCHED]
    return [_entry(r, undoable=r.directory == undoable) for r in shown]


def _is_undoable(found: Judged) -> bool:
    return found.fit in (Fit.OURS, Fit.CHANGED) and found.record.phase is not Phase.PRUNED


def recorded_format(path: Path, state_dir: Path) -> str | None:
    """The format that the last repair of this file or device took it for; None when none is recorded."""
    real = Path(os.path.realpath(path))
    if not real.exists():
        return None
    layer = Layer(real, Format.RAW, is_block_device=real.is_block_device())
    records = [r for r in all_records(state_dir) if _is_this_file(r, layer)]
    return records[-1].manifest.format if records else None


def _is_this_file(record: Record, layer: Layer) -> bool:
    """Another file that took the path's place, or a raw disk of another size, is what its own header says."""
    relation, manifest = relate(record.manifest, layer), record.manifest
    converted = (
        manifest.format == Format.RAW
        and not layer.is_block_device
        and layer.path.stat().st_size != manifest.virtual_size_bytes
    )
    return relation.near and relation.same_file is not False and not converted


def undo(
    image: Image,
    state_dir: Path,
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda _line: None,
    steps: Steps = no_steps,
) -> UndoResult:
    """Put back what the last repair changed; on stable storage when this returns.

    A repair that was killed while it was written is taken back instead, and an undo that was
    killed is finished. With ``force`` the old content is written over whatever has changed since, but never
    into another image.

    Raises:
        NothingToUndoError: no repair is recorded.
        StateError: the undo data is damaged or gone, or the image has changed since.
        ImageInUseError: a machine, a mount, a holder or another repair has it.
        ImageError: it cannot be written.
    """
    check_permitted(image)
    with exclusive(image.top.path), recorded_in(state_dir), ExitStack() as stack:
        records = all_records(state_dir)
        for record in near(records, image):
            if record.phase in UNTOUCHED:
                drop_untouched(record, image, say)
        found = _candidate(records, image)
        if found is None:
            raise NothingToUndoError(
                f"{image.path}: no repair of it to take back is recorded in {state_dir}",
                hint="was it repaired with another --state-dir, or on another host?",
            )
        stack.enter_context(found.record.held())
        _refuse_pruned(found.record.again(), image)
        stack.enter_context(deferred())
        was_interrupted = found.record.phase in HALF_WRITTEN
        if found.fit is Fit.RESTORED and force:
            close(found.record, image)
        else:
            _take_back(found, image, force=force, say=say, steps=steps)
    manifest = found.record.manifest
    return UndoResult(
        manifest.identifier,
        manifest.time,
        manifest.range_count,
        manifest.changed_bytes,
        was_interrupted,
        found.fit is not Fit.RESTORED,
    )


def _candidate(records: list[Record], image: Image) -> Judged | None:
    """A half-written record before any other, else the last repair that the image holds."""
    half = half_written(records, image)
    return half[-1] if half else in_force(records, image)


def _refuse_pruned(record: Record | None, image: Image) -> None:
    if record is None or record.phase is Phase.PRUNED:
        when = f" on {record.manifest.pruned}" if record is not None else ""
        time = f"of {record.manifest.time} " if record is not None else ""
        raise StateError(
            f"{image.path}: the undo data of its last repair {time}was pruned{when}: it cannot be taken back",
            hint="restore the image from a backup",
        )


def _take_back(found: Judged, image: Image, *, force: bool, say: Callable[[str], None], steps: Steps) -> None:
    record = found.record
    forced = force and found.fit is Fit.CHANGED
    if forced:
        _refuse_too_small(record, image)
    if record.phase in HALF_WRITTEN:
        if not forced:
            refuse_unless_ours(found, image)
        say(f"{image.path}: the repair of {record.manifest.time} was interrupted: taking it back")
    else:
        steps("verify")
        check_container(image)
        if not forced:
            _refuse_changed(found, image, any_time=force)
        growth = growth_bytes(image.top, [(r.offset, r.length) for r in record.ranges()])
        require_free(image.top.path.parent, growth, "what the image will grow by")
    write_back(found, image, forced=forced, steps=steps)


def _refuse_changed(found: Judged, image: Image, *, any_time: bool) -> None:
    """True afterwards: the image is what the repair left; ``any_time``: whenever its file was written to.

    A file is compared by size and time of modification; every image sector by sector where the
    repair wrote, and by what lies around that at the beginnings of the disk and its partitions,
    where any mount leaves its mark.
    """
    record, time = found.record, found.record.manifest.time
    written_since = record.manifest.after != Identity.of(image.top) and not any_time
    since = f"{image.path}: changed since the repair of {time}"
    match found.fit:
        case Fit.RESTORED:
            raise NothingToUndoError(
                f"{image.path}: this file is not what the repair of {time} left: it holds the old content "
                "everywhere (a restored backup?); nothing to undo",
                hint="'guestrepair undo --force' closes the record of that repair, and writes nothing",
            )
        case Fit.CHANGED:
            raise StateError(f"{since}: {changed(found, image)}", hint=_ways_back(found, image))
        case Fit.OURS if written_since:
            raise StateError(
                f"{since}: the file was written to (its size or time differs): was the machine booted?",
                hint=_file_level_way(record),
            )
        case Fit.OURS:
            return
        case _:
            raise StateError(
                f"{since}: another disk is in its place, which is left alone",
                hint="give the image that was repaired, under whatever name it has now",
            )


def _refuse_too_small(record: Record, image: Image) -> None:
    end = max(r.offset + r.length for r in record.ranges())
    if end > image.virtual_size_bytes:
        raise StateError(
            f"{image.path}: its size has changed since the repair of {record.manifest.time}: it ends before "
            f"byte {end}, up to which the old content goes",
            hint="restore the image from a backup",
        )


def _ways_back(found: Judged, image: Image) -> str:
    if same_shape(found.record, image):
        return _file_level_way(found.record)
    return f"{way_back(found, image)}, and undo that"


def _file_level_way(record: Record) -> str:
    backups = sorted(set(record.manifest.repair.backups))
    if not backups:
        return "--force puts the old content back all the same, and may damage what changed since"
    more = f" and {len(backups) - _SHOWN_BACKUPS} more" if len(backups) > _SHOWN_BACKUPS else ""
    listed = ", ".join(backups[:_SHOWN_BACKUPS])
    return f"copy back the files that were kept in the guest: {listed}{more}; or --force"


def _entry(record: Record, *, undoable: bool) -> HistoryEntry:
    manifest = record.manifest
    return HistoryEntry(
        manifest.identifier,
        manifest.time,
        manifest.tool_version,
        manifest.phase.value,
        manifest.repair.repaired,
        manifest.range_count,
        manifest.changed_bytes,
        undoable,
        record.directory,
        manifest.pruned,
    )

"""Taking the last repair back, bit for bit as the guest sees the disk; and the list of repairs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk.device import Device, open_image
from guestrepair.disk.image import Image
from guestrepair.disk.lock import exclusive
from guestrepair.disk.ranges import digest
from guestrepair.disk.record import (
    HALF_WRITTEN,
    UNTOUCHED,
    Identity,
    Phase,
    Record,
    other_size_bytes,
    recorded_in,
    records_of,
)
from guestrepair.disk.restore import Steps, no_steps, write_back
from guestrepair.disk.signals import deferred
from guestrepair.disk.space import growth_bytes, require_free
from guestrepair.disk.writable import check_writable
from guestrepair.errors import StateError

_BACKUP = re.compile(r"/[^\s\"']+\.guestrepair-[0-9TZ]+")
_SHOWN_BACKUPS = 5


class NothingToUndoError(StateError):
    """No repair of the image is recorded that could be taken back."""


@dataclass(frozen=True, slots=True)
class UndoResult:
    """What was taken back; ``was_interrupted``: a repair (or undo) that a kill had left half written."""

    identifier: str
    time: str
    range_count: int
    changed_bytes: int
    was_interrupted: bool = False


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One repair of an image: when, by which version, what it repaired, what it wrote, how it stands.

    ``undoable`` is true for the last committed one alone; ``repaired`` holds (rule, subject).
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


def last_repair(image: Image, state_dir: Path) -> HistoryEntry | None:
    """The repair that :func:`undo` would take back; None when there is none."""
    record = _candidate(records_of(image, state_dir))
    return None if record is None else _entry(record, undoable=True)


def history(image: Image, state_dir: Path) -> list[HistoryEntry]:
    """The repairs of an image that this state directory knows, oldest first."""
    records = [r for r in records_of(image, state_dir) if r.phase not in UNTOUCHED]
    candidate = _candidate(records)
    return [_entry(r, undoable=r is candidate) for r in records]


def undo(
    image: Image,
    state_dir: Path,
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda _line: None,
    steps: Steps = no_steps,
) -> UndoResult:
    """Put back what the last repair changed; on stable storage when this returns.

    A repair that was killed while it was written is taken back instead, and an undo
    that was killed is finished. With ``force`` the old content is written whatever is there now.

    Raises:
        NothingToUndoError: no repair is recorded.
        StateError: the undo data is damaged, or the image has changed since.
        ImageInUseError: a machine, a mount, a holder or another repair has it.
        ImageError: it cannot be written.
    """
    check_writable(image)
    with exclusive(image.top.path):
        records = records_of(image, state_dir)
        for record in [r for r in records if r.phase in UNTOUCHED]:
            record.remove()
            say(f"{image.path}: the repair of {record.manifest.time} had not changed the image: cleaned up")
        candidate = _candidate(records)
        if candidate is None and (size := other_size_bytes(image, state_dir)):
            raise StateError(
                f"{image.path}: its size has changed since its repair, from {size} bytes to "
                f"{image.virtual_size_bytes}",
                hint="one that grew can be cut back (qemu-img resize --shrink) and then undone",
            )
        if candidate is None:
            raise NothingToUndoError(
                f"{image.path}: no repair of it to take back is recorded in {state_dir}",
                hint="was it repaired with another --state-dir, or on another host?",
            )
        was_interrupted = candidate.phase in HALF_WRITTEN
        with deferred(), recorded_in(state_dir):
            _take_back(candidate, image, force=force, say=say, steps=steps)
    manifest = candidate.manifest
    return UndoResult(
        manifest.identifier, manifest.time, manifest.range_count, manifest.changed_bytes, was_interrupted
    )


def _take_back(
    record: Record, image: Image, *, force: bool, say: Callable[[str], None], steps: Steps
) -> None:
    if record.phase in HALF_WRITTEN:
        say(f"{image.path}: the repair of {record.manifest.time} was interrupted: taking it back")
        write_back(record, image, force=force, steps=steps)
        return
    steps("verify")
    reason = "" if force else changed_since(record, image)
    if reason:
        raise StateError(
            f"{image.path}: changed since the repair of {record.manifest.time}: {reason}",
            hint=_file_level_way(record),
        )
    growth = growth_bytes(image.top, [(r.offset, r.length) for r in record.ranges()])
    require_free(image.top.path.parent, growth, "what the image will grow by")
    steps("undo")
    write_back(record.saved(phase=Phase.UNDOING), image, force=True, steps=steps)


def _candidate(records: list[Record]) -> Record | None:
    """A half-written record before any other (there is at most one), else the last committed one."""
    half = [r for r in records if r.phase in HALF_WRITTEN]
    done = [r for r in records if r.phase is Phase.COMMITTED]
    found = half or done
    return found[-1] if found else None


def changed_since(record: Record, image: Image) -> str:
    """Why the image is no longer what the repair left, in one phrase; empty when it still is.

    A file is compared by size and time of modification; every image by the digests of
    the ranges written and of the first 256 KiB of the disk and of each partition, where
    any mount leaves its mark.
    """
    if record.manifest.after != Identity.of(image.top):
        return "the file was written to (its size or time differs): was the machine booted?"
    with open_image(image) as device:
        return next(_differences(record, device), "")


def _differences(record: Record, device: Device) -> Iterator[str]:
    ranges = record.ranges()
    other = sum(digest(device.read(r.offset, r.length)) != r.after for r in ranges)
    if other:
        yield f"{other} of the {len(ranges)} ranges that it wrote hold something else"
    for sample in record.manifest.samples:
        inside = sample.offset + sample.length <= device.size_bytes
        if not inside or digest(device.read(sample.offset, sample.length)) != sample.sha256:
            yield f"what begins at byte {sample.offset} (the disk or a partition) is not the same"


def _file_level_way(record: Record) -> str:
    names = sorted(set(_strings(record.manifest.plan)) | set(_strings(record.manifest.report)))
    backups = [n for n in names if _BACKUP.fullmatch(n)]
    if not backups:
        return "--force puts the old content back all the same, and may damage what changed since"
    more = f" and {len(backups) - _SHOWN_BACKUPS} more" if len(backups) > _SHOWN_BACKUPS else ""
    listed = ", ".join(backups[:_SHOWN_BACKUPS])
    return f"copy back the files that were kept in the guest: {listed}{more}; or --force"


def _strings(value: object) -> Iterator[str]:
    """Every backup name in a JSON value, however deep."""
    if isinstance(value, str):
        yield from _BACKUP.findall(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _entry(record: Record, *, undoable: bool) -> HistoryEntry:
    manifest = record.manifest
    return HistoryEntry(
        manifest.identifier,
        manifest.time,
        manifest.tool_version,
        manifest.phase.value,
        tuple(_repaired(manifest.report)),
        manifest.range_count,
        manifest.changed_bytes,
        undoable,
        record.directory,
    )


def _repaired(report: object) -> Iterator[tuple[str, str]]:
    """Rule and subject of each repaired finding of a report, or of one image of it."""
    if not isinstance(report, dict):
        return
    for image in report.get("images", [report]):
        findings = image.get("findings", []) if isinstance(image, dict) else []
        for finding in findings:
            if isinstance(finding, dict) and finding.get("status") == "repaired":
                yield str(finding.get("rule", "")), str(finding.get("subject", ""))

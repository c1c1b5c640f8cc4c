"""Removing undo data that is no longer wanted, by name or by age.

What goes is the undo data of repairs that are in force: nobody can take them back afterwards. Their
manifests stay, a few kilobytes each, so that ``history`` still tells of them and ``undo`` says
since when it cannot. The staged changes of a killed repair that had not touched its image go
whole. A half-written record never goes: it is all that can make its image whole.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from guestrepair.disk.manifest import HALF_WRITTEN, UNTOUCHED, Phase, as_text
from guestrepair.disk.record import Record, all_records, recorded_in
from guestrepair.errors import StateError, UsageError

_HALF_WRITTEN = "its image is half written; 'guestrepair repair' finishes it, 'undo' takes it back"
_LIVE = "a repair or undo works with it now"


@dataclass(frozen=True, slots=True)
class Prunable:
    """A record that may go, or may not for the reason ``kept``: whose, when, how far, bytes on the disk."""

    identifier: str
    time: str
    path: str
    phase: str
    size_bytes: int
    record: Record
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to prune: identifiers of repairs, images, and a least age; None: of any age."""

    names: tuple[str, ...] = ()
    older_than: timedelta | None = None


def prunable(state_dir: Path, wanted: Wanted) -> list[Prunable]:
    """The records that are meant and have data to remove, oldest first. Nothing is removed.

    Raises:
        UsageError: a name is neither that of a repair nor of an image of one.
    """
    records = all_records(state_dir)
    if wanted.names:
        records = _named(records, wanted.names)
    now = datetime.now(UTC)
    found = [_looked_at(r) for r in records if _is_old(r, wanted.older_than, now)]
    return [p for p in found if p.size_bytes or p.record.phase is Phase.COMMITTED]


def _named(records: Sequence[Record], names: Sequence[str]) -> list[Record]:
    found: set[Path] = set()
    for name in names:
        meant = [r.directory for r in records if r.manifest.identifier == name]
        meant = meant or [r.directory for r in records if _is_of(r, Path(name))]
        if not meant:
            raise UsageError(
                f"{name}: neither the identifier of a repair nor an image of one",
                hint="'guestrepair history IMAGE' lists an image's; was --state-dir given for the repair?",
            )
        found.update(meant)
    return [r for r in records if r.directory in found]


def _is_of(record: Record, path: Path) -> bool:
    """By the path, where the image need not be any more, or by the file."""
    real = Path(os.path.realpath(path))
    if record.manifest.path == as_text(real):
        return True
    with contextlib.suppress(OSError, ValueError):
        status = real.stat()
        return stat.S_ISREG(status.st_mode) and record.manifest.inode == (status.st_dev, status.st_ino)
    return False


def _is_old(record: Record, age: timedelta | None, now: datetime) -> bool:
    if age is None:
        return True
    began = _time(record)
    return began is not None and now - began >= age


def _time(record: Record) -> datetime | None:
    try:
        return datetime.fromisoformat(record.manifest.time).astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None


def _looked_at(record: Record) -> Prunable:
    manifest = record.manifest
    size = record.spare_bytes()
    kept = _HALF_WRITTEN if record.phase in HALF_WRITTEN else _LIVE if _is_live(record) else ""
    return Prunable(
        manifest.identifier, manifest.time, manifest.path, manifest.phase.value, size, record, kept
    )


def _is_live(record: Record) -> bool:
    try:
        with record.held(patience_seconds=0):
            return False
    except StateError:
        return True
    except OSError:
        return False  # nothing can be written there: who removes it will be told


def prune(found: Sequence[Prunable], state_dir: Path, *, say: Callable[[str], None]) -> list[Prunable]:
    """Remove what was found prunable and still is; answers with what went. ``say`` is told what did not.

    Raises:
        StateError: the state directory cannot be written to; what went before that is gone.
    """
    gone = []
    with recorded_in(state_dir):
        for one in found:
            try:
                removed = not one.kept and _remove(one.record)
            except StateError:
                removed = False
            if removed:
                gone.append(one)
            else:
                say(f"{one.identifier} of {one.path} is kept: {one.kept or _LIVE}")
    return gone


def _remove(record: Record) -> bool:
    """Remove one record's data; False when it is another than it was.

    Raises:
        StateError: a process works with it.
        OSError: it cannot be removed.
    """
    with record.held(patience_seconds=0):
        now = record.again()
        if now is None or now.phase is not record.phase:
            return False
        if record.phase in UNTOUCHED:
            record.remove()
            return True
        if record.phase is Phase.COMMITTED:
            # What the phase says is stored first: a record whose data is half gone must not pass for whole.
            when = datetime.now(UTC).isoformat(timespec="seconds")
            now = now.saved(phase=Phase.PRUNED, pruned=when, sectors="")
        now.tidy()
        return True

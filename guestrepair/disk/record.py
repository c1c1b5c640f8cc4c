"""The record of one repair on this host: a directory with a manifest, ranges and undo data.

::

    STATE/repairs/<UTC time>-<random>/
        manifest.json       what, when, which image, and the phase (replaced by rename, never edited)
        manifest.reverting  the same in phase reverting, written beforehand: going back takes no space
        ranges.json         the changed ranges with the digests of both contents
        undo.data           their old content, one after the other
        sectors-<digest>    a digest of each sector's other content (guestrepair.disk.content)
        lock                empty; locked (flock(2)) by whoever works with the record
        overlay.qcow2       their new content, until the commit is over

A phase is on stable storage before what it announces begins, and what it needs before it::

    staged ─▶ prepared ─▶ committing ─▶ committed ─▶ undoing ─▶ undone
                               └──▶ reverting ─▶ reverted
                                        committed ─▶ pruned

In staged and prepared the image has not been touched; in committing, reverting
and undoing it may hold old and new content, and what is needed to go on is there. What is no longer
needed is removed after the phase that does not need it any more is stored.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guestrepair import __version__
from guestrepair.disk import ranges
from guestrepair.disk.durable import rename_durably, sync_names, write_durably, write_synced
from guestrepair.disk.image import Image
from guestrepair.disk.manifest import (
    IN_FORCE,
    UNTOUCHED,
    Identity,
    Manifest,
    Phase,
    as_text,
    read_manifest,
)
from guestrepair.disk.relation import file_marks
from guestrepair.errors import StateError

_LOCK_PATIENCE_SECONDS = 1.0
"""A killed process's child that had not yet started its program still holds the lock for a moment."""

_REVERTING = "manifest.reverting"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Record:
    """A manifest and the directory that it is kept in."""

    directory: Path
    manifest: Manifest

    @property
    def overlay(self) -> Path:
        """The staging overlay."""
        return self.directory / "overlay.qcow2"

    @property
    def undo_data(self) -> Path:
        """The old content."""
        return self.directory / "undo.data"

    def sectors(self, sha256: str) -> Path:
        """The sector digests whose own digest is this."""
        return self.directory / f"sectors-{sha256[:16]}"

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        return self.manifest.phase

    def saved(self, **changed: Any) -> Record:
        """The record with those fields changed, on stable storage.

        Raises:
            OSError: it cannot be written; the old manifest is then still there.
        """
        manifest = replace(self.manifest, **changed)
        write_durably(self.directory / "manifest.json", manifest.as_json())
        return Record(self.directory, manifest)

    def prepare_reverting(self) -> None:
        """Write the manifest with which this repair is taken back; it counts once it has its name.

        Raises:
            OSError: it cannot be written.
        """
        write_synced(self.directory / _REVERTING, replace(self.manifest, phase=Phase.REVERTING).as_json())

    def reverting(self) -> Record:
        """The record in phase reverting, on stable storage; takes no space where that was prepared.

        Raises:
            OSError: it cannot be written; the old manifest is then still there.
        """
        if not (self.directory / _REVERTING).exists():
            return self.saved(phase=Phase.REVERTING)
        rename_durably(self.directory / _REVERTING, self.directory / "manifest.json")
        return Record(self.directory, replace(self.manifest, phase=Phase.REVERTING))

    def ranges(self) -> list[ranges.Range]:
        """The changed ranges.

        Raises:
            StateError: they are missing or not those that the manifest vouches for.
        """
        try:
            data = (self.directory / "ranges.json").read_bytes()
        except OSError as error:
            raise StateError(
                f"{self.directory}: the changed ranges cannot be read: {error.strerror}"
            ) from error
        if ranges.digest(data) != self.manifest.ranges_sha256:
            raise StateError(f"{self.directory}: the changed ranges are damaged")
        return ranges.load(data)

    def again(self) -> Record | None:
        """The record as it is on the disk now; None when it is gone."""
        manifest = read_manifest(self.directory / "manifest.json")
        return None if manifest is None else Record(self.directory, manifest)

    def spare_bytes(self) -> int:
        """Bytes on the disk of all that a record without undo data does not need."""
        needed = {"manifest.json", "ranges.json", _LOCK}
        files = [f.lstat() for f in self.directory.rglob("*") if f.name not in needed]
        return sum(status.st_blocks * 512 for status in files if stat.S_ISREG(status.st_mode))

    def remove(self) -> None:
        """Remove the directory and all that is in it."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def tidy(self) -> None:
        """Remove the files that a settled record has no more use for."""
        needed = {"manifest.json", _LOCK}
        if self.phase in IN_FORCE:
            needed.add("ranges.json")
        if self.phase is Phase.COMMITTED:
            needed |= {self.undo_data.name, self.sectors(self.manifest.sectors).name}
        for entry in self.directory.iterdir():
            if entry.name in needed:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                # What cannot be removed only takes space; the phase is what counts.
                with contextlib.suppress(OSError):
                    entry.unlink()

    def sibling(self, identifier: str) -> Record | None:
        """Another record of the same state directory; None when there is none."""
        return Record(self.directory.parent / identifier, self.manifest).again() if identifier else None

    @contextlib.contextmanager
    def held(self, *, patience_seconds: float = _LOCK_PATIENCE_SECONDS) -> Iterator[None]:
        """True while the block runs: no other process of this tool works with the record.

        Raises:
            StateError: another one does.
        """
        fd = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(fd, self.directory, time.monotonic() + patience_seconds)
            yield
        finally:
            os.close(fd)


def _lock(fd: int, directory: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StateError(
                    f"{directory}: another process works with this record", hint="wait until it has ended"
                ) from None
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def recorded_in(state_dir: Path) -> Iterator[None]:
    """Translate what writing a record raises, while an image is finished or taken back.

    Raises:
        StateError: the state directory's disk is full, read-only or gone; what was begun can be gone on with.
    """
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{error.filename or state_dir}: what was done cannot be recorded: {error.strerror}",
            hint=f"free some space in {state_dir}, and run the same command again: it goes on from there",
        ) from error


@contextlib.contextmanager
def new_record(image: Image, state_dir: Path, *, follows: str) -> Iterator[Record]:
    """A record in phase staged, its name on stable storage; held while the block runs.

    It is gone afterwards when its image was not touched.

    Raises:
        OSError: it cannot be written.
    """
    now = datetime.now(UTC)
    identifier = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{secrets.token_hex(3)}"
    directory = state_dir / "repairs" / identifier
    directory.mkdir(mode=0o700, parents=True)
    manifest = Manifest(
        identifier=identifier,
        time=now.isoformat(timespec="seconds"),
        tool_version=__version__,
        phase=Phase.STAGED,
        path=as_text(image.top.path),
        format=image.format.value,
        virtual_size_bytes=image.virtual_size_bytes,
        before=Identity.of(image.top),
        follows=follows,
        **file_marks(image.top),
    )
    record = Record(directory, manifest)
    try:
        with record.held():  # before there is a manifest: nobody takes it for a dead one's
            record.saved()
            sync_names(directory)
            yield record
    finally:
        _remove_untouched(record)


def _remove_untouched(record: Record) -> None:
    """Remove a record whose image was not touched; what is in the file decides, not what we remember."""
    written = record.again()
    if written is None or written.phase in UNTOUCHED:
        record.remove()


def all_records(state_dir: Path) -> list[Record]:
    """Every record, oldest first.

    A directory without a readable manifest is no record: its process died before the first was written.
    """
    found = []
    for directory in sorted((state_dir / "repairs").glob("*")):
        manifest = read_manifest(directory / "manifest.json")
        if manifest is not None:
            found.append(Record(directory, manifest))
    return found

"""The record of one repair on this host: a directory with a manifest, ranges and undo data.

::

    STATE/repairs/<UTC time>-<random>/
        manifest.json   what, when, which image, and the phase (replaced by rename, never edited)
        ranges.json     the changed ranges with the digests of both contents
        undo.data       their old content, one after the other
        overlay.qcow2   their new content, until the commit is over

A phase is on stable storage before what it announces begins::

    staged ─▶ prepared ─▶ committing ─▶ committed ─▶ undoing ─▶ undone
                               └──▶ reverting ─▶ reverted

In staged and prepared the image has not been touched; in committing, reverting
and undoing it may hold old and new content, and everything to go either way is there.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from guestrepair import __version__
from guestrepair.disk import ranges
from guestrepair.disk.image import Image, Layer
from guestrepair.errors import StateError

SCHEMA = "guestrepair.undo/1"


class Phase(enum.StrEnum):
    """How far a repair (or its undo) has come."""

    STAGED = "staged"
    PREPARED = "prepared"
    COMMITTING = "committing"
    COMMITTED = "committed"
    REVERTING = "reverting"
    REVERTED = "reverted"
    UNDOING = "undoing"
    UNDONE = "undone"


UNTOUCHED = frozenset({Phase.STAGED, Phase.PREPARED})
HALF_WRITTEN = frozenset({Phase.COMMITTING, Phase.REVERTING, Phase.UNDOING})


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells that a file was not written to: size and modification time (0 for block devices)."""

    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, layer: Layer) -> Identity:
        """The identity of a layer's files now, its data files summed up in it."""
        if layer.is_block_device:
            return cls(0, 0)
        found = [f.stat() for f in layer.files]
        return cls(sum(s.st_size for s in found), max(s.st_mtime_ns for s in found))


@dataclass(frozen=True, slots=True)
class Sample:
    """The digest of a few bytes of the disk that any later use of it would change."""

    offset: int
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a repair that is needed to finish it, take it back or list it."""

    identifier: str
    time: str
    tool_version: str
    phase: Phase
    path: str
    inode: tuple[int, int]
    format: str
    virtual_size_bytes: int
    before: Identity
    follows: str = ""
    after: Identity | None = None
    samples: tuple[Sample, ...] = ()
    range_count: int = 0
    changed_bytes: int = 0
    ranges_sha256: str = ""
    plan: Any = field(default=None, hash=False)
    report: Any = field(default=None, hash=False)


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
        text = json.dumps({"schema": SCHEMA, **asdict(manifest)}, indent=1)
        write_durably(self.directory / "manifest.json", text.encode())
        return Record(self.directory, manifest)

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

    def remove(self) -> None:
        """Remove the directory and all that is in it."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def keep_only(self, names: frozenset[str]) -> None:
        """Remove everything of the directory but the files of those names."""
        for entry in self.directory.iterdir():
            if entry.name in names:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                # What cannot be removed only takes space; the phase is what counts.
                with contextlib.suppress(OSError):
                    entry.unlink()

    def sibling(self, identifier: str) -> Record | None:
        """Another record of the same state directory; None when there is none."""
        directory = self.directory.parent / identifier
        manifest = read_manifest(directory / "manifest.json") if identifier else None
        return None if manifest is None else Record(directory, manifest)


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file by rename, both on stable storage afterwards (fsync(2) of file and directory).

    Raises:
        OSError: it cannot be written; the old file is then still there.
    """
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """fsync(2) of a file, directory or block device."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


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


def new_record(image: Image, state_dir: Path, *, follows: str) -> Record:
    """A record in phase staged, in a directory of its own.

    Raises:
        OSError: it cannot be written.
    """
    now = datetime.now(UTC)
    identifier = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{secrets.token_hex(3)}"
    directory = state_dir / "repairs" / identifier
    directory.mkdir(mode=0o700, parents=True)
    status = image.top.path.stat()
    manifest = Manifest(
        identifier=identifier,
        time=now.isoformat(timespec="seconds"),
        tool_version=__version__,
        phase=Phase.STAGED,
        path=_as_text(image.top.path),
        inode=(status.st_dev, status.st_ino),
        format=image.format.value,
        virtual_size_bytes=image.virtual_size_bytes,
        before=Identity.of(image.top),
        follows=follows,
    )
    return Record(directory, manifest).saved()


def records_of(image: Image, state_dir: Path) -> list[Record]:
    """The records of an image, oldest first: those of its path, or of its inode when it was renamed."""
    return [
        record
        for record in _records_at(image.top.path, state_dir)
        if record.manifest.virtual_size_bytes == image.virtual_size_bytes
        and record.manifest.format == image.format
    ]


def other_size_bytes(image: Image, state_dir: Path) -> int:
    """The size that an image had when it was last repaired; 0 when no record has another than today's."""
    sizes = [r.manifest.virtual_size_bytes for r in _records_at(image.top.path, state_dir)]
    return next((size for size in reversed(sizes) if size != image.virtual_size_bytes), 0)


def recorded_format(path: Path, state_dir: Path) -> str | None:
    """The format that the last repair of this path took it for; None when none is recorded."""
    real = Path(os.path.realpath(path))
    records = _records_at(real, state_dir) if real.exists() else []
    return records[-1].manifest.format if records else None


def _records_at(path: Path, state_dir: Path) -> list[Record]:
    """A directory without a readable manifest is no record: its process died before the first was written."""
    status = path.stat()
    found = []
    for directory in sorted((state_dir / "repairs").glob("*")):
        manifest = read_manifest(directory / "manifest.json")
        if manifest is None:
            continue
        same_place = manifest.path == _as_text(path)
        # The number of a block device says nothing about which disk is behind it today.
        same_file = stat.S_ISREG(status.st_mode) and manifest.inode == (status.st_dev, status.st_ino)
        if same_place or same_file:
            found.append(Record(directory, manifest))
    return found


def _as_text(path: Path) -> str:
    """A path as the manifest holds it: JSON has no place for bytes that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file; None when there is none that can be read."""
    try:
        data = json.loads(path.read_bytes())
        if data.pop("schema") != SCHEMA:
            return None
        data["phase"] = Phase(data["phase"])
        data["inode"] = tuple(data["inode"])
        data["before"] = Identity(**data["before"])
        data["after"] = Identity(**data["after"]) if data["after"] else None
        data["samples"] = tuple(Sample(**s) for s in data["samples"])
        return Manifest(**data)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None

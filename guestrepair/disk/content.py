"""What an image holds where a repair wrote, sector by sector, and what lies around that.

Before a record is followed, every sector that would be overwritten must hold its old content
or the other one: the new content of a commit, or what was there when an undo began. The old
content is kept whole, since it must be possible to write it; of the other one a digest of each sector
is kept (16 bytes for 512, so 3 % of what changes), since it only has to be recognised: the overlay
holds what a commit still needs, and nothing ever goes forward from an undo.

Around the ranges, the beginnings of the disk and of its partitions are sampled: the partition table and
the superblocks, which tell one disk from another, and which any mount changes. The ranges
themselves count as zeros there, so that a sample is the same before, after and in the middle of a write.
"""

from __future__ import annotations

import enum
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from guestrepair.disk.device import Device, open_overlay
from guestrepair.disk.durable import rename_durably
from guestrepair.disk.manifest import Manifest, Phase, Sample
from guestrepair.disk.partitions import partition_starts
from guestrepair.disk.ranges import Range, digest
from guestrepair.disk.record import Record
from guestrepair.errors import StateError

SECTOR = 512
DIGEST_BYTES = 16
SAMPLE_BYTES = 256 * 1024

Read = Callable[[int, int], bytes]


class Holds(enum.Enum):
    """What the ranges of a record hold, all of them together or one."""

    OLD = "old"
    NEW = "new"
    MIXED = "old and new"
    OTHER = "something else"


@dataclass(frozen=True, slots=True)
class Content:
    """An image compared with a record.

    ``ranges`` says what each range holds; ``other_at`` is the first byte of a sector that is neither old nor
    new (-1: there is none). ``around``: all samples around the ranges are as they were. ``alike``: most of
    what is not blank is as it was, so it is this disk, whatever has changed; None: nothing to tell it by.
    """

    holds: Holds
    ranges: tuple[Holds, ...]
    other_at: int
    around: bool
    changed_at: int
    alike: bool | None


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


def sector_digests(data: bytes) -> bytes:
    """The digests of the sectors of some content, one after the other."""
    sectors = (data[at : at + SECTOR] for at in range(0, len(data), SECTOR))
    return b"".join(hashlib.blake2b(sector, digest_size=DIGEST_BYTES).digest() for sector in sectors)


def keep_sectors(record: Record, contents: Iterable[bytes]) -> str:
    """Put the sector digests of the ranges' contents on stable storage; answers with their SHA-256.

    Raises:
        OSError: there is no space, or the directory is not writable.
    """
    whole = hashlib.sha256()
    temporary = record.directory / "sectors.new"
    with temporary.open("wb") as file:
        for content in contents:
            digests = sector_digests(content)
            whole.update(digests)
            file.write(digests)
        file.flush()
        os.fsync(file.fileno())
    rename_durably(temporary, record.sectors(whole.hexdigest()))
    return whole.hexdigest()


class _Others:
    """The sector digests of the other content, by range; nothing where none were kept."""

    def __init__(self, record: Record, ranges: Sequence[Range]) -> None:
        self._path = record.sectors(record.manifest.sectors) if record.manifest.sectors else None
        self._overlay = record.overlay if record.phase is Phase.COMMITTING else None
        self._at: dict[int, int] = {}
        total = 0
        for part in ranges:
            self._at[part.offset] = total
            total += -(-part.length // SECTOR) * DIGEST_BYTES
        if self._path is not None:
            _check_whole(self._path, record.manifest.sectors)

    def of(self, part: Range) -> bytes:
        """The digests of a range's sectors; empty when they are not known."""
        if self._path is None:
            return self._from_overlay(part)
        with self._path.open("rb") as file:
            file.seek(self._at[part.offset])
            return file.read(-(-part.length // SECTOR) * DIGEST_BYTES)

    def _from_overlay(self, part: Range) -> bytes:
        """A record of the former schema has no digests; while it is being committed, it has the content."""
        if self._overlay is None or not self._overlay.exists():
            return b""
        with open_overlay(self._overlay) as overlay:
            return sector_digests(overlay.read(part.offset, part.length))


def _check_whole(path: Path, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StateError(
            f"{path}: cannot be read: {error.strerror}", hint="restore the image from a backup"
        ) from error
    if found != sha256:
        raise StateError(f"{path}: damaged", hint="restore the image from a backup")


@dataclass(slots=True)
class _Count:
    """Sectors that are not blank: those that are as they were, and those that are something else."""

    known: int = 0
    other: int = 0


def compare(record: Record, device: Device) -> Content:
    """What an image holds where a record's repair wrote, and around it.

    Raises:
        StateError: the record is damaged.
        ImageError: the image cannot be read.
    """
    ranges = record.ranges()
    count = _Count()
    states: list[Holds] = []
    other_at = -1
    others = _Others(record, ranges)
    with ExitStack() as stack:
        old = stack.enter_context(undo_data(record)) if record.undo_data.exists() else None
        for part in ranges:
            state, at = _range(part, device, old, others, count)
            states.append(state)
            other_at = at if other_at < 0 else other_at
    changed, alike = _samples(record.manifest, ranges, device)
    if count.known or count.other:
        alike = bool(alike) or count.known >= count.other
    kinds = set(states)
    whole = kinds.pop() if len(kinds) == 1 else Holds.OTHER if Holds.OTHER in kinds else Holds.MIXED
    return Content(whole, tuple(states), other_at, changed < 0, changed, alike)


def _range(
    part: Range, device: Device, old: UndoData | None, others: _Others, count: _Count
) -> tuple[Holds, int]:
    """What one range holds, and where its first sector that is neither old nor new begins (-1: nowhere)."""
    if part.offset + part.length > device.size_bytes:
        return Holds.OTHER, part.offset
    now = device.read(part.offset, part.length)
    found = digest(now)
    if found in (part.before, part.after):
        count.known += 0 if not now.strip(b"\0") else part.length // SECTOR
        return Holds.OLD if found == part.before else Holds.NEW, -1
    before = old.old(part) if old is not None else b""
    return _sectors(part.offset, now, (before, others.of(part)), count)


def _sectors(offset: int, now: bytes, kept: tuple[bytes, bytes], count: _Count) -> tuple[Holds, int]:
    before, others = kept
    seen: set[Holds] = set()
    other_at = -1
    digests = sector_digests(now)
    for number, at in enumerate(range(0, len(now), SECTOR)):
        sector, each = now[at : at + SECTOR], slice(number * DIGEST_BYTES, (number + 1) * DIGEST_BYTES)
        is_old, is_new = sector == before[at : at + SECTOR], digests[each] == others[each]
        if not (is_old or is_new):
            count.other += bool(others)  # of a record without digests nobody knows
            other_at = offset + at if other_at < 0 else other_at
        elif sector.strip(b"\0"):
            count.known += 1
        if is_old != is_new:
            seen.add(Holds.OLD if is_old else Holds.NEW)
    if other_at >= 0:
        return Holds.OTHER, other_at
    return (seen.pop() if len(seen) == 1 else Holds.MIXED), -1


def _samples(manifest: Manifest, ranges: Sequence[Range], device: Device) -> tuple[int, bool | None]:
    """Where the first sample begins that is not as it was (-1: none), and whether half of them are.

    Blank ones tell nothing; None when all are.
    """
    plain = manifest.phase is Phase.COMMITTED and not manifest.around
    samples = manifest.samples if plain else manifest.around
    changed, same, told = -1, 0, 0
    for sample in samples:
        inside = sample.offset + sample.length <= device.size_bytes
        masked = () if plain else ranges
        found = digest(read_around(device.read, sample.offset, sample.length, masked)) if inside else ""
        blank = sample.sha256 == digest(bytes(sample.length))
        told += not blank
        if found == sample.sha256:
            same += not blank
        elif changed < 0:
            changed = sample.offset
    return changed, same * 2 >= told if told else None


def read_around(read: Read, offset: int, length: int, ranges: Sequence[Range]) -> bytes:
    """Bytes of a disk, those of the ranges as zeros."""
    return patched(read, ranges, lambda _offset, size: bytes(size))(offset, length)


def patched(read: Read, ranges: Sequence[Range], new: Read) -> Read:
    """Reading a disk as it will be once the ranges are written."""

    def read_patched(offset: int, length: int) -> bytes:
        data = bytearray(read(offset, length))
        for part in ranges:
            first, last = max(part.offset, offset), min(part.offset + part.length, offset + length)
            if first < last:
                data[first - offset : last - offset] = new(first, last - first)
        return bytes(data)

    return read_patched


def sample_around(ranges: Sequence[Range], size_bytes: int, *reads: Read) -> tuple[Sample, ...]:
    """Samples of what lies around the ranges, where partitions begin in any form of the disk that is read."""
    starts = sorted({0, *(start for read in reads for start in partition_starts(read, size_bytes))})
    found = []
    for offset in starts:
        length = min(SAMPLE_BYTES, size_bytes - offset)
        found.append(Sample(offset, length, digest(read_around(reads[0], offset, length, ranges))))
    return tuple(found)

"""A small raw disk and the record of a repair of it, at any moment: what a kill there would have left."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guestrepair.disk.content import keep_sectors, sample_around
from guestrepair.disk.image import Format, Image, Layer
from guestrepair.disk.manifest import Identity, Manifest, Phase, RepairRecord, as_text
from guestrepair.disk.ranges import Range, digest, dump
from guestrepair.disk.record import Record
from guestrepair.disk.relation import file_marks

KIB = 1024
SIZE = 96 * KIB
PLACES = (16 * KIB, 40 * KIB, 72 * KIB)
"""Where the repair writes: over data, over zeros, and zeros over data."""

LENGTH = 8 * KIB


def old_disk() -> bytes:
    """The disk before its repair; in its second place there are zeros."""
    disk = bytearray(b"\x11" * SIZE)
    disk[PLACES[1] : PLACES[1] + LENGTH] = bytes(LENGTH)
    return bytes(disk)


def new_disk(places: int = len(PLACES)) -> bytes:
    """The disk after its repair, or with the first so many places written alone."""
    disk = bytearray(old_disk())
    for place, byte in list(zip(PLACES, b"\x77\x88\x00", strict=True))[:places]:
        disk[place : place + LENGTH] = bytes([byte]) * LENGTH
    return bytes(disk)


def image_of(path: Path, kind: Format = Format.RAW) -> Image:
    """A file as an image, as examine() would say it."""
    size = path.stat().st_size
    return Image(path, kind, size, size, is_block_device=False, layers=(Layer(path, kind),))


@dataclass(frozen=True, slots=True)
class Bench:
    """A disk in a directory of its own, and a state directory."""

    home: Path

    @property
    def disk(self) -> Path:
        """The image."""
        return self.home / "disk.raw"

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.home / "state"

    @property
    def image(self) -> Image:
        """As it is now."""
        return image_of(self.disk)

    def begun(self, phase: Phase, places: int = len(PLACES), **changed: Any) -> Record:
        """A repair that has come to that phase, so many places of it written; the image holds just that."""
        if not self.disk.exists():
            self.disk.write_bytes(old_disk())
        before = Identity.of(self.image.top)
        self.disk.write_bytes(new_disk(places))
        identifier = f"20260101T000000.{len(list(self.state.glob('repairs/*'))):03d}Z-{phase.value}"
        directory = self.state / "repairs" / identifier
        directory.mkdir(parents=True)
        ranges = self._kept(directory)
        data = dump(ranges)
        (directory / "ranges.json").write_bytes(data)
        manifest = Manifest(
            identifier=identifier,
            time="2026-01-01T00:00:00+00:00",
            tool_version="0.0",
            phase=phase,
            path=as_text(self.disk),
            format="raw",
            virtual_size_bytes=SIZE,
            before=before,
            after=Identity.of(self.image.top) if phase is Phase.COMMITTED else None,
            range_count=len(ranges),
            changed_bytes=sum(r.length for r in ranges),
            ranges_sha256=digest(data),
            around=sample_around(ranges, SIZE, lambda at, length: old_disk()[at : at + length]),
            repair=RepairRecord((("a/b", "/etc/x:3"),)),
            **file_marks(self.image.top),
        )
        record = Record(directory, manifest)
        new = new_disk()
        sectors = keep_sectors(record, (new[r.offset : r.offset + r.length] for r in ranges))
        manifest = dataclasses.replace(manifest, **{"sectors": sectors, **changed})
        return Record(directory, manifest).saved()

    def _kept(self, directory: Path) -> list[Range]:
        """Old content and staged new content, as a transaction keeps them."""
        old, new, kept, ranges = old_disk(), new_disk(), b"", []
        for at in PLACES:
            was, becomes = old[at : at + LENGTH], new[at : at + LENGTH]
            blank = not was.strip(b"\0")
            ranges.append(Range(at, LENGTH, digest(was), digest(becomes), -1 if blank else len(kept)))
            kept += b"" if blank else was
        (directory / "undo.data").write_bytes(kept)
        (directory / "overlay.qcow2").write_bytes(new)
        return ranges

    def write(self, at: int, data: bytes) -> None:
        """Something else writes to the image."""
        with self.disk.open("r+b") as file:
            file.seek(at)
            file.write(data)

"""The child that asks libparted, asked in this process about disks that are made by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from guestrepair.disk import parted_reader

SECTOR = 512


def entry(kind: int, first: int, count: int, *, active: bool = False) -> bytes:
    return struct.pack("<B3sB3sII", 0x80 if active else 0, b"", kind, b"", first, count)


def boot_record(*entries: bytes) -> bytes:
    return bytes(446) + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


def disk(path: Path, *records: tuple[int, bytes], sectors: int = 16 * 2048) -> Path:
    """A disk of whole MiB with these records at these sectors."""
    with path.open("wb") as file:
        file.truncate(sectors * SECTOR)
        for at, record in records:
            file.seek(at * SECTOR)
            file.write(record)
    return path


def test_partitions_are_told_with_flags_and_the_extended_one(tmp_path: Path) -> None:
    first = boot_record(entry(0x83, 2048, 4096, active=True), entry(5, 8192, 8192))
    path = disk(tmp_path / "disk", (0, first), (8192, boot_record(entry(0x83, 2048, 4096))))
    told = parted_reader._read(str(path))
    assert told["label"] == "msdos"
    assert [(p["number"], p["start"], p["length"], p["extended"]) for p in told["partitions"]] == [
        (1, 2048, 4096, False),
        (2, 8192, 8192, True),
        (5, 10240, 4096, False),
    ]
    assert told["partitions"][0]["flags"] == ["boot"]
    assert {p["name"] for p in told["partitions"]} == {""}


def test_a_disk_without_a_table_is_told_with_the_reason(tmp_path: Path) -> None:
    told = parted_reader._read(str(disk(tmp_path / "disk")))
    assert (told["label"], told["partitions"]) == ("", [])
    assert any("unrecognised disk label" in remark for remark in told["remarks"])


def test_what_libparted_would_mend_is_ignored_and_nothing_is_written(tmp_path: Path) -> None:
    """A partition that reaches out of the disk: the question is answered, and the disk stays as it is."""
    path = disk(tmp_path / "disk", (0, boot_record(entry(0x83, 2048, 1 << 24))))
    before = path.read_bytes()
    told = parted_reader._read(str(path))
    assert told["remarks"]
    assert not any("\n" in remark for remark in told["remarks"])
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["none", "directory"])
def test_what_cannot_be_opened_is_a_remark(tmp_path: Path, name: str) -> None:
    (tmp_path / "directory").mkdir()
    told = parted_reader._read(str(tmp_path / name))
    assert (told["label"], told["partitions"]) == ("", [])
    assert told["remarks"]

"""Which disk a block device is: its serial number, wherever this kind of device has it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from guestrepair.disk import relation
from guestrepair.disk.image import Format, Layer
from guestrepair.disk.inuse import Tables
from guestrepair.disk.manifest import Identity, Manifest, Phase
from guestrepair.disk.relation import MAX_SERIAL, FileMarks, Relation, relate, serial_number

DISK, PARTITION = os.makedev(259, 0), os.makedev(259, 1)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """A disk with a partition, as sysfs shows them: links from numbers to where they hang."""
    home = tmp_path / "sys/devices/pci/nvme0n1"
    (home / "nvme0n1p1").mkdir(parents=True)
    (home / "nvme0n1p1/partition").write_text("1\n")
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/259:0").symlink_to(home)
    (tmp_path / "sys/dev/block/259:1").symlink_to(home / "nvme0n1p1")
    return Tables(sys=tmp_path / "sys")


@pytest.mark.parametrize(
    ("name", "content", "serial"),
    [
        ("serial", b"WD-1234\n", "WD-1234"),
        ("device/serial", b"  S5GX \0\n", "S5GX"),
        ("wwid", b"eui.0025\n", "eui.0025"),
        ("device/wwid", b"t10.ATA\xff\n", "t10.ATA\\xff"),
        ("dm/uuid", b"LVM-abc\n", "LVM-abc"),
        ("serial", b"x" * 999, "x" * MAX_SERIAL),
        ("serial", b"\n", ""),
        ("model", b"BIGDISK\n", ""),
    ],
)
def test_a_serial_number_is_looked_for_where_devices_have_it(
    tables: Tables, name: str, content: bytes, serial: str
) -> None:
    file = tables.device(DISK) / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    assert serial_number(DISK, tables) == serial
    assert serial_number(PARTITION, tables) == (f"{serial}:1" if serial else "")


def test_a_device_that_sysfs_does_not_know_has_none(tables: Tables) -> None:
    assert serial_number(os.makedev(8, 0), tables) == ""


def manifest(path: Path, serial: str) -> Manifest:
    return Manifest(
        identifier="one",
        time="2026-01-01T00:00:00+00:00",
        tool_version="0.0",
        phase=Phase.COMMITTED,
        path=str(path),
        inode=(0, DISK),
        format="raw",
        virtual_size_bytes=4096,
        before=Identity(0, 0),
        serial=serial,
    )


@pytest.mark.parametrize(
    ("was", "now", "elsewhere", "expected"),
    [
        ("A", "A", False, Relation(same_path=True, same_file=True, vacant=True)),
        ("A", "A", True, Relation(same_path=False, same_file=True, vacant=True)),
        ("A", "B", False, Relation(same_path=False, same_file=False, vacant=True)),
        ("A", "", False, Relation(same_path=True, same_file=None, vacant=True)),
        ("", "B", False, Relation(same_path=True, same_file=None, vacant=True)),
    ],
)
def test_a_name_says_nothing_of_a_device_whose_serial_number_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was: str, now: str, elsewhere: bool, expected: Relation
) -> None:
    marks: FileMarks = {"inode": (0, DISK), "generation": 0, "serial": now}
    monkeypatch.setattr(relation, "_marks", lambda _path: marks)
    device = tmp_path / "sdb"
    recorded = manifest(tmp_path / "sdc" if elsewhere else device, was)
    found = relate(recorded, Layer(device, Format.RAW, is_block_device=True))
    assert found == expected
    assert found.near is (expected.same_path or expected.same_file is True)


def test_a_filesystem_without_generations_is_told_by_numbers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(4096))
    monkeypatch.setattr("fcntl.ioctl", _refuse)
    marks = relation.file_marks(Layer(disk, Format.RAW))
    assert (marks["generation"], marks["inode"][1]) == (0, disk.stat().st_ino)
    recorded = dataclasses.replace(manifest(disk, ""), inode=marks["inode"])
    assert relate(recorded, Layer(disk, Format.RAW)).same_file is True
    disk.rename(tmp_path / "away")
    disk.write_bytes(bytes(4096))
    assert relate(recorded, Layer(disk, Format.RAW)).same_file is False


def _refuse(*_request: object) -> None:
    raise OSError(25, "Inappropriate ioctl for device")

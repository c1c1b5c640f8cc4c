"""Partition tables as facts: the table of each disk, or why it cannot be read; whose boot code is there."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.guest.devices import BlockDevices, Disk
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.boot_loader import BootCodeKind
from guestrepair.system.fact import Unreadable
from guestrepair.system.partitions import Partitions, PartitionTable

SECTORS = 4096


def guest_of(*disks: tuple[str, bytes | None]) -> MemoryGuest:
    given_disks = tuple(Disk(name, "x", SECTORS * 512, table="dos") for name, _ in disks)
    guest = MemoryGuest(block=BlockDevices(given_disks, ()))
    guest.devices = {name: content for name, content in disks if content is not None}
    return guest


def disk(code: bytes = b"") -> bytes:
    content = bytearray(SECTORS * 512)
    content[: len(code)] = code
    content[446:462] = struct.pack("<B3sB3sII", 0x80, b"", 0x83, b"", 64, 1000)
    content[510:512] = b"\x55\xaa"
    return bytes(content)


def test_each_disk_has_its_table_or_says_why_not() -> None:
    tables = Partitions(guest_of(("/dev/sda", disk()), ("/dev/sdb", None))).tables
    first, second = tables
    assert isinstance(first, PartitionTable)
    assert [(s.name, s.first_sector, s.end_sector, s.type) for s in first.slots] == [
        ("/dev/sda1", 64, 1064, "0x83")
    ]
    assert not first.is_gpt
    assert second == Unreadable("/dev/sdb", "no such device")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (b"", BootCodeKind.NONE),
        (b"\xeb\x63\x90\0GRUB \0", BootCodeKind.GRUB),
        (b"\xeb\x48\x90\0GRUB \0", BootCodeKind.GRUB_LEGACY),
        (b"\xfa\x31\xc0", BootCodeKind.OTHER),
    ],
)
def test_whose_boot_code_it_is(code: bytes, kind: BootCodeKind) -> None:
    code = code.ljust(0x5C, b"\0") + (34).to_bytes(8, "little") if code else code
    (table,) = Partitions(guest_of(("/dev/sda", disk(code)))).tables
    assert isinstance(table, PartitionTable)
    assert table.boot_code is kind
    assert table.core_sector == (34 if code else 0)
    assert table.bytes_at(SECTORS * 512 - 1, 10) == b"\0"
    assert table.sectors(0, 1) == disk(code)[:512]


@given(st.binary(min_size=512, max_size=2048))
def test_hostile_sectors_give_a_table(content: bytes) -> None:
    (table,) = Partitions(guest_of(("/dev/sda", content.ljust(SECTORS * 512, b"\0")))).tables
    assert isinstance(table, PartitionTable)
    assert all(slot.number > 0 for slot in table.slots)

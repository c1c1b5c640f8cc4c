"""GPT and MBR bytes: judged, and built so that another program finds them right."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.gpt import (
    GptCopy,
    GptHeader,
    backup_from_primary,
    build_header,
    moved_to_end,
    parse_entries,
    parse_header,
    primary_from_backup,
    read_copy,
)
from guestrepair.formats.mbr import MbrEntry, parse_logical, parse_mbr, protective_entries

ENTRIES = bytes(16384)
HEADER = GptHeader(0x10000, 92, 1, 999, 34, 966, b"0123456789abcdef", 2, 128, 128, 0xAB54D286)


def copy_of(sectors: dict[int, bytes], where: int, total: int = 1000) -> GptCopy:
    def read(first: int, count: int) -> bytes:
        return b"".join(sectors.get(first + i, bytes(512)) for i in range(count))

    return read_copy(read, where, sector_bytes=512, total_sectors=total)


def test_round_trip() -> None:
    raw = build_header(HEADER, sector_bytes=512)
    assert len(raw) == 512
    assert parse_header(raw) == HEADER
    assert copy_of({1: raw}, 1).is_sound


def test_each_copy_is_built_from_the_other() -> None:
    backup = backup_from_primary(HEADER, total_sectors=1000, sector_bytes=512)
    assert (backup.my_sector, backup.alternate_sector, backup.entries_sector) == (999, 1, 967)
    assert copy_of({999: build_header(backup, sector_bytes=512)}, 999).is_sound
    assert primary_from_backup(backup) == HEADER


def test_grown_disk() -> None:
    moved = moved_to_end(HEADER, total_sectors=2000, sector_bytes=512)
    assert (moved.alternate_sector, moved.last_usable) == (1999, 1966)
    assert copy_of({1: build_header(moved, sector_bytes=512)}, 1, 2000).is_sound


def test_entries_that_linux_makes_no_device_of_are_left_out() -> None:
    """A mebibyte of entries would be thousands of partitions, each of which is looked at."""
    entry = struct.pack("<16s16sQQQ72s", b"t" * 16, b"u" * 16, 2048, 4095, 0, b"")
    header = replace(HEADER, entry_count=8192)
    found = parse_entries(header, entry * 8192)
    assert [partition.number for partition in found] == list(range(1, 256))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (replace(HEADER, my_sector=7), "it says that it stands at sector 7"),
        (replace(HEADER, entries_sector=5000), "off the disk"),
        (replace(HEADER, entries_crc=1), "checksum of its partition entries"),
        (replace(HEADER, entry_bytes=2**31), "impossible size"),
        (replace(HEADER, entry_count=2**31), "impossible size"),
        (replace(HEADER, first_usable=967), "range of usable sectors"),
    ],
)
def test_problems(wrong: GptHeader, says: str) -> None:
    found = copy_of({1: build_header(wrong, sector_bytes=512)}, 1)
    assert not found.is_sound
    assert says in found.problems[0]


def test_changed_byte_breaks_the_checksum() -> None:
    raw = bytearray(build_header(HEADER, sector_bytes=512))
    raw[60] ^= 1
    assert copy_of({1: bytes(raw)}, 1).problems == ("the checksum of its header is wrong",)


@given(st.binary(max_size=512), st.integers(0, 2000))
def test_hostile_header(data: bytes, where: int) -> None:
    raw = b"EFI PART" + data[8:]
    assert isinstance(copy_of({where: raw}, where), GptCopy)


def test_protective_record() -> None:
    mbr = parse_mbr(bytes(446) + protective_entries(1000))
    assert mbr is not None
    assert [(e.type, e.first_sector, e.sector_count) for e in mbr.protective] == [(0xEE, 1, 999)]
    assert not mbr.is_hybrid
    large = parse_mbr(bytes(446) + protective_entries(2**40))
    assert large is not None
    assert large.protective[0].sector_count == 0xFFFFFFFF


def entry(status: int, kind: int, first: int, count: int) -> bytes:
    return struct.pack("<B3sB3sII", status, b"", kind, b"", first, count)


def record(*entries: bytes) -> bytes:
    return bytes(446) + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


def test_logical_chain_that_loops_ends() -> None:
    extended = MbrEntry(2, 0, 5, 1000, 1000)
    sectors = {
        1000: record(entry(0, 0x83, 10, 20), entry(0, 5, 100, 100)),
        1100: record(entry(0, 0x82, 10, 20), entry(0, 5, 100, 100)),
    }
    found = parse_logical(lambda n: sectors.get(n, b""), extended)
    assert [(e.number, e.type, e.first_sector) for e in found] == [(5, 0x83, 1010), (6, 0x82, 1110)]


def test_long_chain_is_cut() -> None:
    extended = MbrEntry(1, 0, 5, 100, 10**6)

    def sector(number: int) -> bytes:
        return record(entry(0, 0x83, 1, 1), entry(0, 5, number - 100 + 2, 2))

    assert len(parse_logical(sector, extended)) == 120


@given(st.binary(min_size=512, max_size=512))
def test_hostile_record(data: bytes) -> None:
    mbr = parse_mbr(data[:510] + b"\x55\xaa")
    assert mbr is not None
    for found in mbr.entries:
        parse_logical(lambda _n: data[:510] + b"\x55\xaa", found)

"""Journal files: every layout and packing, and each kind of damage, which costs what it hit."""

from __future__ import annotations

import lzma
from functools import partial

import lz4.block
import pytest

from guestrepair.errors import FormatError
from guestrepair.formats import journal_file
from guestrepair.formats.journal_file import Damage, Entry, entries
from tests.support.libraries import zstd
from tests.unit.formats.journals import BOOT, START_US, Journal


def piece(data: bytes, offset: int, size: int) -> bytes:
    return data[offset : offset + size]


def read(data: bytes, **limits: int) -> tuple[list[Entry], list[str]]:
    found = list(entries(partial(piece, data), len(data), **limits))
    return [f for f in found if isinstance(f, Entry)], [f.reason for f in found if isinstance(f, Damage)]


def some(count: int = 5, *, compact: bool = False) -> Journal:
    journal = Journal(compact=compact)
    for number in range(count):
        journal.add([("MESSAGE", b"line %d" % number), ("_UID", b"0"), ("_UID", b"1")])
    return journal


@pytest.mark.parametrize("compact", [False, True])
def test_entries_with_their_fields_in_order(compact: bool) -> None:
    found, damaged = read(some(compact=compact).done())
    assert damaged == []
    assert [e.fields for e in found] == [
        (("MESSAGE", b"line %d" % n), ("_UID", b"0"), ("_UID", b"1")) for n in range(5)
    ]
    assert [e.seqnum for e in found] == [1, 2, 3, 4, 5]
    assert found[0].realtime_us == START_US + 1_000_000
    assert (found[0].boot_id, found[0].monotonic_us) == (BOOT.hex(), 5_000_000)


def packed(kind: str, value: bytes) -> tuple[bytes, int]:
    if kind == "xz":
        return lzma.compress(value), 1
    if kind == "lz4":
        return len(value).to_bytes(8, "little") + lz4.block.compress(value, store_size=False), 2
    return zstd.compress(value), 4


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("kind", ["xz", "lz4", "zstd"])
def test_packed_values(kind: str, compact: bool) -> None:
    journal = Journal(compact=compact)
    value = b"MESSAGE=" + b"abc" * 4000
    payload, flags = packed(kind, value)
    at = journal.field(payload, flags)
    journal._known[value] = at
    journal.add([("MESSAGE", b"abc" * 4000)])
    found, damaged = read(journal.done())
    assert damaged == []
    assert found[0].fields == (("MESSAGE", b"abc" * 4000),)
    (short,), _ = read(journal.done(), value_bytes=100)
    assert 100 <= len(short.fields[0][1]) < 400


@pytest.mark.parametrize("kind", ["xz", "lz4", "zstd"])
def test_a_packed_value_that_is_damaged_costs_itself(kind: str) -> None:
    journal = Journal()
    payload, flags = packed(kind, b"MESSAGE=" + b"abc" * 4000)
    at = journal.field(payload[:-1] if kind == "lz4" else b"\0" + payload[1:], flags)
    journal._known[b"MESSAGE=x"] = at
    journal.add([("MESSAGE", b"x"), ("PRIORITY", b"6")])
    found, damaged = read(journal.done())
    assert found[0].fields == (("PRIORITY", b"6"),)
    assert damaged == [f"a field of entry 1 (at {at}) cannot be read"]


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize(
    ("where", "byte"),
    [(0, 9), (0, 1), (1, 7), (2, 1), (8, 200), (9, 4), (12, 1), (15, 0x80), (16, 0xFF), (24, 0xFF)],
)
def test_a_damaged_entry_costs_itself_alone(compact: bool, where: int, byte: int) -> None:
    journal = some(9, compact=compact)
    data = bytearray(journal.done())
    data[journal.offsets[4] + where] ^= byte
    found, _ = read(bytes(data))
    others = [offset for n, offset in enumerate(journal.offsets) if n != 4]
    assert set(others) <= {e.offset for e in found}
    assert all(len(e.fields) == 3 for e in found if e.offset != journal.offsets[4])


@pytest.mark.parametrize("compact", [False, True])
def test_a_damaged_field_costs_itself_in_each_entry(compact: bool) -> None:
    journal = some(3, compact=compact)
    data = bytearray(journal.done())
    data[journal._known[b"_UID=0"]] = 5
    found, damaged = read(bytes(data))
    assert [e.fields for e in found] == [(("MESSAGE", b"line %d" % n), ("_UID", b"1")) for n in range(3)]
    assert len(damaged) >= 3


def test_an_object_that_swallows_others_is_found_out_by_the_index() -> None:
    journal = some(9)
    data = bytearray(journal.done())
    first, fifth = journal._known[b"MESSAGE=line 1"], journal.offsets[5]
    data[first + 8 : first + 16] = (fifth - first).to_bytes(8, "little")  # up to another object's start
    found, _ = read(bytes(data))
    assert sorted(e.offset for e in found) == journal.offsets


def test_a_wrong_flag_of_the_layout_is_seen_through() -> None:
    for compact in (False, True):
        data = bytearray(some(4, compact=compact).done())
        data[12] ^= 16
        found, _ = read(bytes(data))
        assert [len(e.fields) for e in found] == [3, 3, 3, 3]


def test_a_format_of_the_future_is_said_and_read() -> None:
    data = bytearray(some(4).done())
    data[13] = 1
    found, damaged = read(bytes(data))
    assert len(found) == 4
    assert damaged == ["flags 0x100: a format that is newer, or damaged; read as far as it goes"]


@pytest.mark.parametrize("target", ["itself", "start", "outside"])
def test_an_index_that_leads_in_circles_ends(target: str) -> None:
    journal = some(4)
    at = len(journal.data)
    leads = {"itself": at, "start": 272, "outside": 1 << 50}[target]
    found, damaged = read(journal.done(next_array=leads))
    assert len(found) == 4
    assert damaged == ["the index of entries is damaged, or leads backwards"]


def test_an_index_that_names_nothing_is_said() -> None:
    journal = some(4)
    found, damaged = read(journal.done(array=[*journal.offsets, 280, 1 << 60, 3]))
    assert len(found) == 4
    assert len(damaged) == 3


def test_the_signature_may_be_damaged_and_the_header_wiped() -> None:
    data = bytearray(some(4).done())
    data[0] = 0
    assert len(read(bytes(data))[0]) == 4
    data[24:272] = bytes(248)
    assert len(read(bytes(data))[0]) == 4


@pytest.mark.parametrize("data", [b"", b"LPKSHHRH", bytes(4096), b"\x7fELF" * 2000])
def test_what_is_no_journal(data: bytes) -> None:
    with pytest.raises(FormatError):
        read(data)


def test_a_cut_journal_and_one_of_zeros() -> None:
    journal = some(20)
    data = journal.done()
    found, damaged = read(data[: journal.offsets[10] + 70])
    assert len(found) == 10
    assert damaged
    wiped = data[:272] + bytes(len(data) - 272)
    found, damaged = read(wiped)
    assert found == []
    assert damaged


def test_a_journal_of_a_hundred_gigabytes_of_zeros_ends_soon() -> None:
    data, reads = some(4).done(), []

    def sparse(offset: int, size: int) -> bytes:
        reads.append(size)
        return data[offset : offset + size].ljust(size, b"\0")

    found = list(entries(sparse, 100 << 30))
    assert sum(isinstance(f, Entry) for f in found) == 4
    assert sum(reads) < 1 << 20


def test_objects_that_refer_to_each_other_over_and_over_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestrepair.formats.journal_data._KEPT_PAGES", 1)
    monkeypatch.setattr("guestrepair.formats.journal_data._KEPT_FIELDS", 1)
    journal = Journal()
    journal.add([("A", b"1")])
    monkeypatch.setattr("guestrepair.formats.journal_data._READ_BYTES", 0)
    for name in "BCD":
        journal.add([(name, bytes(300_000))])
    for _ in range(40):
        journal.add([("A", b"1"), *((name, bytes(300_000)) for name in "BCD")] * 10)
    found, damaged = read(journal.done(), value_bytes=100)
    assert damaged[-1] == "its objects refer to each other over and over: not all were read"
    assert len(found) < 44


def test_many_damages_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_file, "MAX_DAMAGES", 10)
    journal = some(4)
    _, damaged = read(journal.done(array=[*journal.offsets, *range(8, 408, 8)]))
    assert len(damaged) == 11
    assert damaged[-1] == "40 more damaged objects"


def test_an_entry_of_too_many_fields_gives_its_first() -> None:
    journal = Journal()
    journal.add([("A", b"1")] * 5000)
    (entry,), _ = read(journal.done())
    assert len(entry.fields) == journal_file.MAX_ITEMS

"""Journals of ext4: each layout of tags, copies that were written over, and what is no journal."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import pytest

from guestrepair.formats.ext_journal import MAGIC, Journal, parse_shape
from guestrepair.formats.superblock.checksums import crc32c

BLOCK, BLOCKS = 1024, 32
UUID = bytes(range(16))
CSUM_V3, CSUM_V2, WIDE = 0x10, 0x8, 0x2
LAYOUTS = [0, WIDE, CSUM_V2, CSUM_V2 | WIDE, CSUM_V3, CSUM_V3 | WIDE]
HIGH = 1 << 33


def head(kind: int, sequence: int) -> bytes:
    return struct.pack(">III", MAGIC, kind, sequence)


class Made:
    """A journal in memory."""

    def __init__(self, incompat: int) -> None:
        self.incompat = incompat
        self.data = bytearray(BLOCKS * BLOCK)
        shape = struct.pack(">III", BLOCK, BLOCKS, 1)
        self.put(0, head(4, 0) + shape + bytes(16) + struct.pack(">I", incompat) + bytes(4) + UUID)

    def put(self, place: int, data: bytes) -> None:
        self.data[place * BLOCK : place * BLOCK + len(data)] = data

    def checksum(self, sequence: int, data: bytes) -> int:
        found = crc32c(data, crc32c(sequence.to_bytes(4, "big"), crc32c(UUID)))
        return found if self.incompat & CSUM_V3 else found & 0xFFFF

    def write(
        self, place: int, sequence: int, copies: Sequence[tuple[int, bytes]], *, ends: bool = True
    ) -> None:
        """A transaction from a place on: a descriptor, its copies, its end."""
        tags = b""
        first = place
        for index, (block, data) in enumerate(copies):
            place = place + 1 if place + 1 < BLOCKS else 1
            escaped = data[:4] == MAGIC.to_bytes(4, "big")
            kept = bytes(4) + data[4:] if escaped else data
            self.put(place, kept)
            flags = escaped | (2 if index else 0) | (8 if index == len(copies) - 1 else 0)
            tags += self.tag(block, self.checksum(sequence, kept), flags) + (b"" if index else UUID)
        self.put(first, (head(1, sequence) + tags).ljust(BLOCK, b"\0"))
        if ends:
            self.put(place + 1 if place + 1 < BLOCKS else 1, head(2, sequence).ljust(BLOCK, b"\0"))

    def tag(self, block: int, checksum: int, flags: int) -> bytes:
        if self.incompat & CSUM_V3:
            return struct.pack(">IIII", block & 0xFFFFFFFF, flags, block >> 32, checksum)
        tag = struct.pack(">IHH", block & 0xFFFFFFFF, checksum if self.incompat & CSUM_V2 else 0, flags)
        tag += struct.pack(">I", block >> 32) if self.incompat & WIDE else b""
        return tag + (b"\0\0" if self.incompat & CSUM_V2 else b"")

    def opened(self) -> Journal:
        return Journal(self.read())

    def read(self) -> Callable[[int, int], bytes]:
        return lambda offset, size: bytes(self.data[offset : offset + size])


def filled(letter: bytes) -> bytes:
    return letter * BLOCK


@pytest.mark.parametrize("incompat", LAYOUTS)
def test_copies_in_the_order_of_their_transactions(incompat: int) -> None:
    made = Made(incompat)
    far = 7 + (HIGH if incompat & WIDE else 0)
    made.write(20, 5, [(far, filled(b"n")), (9, filled(b"x"))])
    made.write(1, 4, [(far, filled(b"o")), (8, filled(b"y")), (6, filled(b"z"))])
    journal = made.opened()
    assert set(journal.blocks) == {far, 9, 8, 6}
    assert list(journal.copies(far)) == [(4, filled(b"o")), (5, filled(b"n"))]
    assert list(journal.copies(1)) == []


@pytest.mark.parametrize("incompat", LAYOUTS)
def test_a_copy_that_looks_like_the_journals_own_is_put_right(incompat: int) -> None:
    made = Made(incompat)
    data = MAGIC.to_bytes(4, "big") + filled(b"m")[4:]
    made.write(3, 4, [(7, data)])
    assert list(made.opened().copies(7)) == [(4, data)]


@pytest.mark.parametrize("incompat", LAYOUTS)
def test_a_transaction_goes_on_at_the_start(incompat: int) -> None:
    made = Made(incompat)
    made.write(BLOCKS - 2, 4, [(7, filled(b"a")), (8, filled(b"b")), (9, filled(b"c"))])
    journal = made.opened()
    assert [list(journal.copies(n)) for n in (7, 8, 9)] == [
        [(4, filled(b"a"))], [(4, filled(b"b"))], [(4, filled(b"c"))]
    ]  # fmt: skip


@pytest.mark.parametrize("incompat", LAYOUTS)
def test_what_was_written_over_is_left_out(incompat: int) -> None:
    made = Made(incompat)
    made.write(1, 4, [(7, filled(b"a")), (8, filled(b"b")), (9, filled(b"c"))])
    made.write(3, 5, [(10, filled(b"d"))])  # over the copies of 8 and 9
    journal = made.opened()
    assert list(journal.copies(8)) == []
    assert list(journal.copies(9)) == []
    assert list(journal.copies(10)) == [(5, filled(b"d"))]


def test_without_checksums_a_transaction_must_have_an_end() -> None:
    made = Made(0)
    made.write(1, 4, [(7, filled(b"a"))], ends=False)
    assert list(made.opened().copies(7)) == []
    summed = Made(CSUM_V3)
    summed.write(1, 4, [(7, filled(b"a"))], ends=False)
    assert list(summed.opened().copies(7)) == [(4, filled(b"a"))]


def test_a_damaged_copy_is_left_out() -> None:
    made = Made(CSUM_V3)
    made.write(1, 4, [(7, filled(b"a")), (8, filled(b"b"))])
    made.data[2 * BLOCK + 100] ^= 1
    journal = made.opened()
    assert list(journal.copies(7)) == []
    assert list(journal.copies(8)) == [(4, filled(b"b"))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(2048),
        head(4, 0) + bytes(2000),
        head(1, 0) + struct.pack(">III", 1024, 9, 1) + bytes(2000),
        head(4, 0) + struct.pack(">III", 1000, 9, 1) + bytes(2000),
        head(4, 0) + struct.pack(">III", 1024, 1, 1) + bytes(2000),
    ],
)
def test_what_is_no_journal(data: bytes) -> None:
    assert parse_shape(data) is None
    journal = Journal(lambda offset, size: data[offset : offset + size])
    assert not journal.blocks
    assert list(journal.copies(7)) == []

"""Extended attributes as they stand in ext4 and XFS, and which of them a kernel gives out as they are."""

from __future__ import annotations

import struct

import pytest

from guestrepair.formats.attribute_values import given_out
from guestrepair.formats.ext_attributes import Entry, collected, parse_entries
from guestrepair.formats.posix_acl import acl_text
from guestrepair.formats.xfs_attributes import leaf_attributes, name_hash

NO = 0xFFFFFFFF


def entry(name: bytes, place: int, size: int, namespace: int = 1, elsewhere: int = 0) -> bytes:
    head = struct.pack("<BBHIII", len(name), namespace, place, elsewhere, size, 0)
    return (head + name).ljust((16 + len(name) + 3) // 4 * 4, b"\0")


def test_attributes_lie_behind_their_names_each_in_its_own_place() -> None:
    both = entry(b"one", 44, 8) + entry(b"two", 52, 5) + bytes(4)
    data = both + b"ONE VALU" + b"OTHER\0\0\0"
    found = parse_entries(data)
    assert found == [(1, b"one", b"ONE VALU"), (1, b"two", b"OTHER")]
    assert collected(found) == {b"user.one": b"ONE VALU", b"user.two": b"OTHER"}
    assert collected([*found, found[0]]) is None  # twice
    assert collected([found[0]._replace(namespace=9)]) is None
    for wrong in (
        entry(b"one", 20, 8) + bytes(4),  # in its own entry
        entry(b"one", 24, 9) + bytes(4) + bytes(8),  # beyond the end
        entry(b"one", 24, 8, elsewhere=12) + bytes(12),
        entry(b"o\0e", 24, 8) + bytes(12),
        entry(b"one", 44, 40) + entry(b"two", 44, 40) + bytes(4) + bytes(40),  # both in one place
        entry(b"one", 24, 8),  # no end
    ):
        assert parse_entries(wrong) is None


def test_access_lists_are_given_out_in_the_form_of_a_kernel() -> None:
    short = struct.pack("<IHHHHHHHH", 1, 1, 7, 4, 5, 0x10, 5, 0x20, 0)
    shown = struct.pack("<IHHIHHIHHIHHI", 2, 1, 7, NO, 4, 5, NO, 0x10, 5, NO, 0x20, 0, NO)
    assert collected([Entry(2, b"", short)]) == {b"system.posix_acl_access": shown}
    whose = struct.pack("<IHHHHIHHHHHH", 1, 1, 7, 2, 6, 1000, 4, 5, 0x10, 5, 0x20, 0)
    found = collected([Entry(3, b"", whose)]) or {}
    assert acl_text(found[b"system.posix_acl_default"]) == "u::rwx,u:1000:rw-,g::r-x,m::r-x,o::---"
    for wrong in (
        short[:-1],
        b"\2" + short[1:],
        short[:4],
        short + short[4:8],
        short[:8] + b"\xff" + short[9:],
    ):
        assert collected([Entry(2, b"", wrong)]) is None
    assert collected([Entry(2, b"name", short)]) is None


@pytest.mark.parametrize(
    ("name", "value", "is_given"),
    [
        (b"user.a", b"", True),
        (b"user.", b"", False),
        (b"lustre.a", b"", False),
        (b"security.selinux", b"label\0", True),
        (b"security.capability", struct.pack("<5I", 0x02000001, 1, 0, 0, 0), True),
        (b"security.capability", struct.pack("<3I", 0x01000001, 1, 0), False),  # refused
        (b"security.capability", struct.pack("<6I", 0x03000001, 1, 0, 0, 0, 0), False),  # in another form
        (b"trusted.a", bytes(65537), False),
        ("user.ü".encode(), b"", False),
    ],
)
def test_what_is_given_out(name: bytes, value: bytes, is_given: bool) -> None:
    assert given_out({name: value}, is_special=False) == ({name: value} if is_given else None)
    assert given_out({b"user.a": b"", name: value}, is_special=True) is None  # a device has none of users


def leaf(*attributes: tuple[int, int, bytes], names: bytes) -> bytes:
    """A leaf of 256 bytes: hashes, places and flags of attributes, and what lies at its end."""
    entries = b"".join(struct.pack(">IHBx", name_hash(name), at, flags) for at, flags, name in attributes)
    head = bytes(56) + len(attributes).to_bytes(2, "big") + bytes(22)
    return (head + entries).ljust(256 - len(names), b"\0") + names


def test_attributes_in_a_leaf() -> None:
    names = b"\0\5\1avalue" + b"\0\0\0\7\0\0\x20\0\1b"
    data = leaf((237, 1, b"a"), (246, 0, b"b"), names=b"\0" + names)
    assert leaf_attributes(data) == [(1, b"a", b"value", 0, 0), (0, b"b", b"", 7, 0x2000)]
    for wrong in (
        leaf((237, 1, b"z"), names=b"\0" + names),  # found under another name
        leaf((246, 0, b"b"), (237, 1, b"a"), names=b"\0" + names),  # out of order
        leaf((20, 1, b"a"), names=names),  # in the head
        leaf((250, 1, b"a"), names=names),
        data[:90],
    ):
        assert leaf_attributes(wrong) is None

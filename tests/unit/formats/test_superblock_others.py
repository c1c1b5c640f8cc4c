"""Contents that no mkfs of a usual host makes: their fixed fields written by hand."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.superblock import Superblock, identify

SIZE = 80 * 1024 * 1024
RAW = bytes(range(16))
TEXT = "00010203-0405-0607-0809-0a0b0c0d0e0f"


def of(*pieces: tuple[int, bytes]) -> Superblock:
    """What is found on a large empty device with these bytes on it."""

    def read(offset: int, size: int) -> bytes:
        block = bytearray(size)
        for at, content in pieces:
            start = at - offset
            if -len(content) < start < size:
                piece = content[max(0, -start) : size - start]
                block[max(0, start) : max(0, start) + len(piece)] = piece
        return bytes(block)

    return identify(read, SIZE)


def brief(found: Superblock) -> tuple[str, str, str]:
    return found.content, found.uuid, found.label


def test_fixed_places() -> None:
    assert brief(of((32768, b"JFS1"), (32768 + 136, RAW), (32768 + 152, b"data\0"))) == ("jfs", TEXT, "data")
    assert brief(of((65536 + 52, b"ReIsEr2Fs"), (65536 + 84, RAW))) == ("reiserfs", TEXT, "")
    assert brief(of((2048, b"OCFSV2"), (2048 + 336, RAW), (2048 + 272, b"c"))) == ("ocfs2", TEXT, "c")
    assert brief(of((0, b"\0\0\0ReFS\0"))) == ("ReFS", "", "")
    assert brief(of((32, b"NXSB"), (72, RAW))) == ("apfs", TEXT, "")
    assert brief(of((0, b"\x31\x18\x10\x06"), (108, RAW))) == ("ubifs", TEXT, "")
    assert of((0, b"bluestore block device\n")).content == "ceph_bluestore"


def test_disc() -> None:
    primary = (0x8000, b"\x01CD001\x01")
    name = (0x8028, b"MY_LONG_DISC".ljust(32))
    date = (0x8000 + 830, b"2024010203040506\0")
    assert brief(of(primary, name, date)) == ("iso9660", "2024-01-02-03-04-05-06", "MY_LONG_DISC")
    joliet = (
        (0x8800, b"\x02CD001\x01"),
        (0x8858, b"%/E"),
        (0x8828, "My long".encode("utf-16-be").ljust(32, b"\0")),
    )
    assert of(primary, name, *joliet).label == "My long_DISC"


def test_zfs() -> None:
    def pair(key: bytes, kind: int, value: bytes) -> bytes:
        body = struct.pack(">I", len(key)) + key + bytes(-len(key) % 4) + struct.pack(">II", kind, 1) + value
        return struct.pack(">II", len(body) + 8, 0) + body

    values = pair(b"version", 8, struct.pack(">Q", 28)) + pair(b"name", 9, struct.pack(">I", 4) + b"tank")
    values += pair(b"pool_guid", 8, struct.pack(">Q", 123456789))
    assert brief(of((16384, b"\x01\x01\0\0" + bytes(8) + values))) == ("zfs_member", "123456789", "tank")


def test_md_of_every_place() -> None:
    def member(at: int) -> tuple[int, bytes]:
        block = bytearray(256)
        struct.pack_into("<III", block, 0, 0xA92B4EFC, 1, 0)
        block[16:32] = RAW
        block[32:37] = b"h:md0"
        struct.pack_into("<Q", block, 144, at // 512)
        total = sum(struct.unpack("<64I", block))
        struct.pack_into("<I", block, 216, (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF)
        return at, bytes(block)

    for at, version in ((0, "1.1"), (4096, "1.2"), ((SIZE & ~0xFFF) - 0x2000, "1.0")):
        found = of(member(at))
        assert (found.content, found.uuid, found.label, found.version) == (
            "linux_raid_member",
            TEXT,
            "h:md0",
            version,
        )
    broken = bytearray(member(4096)[1])
    broken[40] ^= 1
    assert of((4096, bytes(broken))).content == ""


def test_raid_wins_over_what_shows_through() -> None:
    luks = (0, b"LUKS\xba\xbe\x00\x01"), (168, b"c0ffee00-1234-4abc-8def-0123456789ab\0")
    assert of(*luks, (0x10000 + 52, b"ReIsEr3Fs")).content == "crypto_LUKS"


@given(
    st.sampled_from(
        [(0x8000, b"\x01CD001"), (16384, b"\x01\x01\0\0"), (1030, b"\x34\x34"), (0x8800, b"\x02CD001")]
    ),
    st.binary(max_size=300),
    st.integers(0, 400),
)
def test_hostile(magic: tuple[int, bytes], junk: bytes, shift: int) -> None:
    assert isinstance(of(magic, (magic[0] + len(magic[1]) + shift, junk)), Superblock)

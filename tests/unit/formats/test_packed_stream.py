"""Compressed logs: each compression as its own program writes it, damaged, cut short and far too large."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable

import lz4.frame
import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.packed_stream import PIECE_BYTES, is_packed, unpacked
from tests.support.libraries import zstd

TEXT = b"".join(b"Nov 29 10:%02d:00 host program: line %d\n" % (n % 60, n) for n in range(5_000))
LIMIT = 64 << 20
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE, preset=0),
    "bzip2": bz2.compress,
    "zstd": zstd.compress,
    "lz4": lz4.frame.compress,
}
SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0sizes"[:12]


def whole(data: bytes, piece: int = 10_000, limit: int = LIMIT) -> bytes:
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    return b"".join(unpacked(pieces, limit_bytes=limit))


@pytest.mark.parametrize("kind", PACK)
def test_each_is_unpacked_piece_by_piece_and_so_are_several_members(kind: str) -> None:
    packed = PACK[kind](TEXT)
    assert is_packed(packed[:16])
    for piece in (999, len(packed)):
        assert whole(packed, piece) == TEXT
    if kind != "lzma":  # whose format has no end
        assert whole(packed + PACK[kind](b"more\n")) == TEXT + b"more\n"


@pytest.mark.parametrize("kind", PACK)
def test_what_is_cut_short_or_damaged_gives_what_is_there_and_says_so(kind: str) -> None:
    packed = PACK[kind](TEXT)
    with pytest.raises(FormatError, match="cut short"):
        whole(packed[:-20])
    with pytest.raises(FormatError, match=r"decompress|cut short"):
        whole(packed[:12] + bytes(b ^ 0xFF for b in packed[12:60]) + packed[60:])


@pytest.mark.parametrize("kind", PACK)
def test_a_bomb_is_stopped_at_the_limit_in_pieces_that_are_small(kind: str) -> None:
    pieces = unpacked([PACK[kind](bytes(8 << 20))], limit_bytes=4 << 20)
    given: list[int] = []
    with pytest.raises(FormatError, match="unpacks to more than"):
        given.extend(map(len, pieces))
    assert max(given) <= PIECE_BYTES
    assert sum(given) <= 4 << 20


def test_a_window_that_would_take_gigabytes_is_refused() -> None:
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 30,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    packer = zstd.ZstdCompressor(options=options)
    packed = packer.compress(TEXT) + packer.flush()
    with pytest.raises(FormatError, match="does not decompress"):
        whole(packed)


def test_frames_that_hold_nothing_are_passed_over() -> None:
    packed = SKIPPED + zstd.compress(b"one\n") + SKIPPED + zstd.compress(b"two\n")
    assert is_packed(packed[:16])
    assert whole(packed) == b"one\ntwo\n"


@pytest.mark.parametrize("program", ["gzip", "xz", "bzip2", "zstd", "lz4", "pzstd"])
def test_what_the_programs_themselves_write_is_read(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} on this host")
    packed = subprocess.run([program, "-1", "-c"], input=TEXT, capture_output=True, check=True).stdout
    assert whole(packed) == TEXT

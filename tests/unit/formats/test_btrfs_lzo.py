"""lzo of btrfs where its library is there, and where it is not; the kernel's own files: tests/oracle."""

from __future__ import annotations

import struct
import sys

import pytest
from lzallright import LZOCompressor

from guestrepair.errors import FormatError
from guestrepair.formats.btrfs_lzo import Lzo

SECTOR = b"a line that comes again and again\n" * 120


def extent(sector: bytes) -> bytes:
    piece = LZOCompressor().compress(sector)
    held = struct.pack("<I", len(piece)) + piece
    return struct.pack("<I", len(held) + 4) + held


def test_a_sector_is_unpacked() -> None:
    assert Lzo().decompress(extent(SECTOR[:4096]), 4096) == SECTOR[:4096]


def test_without_the_library_it_is_not_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lzallright", None)
    with pytest.raises(FormatError, match="this Python lacks lzallright"):
        Lzo().decompress(extent(SECTOR[:4096]), 4096)

"""Libraries that not every host has: without them others give the same, or it is said that none does."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import crc32c as crc32c_library
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.superblock import checksums
from guestrepair.formats.unpackers import ZSTD_WINDOW_LOG, SmallSteps, Unpacker, zstd
from tests.support.libraries import zstd as zstd_library

TEXT = b"".join(b"Nov 29 10:%02d:00 host program: line %d\n" % (n % 60, n) for n in range(20_000))
SKIPPED = b"\x50\x2a\x4d\x18\x05\0\0\0sizes"


def drained(unpacker: Unpacker, data: bytes, piece: int, most: int) -> tuple[bytes, bool, bytes]:
    """What comes out, whether it came the end, and what was left; never more at once than asked for."""
    out, at = b"", 0
    while not unpacker.eof:
        fed = b""
        if unpacker.needs_input:
            fed, at = data[at : at + piece], at + piece
            if not fed:
                break
        given = unpacker.decompress(fed, most)
        assert len(given) <= most
        out += given
    return out, unpacker.eof, (unpacker.unused_data or b"") + data[at:]


@pytest.mark.parametrize("make", [zstd, SmallSteps])
@pytest.mark.parametrize(("piece", "most"), [(1, 1 << 20), (999, 1000), (1 << 20, 1 << 20), (1 << 20, 7777)])
def test_a_frame_is_unpacked_in_pieces_of_any_size_to_its_end(
    make: Callable[[], Unpacker], piece: int, most: int
) -> None:
    packed = zstd_library.compress(TEXT)
    assert drained(make(), packed + b"and more", piece, most) == (TEXT, True, b"and more")
    assert drained(make(), SKIPPED + packed, piece, most) == (b"", True, packed)
    assert drained(make(), packed[:-9], piece, most)[1] is False


@given(st.binary(max_size=3000), st.integers(1, 3000), st.integers(0, 2**32))
def test_both_libraries_give_the_same_of_whole_and_of_damaged_frames(
    content: bytes, piece: int, damage: int
) -> None:
    whole = zstd_library.compress(content * 3)
    packed = bytearray(whole)
    if damage % 3:
        packed[damage % len(packed)] ^= 1 << damage % 8

    def outcome(unpacker: Unpacker) -> tuple[bytes, bool, bytes] | None:
        try:
            return drained(unpacker, bytes(packed), piece, 1 << 20)
        except Exception:  # each library has an error of its own
            return None

    first, second = outcome(zstd()), outcome(SmallSteps())
    if bytes(packed) == whole:
        assert first == second == (content * 3, True, b"")
    elif first and second and first[1] and second[1]:
        # Each has a libzstd of its own, and a newer one refuses more of what is damaged.
        assert first == second


def test_a_bomb_takes_no_more_memory_than_a_step_gives() -> None:
    bomb = zstd_library.compress(bytes(256 << 20))
    tracemalloc.start()
    unpacker = SmallSteps()
    unpacker.decompress(bomb, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80 << 20


def test_a_window_that_is_too_large_is_refused() -> None:
    def packed(window_log: int) -> bytes:
        options: dict[int, int] = {
            zstd_library.CompressionParameter.window_log: window_log,
            zstd_library.CompressionParameter.enable_long_distance_matching: 1,
        }
        compressor = zstd_library.ZstdCompressor(options=options)
        return compressor.compress(b"begin") + compressor.compress(b"and end") + compressor.flush()

    for make in (zstd, SmallSteps):
        assert drained(make(), packed(ZSTD_WINDOW_LOG), 99, 99)[0] == b"beginand end"
        with pytest.raises(Exception, match=r"[Mm]emory|window"):
            drained(make(), packed(ZSTD_WINDOW_LOG + 1), 99, 99)


def python_without(tmp_path: Path, modules: list[str], program: str) -> str:
    """What a Python prints that cannot import these."""
    for module in modules:
        (tmp_path / f"{module}.py").write_text("raise ImportError\n")
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the standard library has zstd")
def test_the_second_best_is_used_where_the_best_is_missing(tmp_path: Path) -> None:
    program = (
        "from guestrepair.formats.unpackers import zstd, UNPACKERS\n"
        "from guestrepair.errors import FormatError\n"
        "for make in (zstd, UNPACKERS['lz4-frame']):\n"
        "    try: print(type(make()).__name__)\n"
        "    except FormatError as error: print(error)\n"
    )
    assert python_without(tmp_path, ["backports"], program).splitlines()[0] == "SmallSteps"
    none = python_without(tmp_path, ["backports", "zstandard", "lz4"], program).splitlines()
    assert none == [
        "compressed by zstd, which this Python cannot read (neither backports.zstd nor zstandard is here)",
        "compressed by lz4, which this Python cannot read (lz4 is not here)",
    ]


def test_castagnoli_s_crc_is_the_same_without_its_library(tmp_path: Path) -> None:
    data = hashlib.shake_128(b"any bytes").digest(5000)
    program = (
        "from guestrepair.formats.superblock import checksums as c; import sys\n"
        f"print(c._library, c.crc32c({data!r}), c.crc32c({data!r}, 77))"
    )
    without = python_without(tmp_path, ["crc32c"], program)
    assert without == f"None {checksums.crc32c(data)} {checksums.crc32c(data, 77)}"
    assert checksums.crc32c(data) == crc32c_library.crc32c(data) ^ 0xFFFFFFFF

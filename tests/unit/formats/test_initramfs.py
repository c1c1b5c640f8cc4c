"""What is in an initramfs, whatever it is compressed with, and however it was made to do harm."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time
import zlib
from collections.abc import Callable

import lz4.block
import pytest

from guestrepair.errors import FormatError
from guestrepair.formats import initramfs
from guestrepair.formats.initramfs import Image, unpack
from guestrepair.formats.initramfs_tools import parse_modules_setting
from tests.support.initramfs import FOLDER, LINK, cpio, member
from tests.support.libraries import zstd

MIB = 1024 * 1024


def lz4_legacy(data: bytes) -> bytes:
    blocks = (data[i : i + 8 * MIB] for i in range(0, len(data), 8 * MIB))
    packed = [lz4.block.compress(block, store_size=False) for block in blocks]
    return b"\x02\x21\x4c\x18" + b"".join(len(p).to_bytes(4, "little") + p for p in packed)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda d: bytes(zstd.compress(d)),
    "xz": lambda d: lzma.compress(d, check=lzma.CHECK_CRC32),
    "lzma": lambda d: lzma.compress(d, format=lzma.FORMAT_ALONE),
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lz4": lz4_legacy,
}


def look(data: bytes) -> Image:
    return initramfs.examine(lambda offset, size: data[offset : offset + size], len(data))


# --- names and contents -------------------------------------------------------------------------

KO = "lib/modules/6.1/kernel/drivers/block/virtio_blk.ko"
MAIN = cpio(
    member("usr", b"", FOLDER),
    member(f"usr/{KO}", b"elf" * 1000),
    member("./usr/sbin/lvm", b"elf"),
    member("/conf/modules", b"dm_mod\n"),
    member("sbin", b"usr/sbin", LINK),
    member("usr/lib/modules/6.1/modules.dep", b"kernel/a.ko:\n"),
)
NAMES = {KO, "sbin/lvm", "conf/modules", "sbin", "lib/modules/6.1/modules.dep"}
FILES = {"conf/modules": b"dm_mod\n", "lib/modules/6.1/modules.dep": b"kernel/a.ko:\n"}


@pytest.mark.parametrize("kind", PACKERS)
def test_names_and_wanted_files_of_every_compression(kind: str) -> None:
    found = look(PACKERS[kind](MAIN))
    assert (found.problem, found.compression, found.packed_at, found.unlisted) == ("", kind, 0, "")
    assert found.names == NAMES
    assert found.files == FILES


def test_a_plain_archive_and_one_with_checksums() -> None:
    assert look(MAIN).names == NAMES
    assert look(cpio(member("a", magic=b"070702"))).names == {"a"}


@pytest.mark.parametrize("kind", PACKERS)
def test_archives_in_any_mixture_all_count(kind: str) -> None:
    early = cpio(member("kernel/x86/microcode/GenuineIntel.bin", bytes(5000)))
    more = cpio(member("late", b"1"), member("conf/modules", b"xfs\n"))
    image = early + bytes(100) + PACKERS[kind](MAIN) + bytes(8) + PACKERS["gzip"](more) + cpio(member("last"))
    found = look(image)
    assert (found.problem, found.compression, found.packed_at) == ("", kind, len(early) + 100)
    assert found.names == NAMES | {"kernel/x86/microcode/GenuineIntel.bin", "late", "last"}
    assert found.files["conf/modules"] == b"xfs\n", "the later one replaces the earlier, as the kernel has it"


@pytest.mark.parametrize("kind", PACKERS)
def test_several_archives_and_zeros_in_one_compressed_stream(kind: str) -> None:
    assert look(PACKERS[kind](cpio(member("a")) + bytes(512) + cpio(member("b")) + bytes(70_000))).names == {
        "a",
        "b",
    }


def test_an_archive_inside_may_end_without_a_trailer() -> None:
    found = look(PACKERS["zstd"](member("a")))
    assert found.problem == ""
    assert found.names == {"a"}


def test_a_file_without_content_is_none_and_a_hard_link_is_one() -> None:
    image = cpio(member("empty.ko", b""), member("first.ko", b"", links=2), member("last.ko", b"x", links=2))
    assert look(image).names == {"first.ko", "last.ko"}


@pytest.mark.parametrize("name", ["../etc/a", "a/../../b", "/../x", ".."])
def test_a_name_that_leads_out_is_none(name: str) -> None:
    assert look(cpio(member(name), member("b"))).names == {"b"}


@pytest.mark.parametrize("name", ["./a//b", "/a/./b", "a/b", "usr/a/b", "./usr/a/b"])
def test_one_name_however_it_is_written(name: str) -> None:
    assert look(cpio(member(name))).names == {"a/b"}


def test_what_is_not_unpacked_is_said() -> None:
    assert look(b"\x89LZO" + b"x" * 100).unlisted == "it is compressed with lzo, which is not unpacked here"
    found = look(PACKERS["gzip"](b"an old ramdisk" * 10))
    assert (found.problem, found.unlisted) == ("", "what its gzip data unpacks to is no cpio archive")


# --- damage ---------------------------------------------------------------------------------------

NOISE = cpio(member("noise", bytes(i * i % 251 for i in range(200_000))))


@pytest.mark.parametrize("kind", PACKERS)
def test_an_image_that_is_cut_off(kind: str) -> None:
    found = look(PACKERS[kind](NOISE)[:-30])
    assert found.problem
    assert found.unlisted


@pytest.mark.parametrize("kind", ["zstd", "xz", "gzip", "bzip2", "lz4"])
def test_an_image_that_is_damaged_in_the_middle(kind: str) -> None:
    packed = bytearray(PACKERS[kind](NOISE))
    packed[len(packed) // 2 : len(packed) // 2 + 4000] = b"\xaa" * 4000
    # Damage may read as more data than there is.
    assert look(bytes(packed)).problem in {f"its {kind} data is damaged", "it is cut off"}


def test_a_whole_stream_of_half_an_archive() -> None:
    assert look(PACKERS["gzip"](NOISE[:-1000])).problem == "it is cut off"
    assert (
        look(PACKERS["gzip"](cpio(member("a")) + b"070701" + b"zz" * 60)).problem
        == "a cpio header in it is damaged"
    )


# --- harm -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zstd", "gzip", "xz", "lz4"])
def test_a_bomb_is_put_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "MAX_UNPACKED_BYTES", 4 * MIB)
    bomb = PACKERS[kind](bytes(8 * MIB))
    with pytest.raises(FormatError, match="not all of them were looked at"):
        look(bomb)


def test_a_name_longer_than_any_path_and_a_file_larger_than_is_read() -> None:
    assert look(cpio(member("a" * 5000), member("b"))).names == {"b"}
    found = look(PACKERS["zstd"](cpio(member("conf/modules", bytes(9 * MIB)))))
    assert (found.unlisted, found.files) == ("conf/modules in it is larger than is read", {})


@pytest.mark.parametrize("kind", ["zstd", "lz4"])
def test_many_small_archives_in_one_stream_take_no_square_of_the_time(kind: str) -> None:
    started = time.process_time()
    assert look(PACKERS[kind](cpio(member("a")) * 30_000)).names == {"a"}
    assert time.process_time() - started < 3


def test_what_takes_much_memory_is_not_called_damaged() -> None:
    packed = bytearray(PACKERS["xz"](MAIN))
    size = 4 * (packed[12] + 1)
    packed[16] = 40  # a dictionary of 4 GiB, in the header of the block
    packed[12 + size - 4 : 12 + size] = zlib.crc32(packed[12 : 12 + size - 4]).to_bytes(4, "little")
    with pytest.raises(FormatError, match="its xz data takes more memory than it is given"):
        look(bytes(packed))
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00"  # a window of 2 GiB
    with pytest.raises(FormatError, match="its zstd data takes more memory than it is given"):
        look(frame)


def test_many_small_streams_end_soon() -> None:
    for kind, pack in PACKERS.items():
        started = time.process_time()
        with pytest.raises(FormatError, match="not all of them were looked at"):
            look((pack(b"") + (bytes(4) if kind == "lz4" else b"")) * 5000)
        assert time.process_time() - started < 2, kind


# --- initramfs.conf -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "line", "written"),
    [
        (b"MODULES=dep\n", "dep", 1, b"dep"),
        (b'# MODULES=most\n\tMODULES="list" # only these\n', "list", 2, b"list"),
        (b"MODULES=most\nexport MODULES='dep'\r\n", "dep", 2, b"dep"),
        (b"MODULES=dep\nMODULES=$WHAT\n", "", 2, b""),
        (b"MODULES=dep; BUSYBOX=y\n", "dep", 1, b"dep"),
    ],
)
def test_the_last_setting_counts(text: bytes, value: str, line: int, written: bytes) -> None:
    found = parse_modules_setting(text)
    assert found is not None
    assert (found.value, found.line) == (value, line)
    assert text[found.offset : found.offset + found.length] == written


def test_no_setting_and_too_large_a_file() -> None:
    assert parse_modules_setting(b"BUSYBOX=auto\n#MODULES=dep\n") is None
    with pytest.raises(FormatError):
        parse_modules_setting(bytes(2 * MIB))

"""Superblocks: the answers of ``blkid -p`` on images that the real mkfs programs made."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.superblock import Superblock, identify
from guestrepair.formats.superblock.ext import find_backup
from guestrepair.formats.superblock.fat import root_names

UUID = "c0ffee00-1234-4abc-8def-0123456789ab"
RECIPES = {
    "ext2": ["mke2fs", "-q", "-t", "ext2", "-L", "two words", "-U", UUID],
    "ext3": ["mke2fs", "-q", "-t", "ext3", "-U", UUID],
    "ext4": ["mke2fs", "-q", "-t", "ext4", "-L", "ROOT", "-U", UUID],
    "ext4-old": ["mke2fs", "-q", "-t", "ext4", "-O", "^metadata_csum,^64bit", "-b", "1024"],
    "jbd": ["mke2fs", "-q", "-O", "journal_dev", "-b", "4096"],
    "swap": ["mkswap", "-q", "-L", "SWAP", "-U", UUID],
    "swap-64k": ["mkswap", "-q", "-p", "65536"],
    "fat12": ["mkfs.vfat", "-F", "12", "-n", "EFI", "-i", "DEADBEEF"],
    "fat16": ["mkfs.vfat", "-F", "16", "-n", "BOOT"],
    "fat32": ["mkfs.vfat", "-F", "32", "-n", "EFI SYSTEM", "-i", "12ab34cd"],
    "fat-plain": ["mkfs.vfat"],
    "exfat": ["mkfs.exfat", "-L", "DATA"],
    "ntfs": ["mkfs.ntfs", "-q", "-F", "-L", "Windows"],
    "xfs": ["mkfs.xfs", "-q", "-L", "data", "-m", f"uuid={UUID}"],
    "xfs-v4": ["mkfs.xfs", "-q", "-m", "crc=0"],
    "btrfs": ["mkfs.btrfs", "-q", "-L", "pool", "-U", UUID],
    "f2fs": ["mkfs.f2fs", "-q", "-l", "flash"],
}
SIZES_MIB = {"xfs": 320, "xfs-v4": 320, "btrfs": 128, "f2fs": 64, "fat32": 40, "fat12": 4}


def make(name: str, folder: Path) -> Path:
    """An image made by the real program; skips where the host has none."""
    command = RECIPES[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    image = folder / f"{name}.img"
    with image.open("wb") as file:
        file.truncate(SIZES_MIB.get(name, 16) * 1024 * 1024)
    subprocess.run([*command, str(image)], check=True, capture_output=True)
    return image


class Reader:
    """A read callback that counts."""

    def __init__(self, image: Path) -> None:
        self.data = image
        self.size = image.stat().st_size
        self.reads: list[tuple[int, int]] = []

    def __call__(self, offset: int, size: int) -> bytes:
        self.reads.append((offset, size))
        with self.data.open("rb") as file:
            return os.pread(file.fileno(), size, offset)


def unvis(text: str) -> bytes:
    """What ``blkid -o export`` writes, as bytes: backslash before specials, M-x and ^X for the rest."""
    raw = re.sub(r"\\(.)", r"\1", text)
    out, rest = bytearray(), raw
    while rest:
        high = 0x80 if rest.startswith("M-") else 0
        rest = rest[2:] if high else rest
        if rest.startswith("^") and len(rest) > 1:
            out.append(high | ord(rest[1]) ^ 0x40)
            rest = rest[2:]
        else:
            out += bytes([high | ord(rest[0])]) if high else rest[0].encode()
            rest = rest[1:]
    return bytes(out)


def blkid(image: Path) -> tuple[str, str, bytes]:
    """TYPE, UUID and LABEL as the host's blkid(8) probes them."""
    run = subprocess.run(["blkid", "-p", "-o", "export", str(image)], check=False, capture_output=True)
    lines = run.stdout.decode("utf-8", "surrogateescape").splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return found.get("TYPE", ""), unvis(found.get("UUID", "")).decode(), unvis(found.get("LABEL", ""))


def answer(found: Superblock) -> tuple[str, str, bytes]:
    return found.content, found.uuid, found.label.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("name", RECIPES)
def test_as_blkid_says(name: str, tmp_path: Path) -> None:
    image = make(name, tmp_path)
    reader = Reader(image)
    found = identify(reader, reader.size)
    assert answer(found) == blkid(image)
    assert found.content
    assert len(reader.reads) <= 6
    assert max(size for _, size in reader.reads) <= 1024 * 1024


def test_luks(tmp_path: Path) -> None:
    if shutil.which("cryptsetup") is None:
        pytest.skip("cryptsetup is not installed")
    image = tmp_path / "luks.img"
    with image.open("wb") as file:
        file.truncate(32 * 1024 * 1024)
    command = ["cryptsetup", "luksFormat", "-q", "--type", "luks2", "--label", "crypt", "--pbkdf", "pbkdf2"]
    options = ["--pbkdf-force-iterations", "1000", str(image), "-"]
    subprocess.run([*command, *options], input=b"x", check=True, capture_output=True)
    reader = Reader(image)
    found = identify(reader, reader.size)
    assert answer(found) == blkid(image)
    assert (found.content, found.label) == ("crypto_LUKS", "crypt")


def test_ext_details(tmp_path: Path) -> None:
    image = make("ext4", tmp_path)
    edits = "set_super_value last_mounted /srv\nset_super_value error_count 3\n"
    edits += "set_super_value first_error_time 20240102030405\nset_super_value state 2\n"
    edits += "set_super_value feature_incompat 0x2c6\n"
    subprocess.run(
        ["debugfs", "-w", "-f", "-", str(image)], input=edits.encode(), check=True, capture_output=True
    )
    reader = Reader(image)
    found = identify(reader, reader.size)
    assert found.ext is not None
    assert (found.ext.last_mounted, found.ext.error_count, found.ext.state) == ("/srv", 3, 2)
    assert found.ext.first_error_time == 1704164645
    assert found.ext.has_journal_to_replay
    assert (found.ext.block_count, found.ext.block_size_bytes) == (16384, 1024)
    assert found.size_bytes == reader.size


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], (True, "", "")),
        (["-o", "journal_data"], (True, "journal", "")),
        (["-o", "journal_data_ordered"], (True, "ordered", "")),
        (["-o", "journal_data_writeback"], (True, "writeback", "")),
        (["-o", "^journal_data_writeback,acl"], (True, "", "")),
        (["-E", "mount_opts=data=journal"], (True, "", "data=journal")),
        (["-O", "^has_journal"], (False, "", "")),
    ],
)
def test_mount_options_that_tune2fs_writes(
    options: list[str], expected: tuple[bool, str, str], tmp_path: Path
) -> None:
    image = make("ext4", tmp_path)
    if options:
        subprocess.run(["tune2fs", *options, image], check=True, capture_output=True)
    reader = Reader(image)
    found = identify(reader, reader.size)
    assert found.ext is not None
    assert (found.ext.has_journal, found.ext.default_data, found.ext.mount_options) == expected


def test_backup_superblock_is_found(tmp_path: Path) -> None:
    image = make("ext4", tmp_path)
    with image.open("r+b") as file:
        file.seek(1024)
        file.write(b"\xff" * 1024)
    reader = Reader(image)
    assert identify(reader, reader.size).content == ""
    found = find_backup(reader, reader.size)
    assert found is not None
    assert (found.content, found.uuid, found.label) == ("ext4", UUID, "ROOT")
    assert found.ext is not None
    assert found.ext.backup_superblock == 8193


def test_two_filesystems_are_ambivalent_as_for_blkid(tmp_path: Path) -> None:
    image = make("ext4", tmp_path)
    with image.open("r+b") as file:
        file.seek(4096 - 10)
        file.write(b"SWAPSPACE2")
        file.seek(0)
        file.write(b"hsqs" + bytes(24) + b"\4\0\0\0")
    reader = Reader(image)
    found = identify(reader, reader.size)
    assert answer(found) == blkid(image) == ("", "", b"")
    assert found.ambivalent == ("ext4", "squashfs")


def test_damaged_checksum_is_not_believed(tmp_path: Path) -> None:
    image = make("ext4", tmp_path)
    with image.open("r+b") as file:
        file.seek(1024 + 0x78)
        file.write(b"changed")
    reader = Reader(image)
    # util-linux before 2.39 believes it; the kernel refuses to mount it, as later ones do.
    assert identify(reader, reader.size).content == ""


@pytest.mark.parametrize("size", [0, 1, 511, 512, 4096, 65536, 10**13])
def test_nothing_there(size: int) -> None:
    assert identify(lambda _offset, length: bytes(length), size) == Superblock()
    assert identify(lambda _offset, _length: b"", size) == Superblock()


def _samples() -> list[bytes]:
    magics = [
        (0, b"XFSB"),
        (0, b"LUKS\xba\xbe\x00\x02"),
        (0, b"LABELONE"),
        (3, b"NTFS    "),
        (0, b"\xeb\x76\x90EXFAT   "),
        (0, b"\xeb\x58\x90-FVE-FS-"),
        (0x52, b"FAT32   "),
        (0x36, b"FAT16   "),
        (0x438, b"\x53\xef"),
        (0x400, b"\x10\x20\xf5\xf2"),
        (0x400, b"\xe2\xe1\xf5\xe0"),
        (0xFF6, b"SWAPSPACE2"),
        (0x10040, b"_BHRfS_M"),
        (0x1018, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")),
        (0x1000, bytes.fromhex("fc4e2ba901000000")),
    ]
    return [bytes(at) + magic for at, magic in magics]


@given(st.sampled_from(_samples()), st.data())
def test_hostile_bytes_raise_nothing(start: bytes, data: st.DataObject) -> None:
    length = data.draw(st.sampled_from([len(start), 600, 4096, 70000, 200000]))
    fill = data.draw(st.binary(min_size=64, max_size=512))
    image = bytearray((fill * (length // len(fill) + 1))[:length])
    image[: len(start)] = bytes(a or b for a, b in zip(start, image[: len(start)], strict=False))
    content = bytes(image)
    reads = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal reads
        reads += 1
        assert size <= 1024 * 1024
        return content[offset : offset + size]

    claimed = data.draw(st.sampled_from([len(content), 10**15]))
    assert isinstance(identify(read, claimed), Superblock)
    assert reads <= 70


@pytest.mark.parametrize("bits", ["12", "16", "32"])
def test_names_in_the_top_directory_of_fat(bits: str, tmp_path: Path) -> None:
    image = tmp_path / "fat"
    with image.open("wb") as out:
        out.truncate({"12": 4, "16": 16, "32": 64}[bits] << 20)
    subprocess.run(["mkfs.vfat", "-F", bits, "-n", "EFI", image], check=True, capture_output=True)
    (tmp_path / "file").touch()

    def names() -> tuple[str, ...] | None:
        data = image.read_bytes()
        return root_names(lambda offset, size: data[offset : offset + size], len(data))

    assert names() == ()
    for folder in ("EFI", "boot", *(f"D{number}" for number in range(200 if bits == "32" else 20))):
        subprocess.run(["mmd", "-i", image, f"::{folder}"], check=True)
    subprocess.run(["mcopy", "-i", image, tmp_path / "file", "::NVRAM.BIN"], check=True)
    found = names()
    assert found is not None
    assert {"EFI", "boot", "D19", "NVRAM.BIN"} <= set(found)
    assert len(found) == (203 if bits == "32" else 23)
    subprocess.run(["mdel", "-i", image, "::NVRAM.BIN"], check=True)
    assert "NVRAM.BIN" not in (names() or ())
    subprocess.run(["mcopy", "-i", image, tmp_path / "file", "::a long name"], check=True)
    assert names() is None

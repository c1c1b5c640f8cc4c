"""Partition tables: as the kernel takes them, whatever state they are in."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.disk.overlay import link_reached
from guestrepair.disk.sectors import sector_bytes, sector_bytes_of
from guestrepair.disk.tables import PartitionTable, TableError, read_table
from guestrepair.formats.gpt import GptHeader, build_header

MIB = 1024 * 1024
ESP = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
BIOS = "21686148-6449-6e6f-744e-656564454649"
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"


def reader(image: Path) -> Callable[[int, int], bytes]:
    def read(offset: int, size: int) -> bytes:
        with image.open("rb") as file:
            return os.pread(file.fileno(), size, offset)

    return read


def table(image: Path, sector: int = 512) -> PartitionTable:
    return read_table(reader(image), image.stat().st_size, sector)


def blank(folder: Path, size: int) -> Path:
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(size)
    return image


@cache
def _ends() -> tuple[bytes, bytes]:
    """Head and tail of a disk that sgdisk partitioned (it waits a second whenever it writes)."""
    with tempfile.TemporaryDirectory() as folder:
        image = blank(Path(folder), 64 * MIB)
        parts = ["-n1:2048:+4M", "-t1:ef00", "-c1:ESP", "-n2:0:+1M", "-t2:ef02", "-n3:0:0", "-c3:Wurzel ü"]
        subprocess.run(["sgdisk", *parts, "-U", LINUX, str(image)], check=True, capture_output=True)
        content = image.read_bytes()
    return content[:MIB], content[-MIB:]


def gpt(folder: Path) -> Path:
    image = blank(folder, 64 * MIB)
    head, tail = _ends()
    overwrite(image, 0, head)
    overwrite(image, 63 * MIB, tail)
    return image


def overwrite(image: Path, offset: int, content: bytes) -> None:
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def brief(found: PartitionTable) -> list[tuple[int, int, str, str]]:
    return [(p.number, p.start_bytes // MIB, p.type, p.name) for p in found.partitions]


WANTED = [(1, 1, ESP, "ESP"), (2, 5, BIOS, ""), (3, 6, LINUX, "Wurzel ü")]


def test_gpt(tmp_path: Path) -> None:
    found = table(gpt(tmp_path))
    assert (found.label, found.uuid, brief(found)) == ("gpt", LINUX, WANTED)
    assert found.partitions[0].flags == {"boot", "esp"}
    assert found.partitions[1].flags == {"bios_grub"}
    assert found.remarks == ()


def test_gpt_sizes_agree_with_sfdisk(tmp_path: Path) -> None:
    image = gpt(tmp_path)
    run = subprocess.run(["sfdisk", "-d", str(image)], check=True, capture_output=True, text=True)
    rows = [line.partition(" : ")[2] for line in run.stdout.splitlines() if " : " in line]
    wanted = [
        (f"start={p.start_bytes // 512}", f"size={p.size_bytes // 512}", f"uuid={p.uuid.upper()}")
        for p in table(image).partitions
    ]
    for row, fields in zip(rows, wanted, strict=True):
        assert set(fields) <= set(row.replace("= ", "=").replace("=  ", "=").replace(" ", "").split(",")), row


@pytest.mark.parametrize("damage", ["primary", "backup", "protective", "grown", "grown-primary", "truncated"])
def test_damaged_gpt_is_read_from_what_is_left(damage: str, tmp_path: Path) -> None:
    image = gpt(tmp_path)
    if damage in {"primary", "grown-primary"}:
        overwrite(image, 512, bytes(512))
    if damage == "backup":
        overwrite(image, 64 * MIB - 512, bytes(512))
    if damage == "protective":
        overwrite(image, 0, bytes(512))
    if damage.startswith("grown"):
        os.truncate(image, 80 * MIB)
    if damage == "truncated":
        os.truncate(image, 40 * MIB)
    found = table(image)
    assert (found.label, brief(found)) == ("gpt", WANTED)
    assert found.partitions[0].flags >= {"esp"}


def test_both_copies_gone(tmp_path: Path) -> None:
    image = gpt(tmp_path)
    overwrite(image, 512, bytes(512))
    overwrite(image, 64 * MIB - 512, bytes(512))
    with pytest.raises(TableError, match="both copies of the GPT are damaged"):
        table(image)


def test_mbr_with_logical_partitions(tmp_path: Path) -> None:
    image = blank(tmp_path, 64 * MIB)
    script = "label: dos\nlabel-id: 0xdeadbeef\n1: size=10M,type=83,bootable\n2: size=40M,type=5\n"
    script += "5: size=5M,type=82\n6: size=5M,type=8e\n"
    subprocess.run(["sfdisk", "-q", str(image)], input=script, text=True, check=True, capture_output=True)
    found = table(image)
    assert (found.label, found.uuid) == ("dos", "deadbeef")
    assert [(p.number, p.type, p.uuid, p.is_extended) for p in found.partitions] == [
        (1, "0x83", "deadbeef-01", False),
        (2, "0x05", "deadbeef-02", True),
        (5, "0x82", "deadbeef-05", False),
        (6, "0x8e", "deadbeef-06", False),
    ]
    assert found.partitions[0].flags == {"boot"}
    assert found.partitions[3].flags == {"lvm"}


@pytest.mark.parametrize("command", [["mkfs.vfat"], ["mke2fs", "-q"], ["mkswap"], ["true"]])
def test_no_table(command: list[str], tmp_path: Path) -> None:
    image = blank(tmp_path, 16 * MIB)
    subprocess.run([*command, str(image)], check=True, capture_output=True)
    assert table(image) == PartitionTable()


def test_gpt_with_4096_byte_sectors(tmp_path: Path) -> None:
    image = gpt(tmp_path)
    header_and_entries = bytearray(image.read_bytes()[512 : 34 * 512])
    large = blank(tmp_path, 64 * MIB)
    from guestrepair.formats.gpt import build_header, parse_header
    from guestrepair.formats.mbr import protective_entries

    header = parse_header(bytes(header_and_entries[:512]))
    assert header is not None
    overwrite(large, 446, protective_entries(64 * MIB // 4096))
    overwrite(large, 4096, build_header(header, sector_bytes=4096))
    overwrite(large, 8192, bytes(header_and_entries[512:]))
    found = table(large, 4096)
    assert [p.start_bytes for p in found.partitions] == [8 * MIB, 40 * MIB, 48 * MIB]


# --- sectors of 4096 bytes ---------------------------------------------------------------


def gpt_of(sector: int) -> bytes:
    """A disk of 1 MiB with an empty GPT in sectors of that size."""
    header = GptHeader(0x10000, 92, 1, (1 << 20) // sector - 1, 34, 200, bytes(16), 2, 128, 128, 0)
    return bytes(sector) + build_header(header, sector_bytes=sector) + bytes((1 << 20) - 2 * sector)


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_gpt_tells_the_size_of_its_sectors(sector: int, tmp_path: Path) -> None:
    raw, overlay = tmp_path / "disk.raw", tmp_path / "overlay.qcow2"
    raw.write_bytes(gpt_of(sector))
    command: list[str | Path] = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", raw, "-F", "raw", overlay]
    subprocess.run(command, check=True)
    link_reached(tmp_path / "0", raw)
    assert sector_bytes_of(overlay) == sector


@given(st.binary(max_size=9000))
def test_hostile_heads_have_sectors_of_some_size(head: bytes) -> None:
    assert sector_bytes(lambda at, n: head[at : at + n]) in {512, 4096}

"""Choosing the firmware from a disk's first sectors."""

from __future__ import annotations

import struct
import uuid
import zlib

import pytest

from guestrepair.boot.firmware import needs_uefi
from guestrepair.formats.gpt import BIOS_BOOT_TYPE, ESP_TYPE

LINUX_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4"
SIZE = 8 << 20


def disk(*types: str, boot_code: bool) -> bytes:
    """A disk with a GPT (UEFI specification, 5.3) of these partition types."""
    entries = b"".join(
        uuid.UUID(kind).bytes_le
        + uuid.UUID(int=number).bytes_le
        + struct.pack("<QQQ", 2048 * number, 2048 * number + 2047, 0)
        + bytes(72)
        for number, kind in enumerate(types, 1)
    ).ljust(128 * 128, b"\0")

    def header(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART", 0x10000, 92, checksum, 0, 1, SIZE // 512 - 1, 34, SIZE // 512 - 34,
            uuid.UUID(int=99).bytes_le, 2, 128, 128, zlib.crc32(entries),
        )  # fmt: skip

    sectors = bytearray(SIZE)
    if boot_code:
        sectors[:4] = b"\xeb\x63\x90\x10"
    sectors[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, SIZE // 512 - 1)
    sectors[510:512] = b"\x55\xaa"
    sectors[512:604] = header(zlib.crc32(header(0)))
    sectors[1024 : 1024 + len(entries)] = entries
    return bytes(sectors)


@pytest.mark.parametrize(
    ("types", "boot_code", "uefi"),
    [
        ((BIOS_BOOT_TYPE, ESP_TYPE, LINUX_TYPE), True, False),
        ((BIOS_BOOT_TYPE, LINUX_TYPE), True, False),
        ((BIOS_BOOT_TYPE, ESP_TYPE, LINUX_TYPE), False, True),
        ((ESP_TYPE, LINUX_TYPE), False, True),
        ((ESP_TYPE, LINUX_TYPE), True, True),
        ((LINUX_TYPE,), True, False),
        ((LINUX_TYPE,), False, False),
    ],
)
def test_choice(types: tuple[str, ...], *, boot_code: bool, uefi: bool) -> None:
    content = disk(*types, boot_code=boot_code)
    assert needs_uefi(lambda offset, length: content[offset : offset + length], SIZE) is uefi


def test_a_blank_disk_is_left_to_the_bios() -> None:
    assert not needs_uefi(lambda _offset, length: bytes(length), SIZE)

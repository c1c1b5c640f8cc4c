"""Which firmware a disk needs: looked up in its first sectors."""

from __future__ import annotations

from collections.abc import Callable

from guestrepair.disk.tables import read_table
from guestrepair.errors import FormatError
from guestrepair.formats.gpt import BIOS_BOOT_TYPE, ESP_TYPE

_BOOT_CODE_BYTES = 440
"""Sector 0 up to the disk signature (UEFI specification 5.2.1): code where a BIOS is to boot the disk."""


def needs_uefi(read: Callable[[int, int], bytes], size_bytes: int, sector_bytes: int = 512) -> bool:
    """True when only UEFI can boot the disk: no BIOS boot code, and an EFI system partition.

    A disk made for both is booted by BIOS, which starts sooner. ``read(offset, length)``
    gives the disk's bytes.
    """
    has_code = any(read(0, min(_BOOT_CODE_BYTES, size_bytes)))
    try:
        types = {p.type for p in read_table(read, size_bytes, sector_bytes).partitions}
    except FormatError:
        return not has_code
    has_esp = ESP_TYPE in types or "0xef" in types
    # On GPT without a place for GRUB's core image, the code in sector 0 is a mere message.
    no_bios_place = ESP_TYPE in types and BIOS_BOOT_TYPE not in types
    return has_esp and (not has_code or no_bios_place)

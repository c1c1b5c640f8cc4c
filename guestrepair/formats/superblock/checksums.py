"""Checksums of on-disk formats that the standard library does not have.

Castagnoli's CRC comes from a library, for it is taken of every inode and directory that is
looked at; the others are table driven and meant for superblocks (kilobytes), not for files.
Where the library is missing (not every distribution has it), that one is table driven, too: right, and slow.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

_library: Callable[[bytes, int], int] | None = None
try:
    import crc32c as _module  # a name bound once: Debian 12's is a bare C module, which has no types

    _library = _module.crc32c
except ImportError:
    pass

_ALL_ONES = 0xFFFFFFFF


@cache
def _table(polynomial: int) -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value
        for _ in range(8):
            crc = crc >> 1 ^ (polynomial if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


def _reflected(data: bytes, crc: int, polynomial: int) -> int:
    table = _table(polynomial)
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc


def crc32c(data: bytes, seed: int = _ALL_ONES) -> int:
    """Castagnoli's CRC (RFC 3720, B.4) without the final inversion, as ext4 and XFS keep it."""
    if _library is None:
        return _reflected(data, seed, 0x82F63B78)
    return _library(data, seed ^ _ALL_ONES) ^ _ALL_ONES


def crc16(data: bytes, seed: int = 0xFFFF) -> int:
    """CRC-16 (polynomial 0x8005, reflected), as ext4's group descriptors carry it without metadata_csum."""
    return _reflected(data, seed, 0xA001)


def crc32_lvm(data: bytes) -> int:
    """The CRC-32 of LVM2 labels: the usual polynomial, its own start value, no inversion."""
    return _reflected(data, 0xF597A6CF, 0xEDB88320)


@cache
def _table64() -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value << 56
        for _ in range(8):
            crc = (crc << 1 ^ (0x42F0E1EBA9EA3693 if crc >> 63 else 0)) & (1 << 64) - 1
        table.append(crc)
    return tuple(table)


def crc64_we(data: bytes) -> int:
    """CRC-64/WE (ECMA-182's polynomial, both inversions), as bcache keeps it."""
    table, crc = _table64(), (1 << 64) - 1
    for byte in data:
        crc = table[(crc >> 56 ^ byte) & 0xFF] ^ (crc << 8) & (1 << 64) - 1
    return crc ^ (1 << 64) - 1

"""Where the partitions of a disk begin, for the samples that tell whether a disk was used since."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from guestrepair.formats.gpt import read_copy
from guestrepair.formats.mbr import parse_logical, parse_mbr

MAX_STARTS = 256


def partition_starts(read: Callable[[int, int], bytes], size_bytes: int) -> list[int]:
    """Byte offsets at which partitions begin, sorted, inside the disk; empty without a table.

    ``read(offset, length)`` gives bytes inside the disk. What lies there is hostile:
    at most :data:`MAX_STARTS` are answered, and positions off the disk are left out.
    """
    starts = set(_gpt(read, size_bytes)) or set(_mbr(read, size_bytes))
    return sorted(s for s in starts if 0 < s < size_bytes)[:MAX_STARTS]


def _gpt(read: Callable[[int, int], bytes], size_bytes: int) -> Iterator[int]:
    for sector_bytes in (512, 4096):
        sectors = _sectors(read, size_bytes, sector_bytes)
        copy = read_copy(sectors, 1, sector_bytes=sector_bytes, total_sectors=size_bytes // sector_bytes)
        for entry in copy.entries:
            yield entry.first_sector * sector_bytes


def _mbr(read: Callable[[int, int], bytes], size_bytes: int) -> Iterator[int]:
    sectors = _sectors(read, size_bytes, 512)
    record = parse_mbr(sectors(0, 1))
    for entry in record.entries if record is not None else ():
        yield entry.first_sector * 512
        if entry.is_extended:
            for logical in parse_logical(lambda number: sectors(number, 1), entry):
                yield logical.first_sector * 512


def _sectors(
    read: Callable[[int, int], bytes], size_bytes: int, sector_bytes: int
) -> Callable[[int, int], bytes]:
    """Whole sectors, short at the end of the disk, as the parsers want them."""

    def read_sectors(first: int, count: int) -> bytes:
        offset = first * sector_bytes
        length = min(count * sector_bytes, size_bytes - offset)
        return read(offset, length) if length > 0 else b""

    return read_sectors

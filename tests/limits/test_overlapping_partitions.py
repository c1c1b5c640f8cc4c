"""A table of thousands of partitions over one another."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

from guestrepair.formats.gpt import (
    GptHeader,
    build_header,
)
from guestrepair.formats.mbr import protective_entries
from tests.unit.analyzers.test_partitions_rules import LINUX, TOTAL, Part, findings, gpt_entries, guest_of


def test_table_of_thousands_of_overlaps_is_cut() -> None:
    parts: list[Part] = [(LINUX, 100, 4000, "", "")] * 8000
    entries = gpt_entries(parts)
    disk = bytearray(TOTAL * 512)
    header = GptHeader(
        0x10000, 92, 1, TOTAL - 1, 34, TOTAL - 34, b"D" * 16, 2, len(entries) // 128, 128, crc32(entries)
    )
    disk[446:512] = protective_entries(TOTAL)
    disk[1024 : 1024 + len(entries)] = entries
    disk[512:1024] = build_header(replace(header), sector_bytes=512)
    disk = disk[: TOTAL * 512]
    found = findings(guest_of(disk, []))
    assert len([f for f in found if f.rule == "partitions/overlap"]) == 16

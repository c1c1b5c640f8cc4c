"""VHD, which qemu calls vpc: the footer, its copy in front of dynamic disks, and the parent's name.

Source: Microsoft "Virtual Hard Disk Image Format Specification" (2006): hard
disk footer, dynamic disk header.
"""

from __future__ import annotations

import struct

from guestrepair.disk.headers.common import Container, Source, check_virtual_size
from guestrepair.errors import FormatError

COOKIE = b"conectix"
FOOTER_BYTES = 512
TYPE_FIXED, TYPE_DYNAMIC, TYPE_DIFFERENCING = 2, 3, 4
MAX_TABLE_ENTRIES = 4 << 20
"""Blocks of a dynamic disk: 2 TiB (the format's limit) in blocks of 512 KiB."""

_FOOTER = struct.Struct(">8sIIQI4sI4sQQ4sII")
_DYNAMIC = struct.Struct(">8sQQIIII")


def is_footer(block: bytes) -> bool:
    """True for 512 bytes that are a VHD footer with a right checksum."""
    if len(block) != FOOTER_BYTES or not block.startswith(COOKIE):
        return False
    (stored,) = struct.unpack_from(">I", block, 64)
    return bool(stored == ~(sum(block) - sum(block[64:68])) & 0xFFFFFFFF)


def container(source: Source) -> Container:
    """What the footer says.

    Raises:
        FormatError: no footer, truncated, or a field holds an absurd value.
    """
    footer = source.read(0, FOOTER_BYTES)
    in_front = footer.startswith(COOKIE)
    if not in_front:
        footer = source.exactly(source.size_bytes - FOOTER_BYTES, FOOTER_BYTES, "VHD footer")
    if not footer.startswith(COOKIE) or len(footer) != FOOTER_BYTES:
        raise FormatError("no VHD footer at its start or end")
    fields = _FOOTER.unpack_from(footer)
    data_offset, size, kind = fields[3], fields[9], fields[11]
    check_virtual_size(size)
    if kind not in (TYPE_FIXED, TYPE_DYNAMIC, TYPE_DIFFERENCING):
        raise FormatError(f"VHD type {kind} is not known")
    if in_front == (kind == TYPE_FIXED):
        # qemu (vpc_open) goes by the place, and reads by the type: no reading of such a file is right.
        raise FormatError(f"a VHD of type {kind} whose footer stands in the wrong place")
    if kind == TYPE_FIXED:
        return Container(None, kind="fixed")
    header = source.exactly(data_offset, 1024, "VHD dynamic header")
    cookie, _offset, table_at, _version, entries, block_size, _checksum = _DYNAMIC.unpack_from(header)
    if cookie != b"cxsparse":
        raise FormatError("its VHD dynamic header is damaged")
    if entries > MAX_TABLE_ENTRIES or not 512 <= block_size <= 256 << 20:
        raise FormatError(f"absurd VHD block table: {entries} entries, blocks of {block_size} bytes")
    if table_at + entries * 4 > source.size_bytes:
        raise FormatError(f"truncated: its VHD block table at byte {table_at} has {entries} entries")
    if kind == TYPE_DIFFERENCING:
        name = header[64:576].decode("utf-16-be", "replace").split("\0", 1)[0]
        return Container(
            None, unsupported=f"a differencing VHD (its parent: {name!r}), which cannot be opened here"
        )
    return Container(None, kind="dynamic")

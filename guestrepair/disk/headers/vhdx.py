"""VHDX: enough of the region and metadata tables to know a differencing disk and its parent.

Source: Microsoft [MS-VHDX]: 2.2.3 region table, 2.6.1 metadata table, 2.6.2.1
file parameters, 2.6.2.6 parent locator.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Iterator
from typing import TypeVar

from guestrepair.disk.headers.common import Container, Source, check_virtual_size
from guestrepair.errors import FormatError

MAGIC = b"vhdxfile"
REGION_TABLE_AT = 192 * 1024
METADATA_REGION = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
VIRTUAL_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
MAX_ENTRIES = 2047
MAX_LOCATOR_BYTES = 64 * 1024
HAS_PARENT = 1 << 1
PARENT_KEYS = ("absolute_win32_path", "relative_path")
MAX_KEY_BYTES = 64
MAX_SHOWN_BYTES = 1024
"""Of a parent's name, which is for a message only: what it leads to is not opened."""

T = TypeVar("T")


def container(source: Source) -> Container:
    """What the metadata says.

    Raises:
        FormatError: truncated, or a table holds an absurd value.
    """
    region = _each_once(_regions(source)).get(METADATA_REGION)
    if region is None:
        raise FormatError("its VHDX region table has no metadata region")
    items = _each_once(_items(source, region))
    if FILE_PARAMETERS not in items or VIRTUAL_SIZE not in items:
        raise FormatError("its VHDX metadata lacks the file parameters or the size")
    offset, _length = items[VIRTUAL_SIZE]
    size = check_virtual_size(struct.unpack("<Q", source.exactly(offset, 8, "VHDX size"))[0])
    offset, _length = items[FILE_PARAMETERS]
    _block_size, flags = struct.unpack("<II", source.exactly(offset, 8, "VHDX file parameters"))
    if flags & HAS_PARENT:
        parent = _parent(source, *items[PARENT_LOCATOR]) if PARENT_LOCATOR in items else "not named"
        return Container(
            size, unsupported=f"a differencing VHDX (its parent: {parent}), which cannot be opened here"
        )
    return Container(size)


def _each_once(entries: Iterable[tuple[uuid.UUID, T]]) -> dict[uuid.UUID, T]:
    """Entries by their name, of which qemu takes none twice."""
    found: dict[uuid.UUID, T] = {}
    for name, value in entries:
        if name in found:
            raise FormatError(f"its VHDX tables name {name} twice")
        found[name] = value
    return found


def _regions(source: Source) -> Iterator[tuple[uuid.UUID, int]]:
    signature, _checksum, count = struct.unpack(
        "<4sII", source.exactly(REGION_TABLE_AT, 12, "VHDX region table")
    )
    if signature != b"regi" or count > MAX_ENTRIES:
        raise FormatError("its VHDX region table is damaged")
    table = source.exactly(REGION_TABLE_AT + 16, count * 32, "VHDX region table")
    for at in range(0, count * 32, 32):
        (offset,) = struct.unpack_from("<Q", table, at + 16)
        yield uuid.UUID(bytes_le=table[at : at + 16]), offset


def _items(source: Source, region: int) -> Iterator[tuple[uuid.UUID, tuple[int, int]]]:
    signature, count = struct.unpack("<8sxxH", source.exactly(region, 12, "VHDX metadata table"))
    if signature != b"metadata" or count > MAX_ENTRIES:
        raise FormatError("its VHDX metadata table is damaged")
    table = source.exactly(region + 32, count * 32, "VHDX metadata table")
    for at in range(0, count * 32, 32):
        offset, length = struct.unpack_from("<II", table, at + 16)
        yield uuid.UUID(bytes_le=table[at : at + 16]), (region + offset, length)


def _parent(source: Source, offset: int, length: int) -> str:
    """The paths that the parent locator holds, for the message only."""
    data = source.exactly(offset, min(length, MAX_LOCATOR_BYTES), "VHDX parent locator")
    if len(data) < 20:
        return "not named"
    (count,) = struct.unpack_from("<H", data, 18)
    found: dict[str, str] = {}
    for at in range(20, min(20 + count * 12, len(data) - 11), 12):
        key_at, value_at, key_length, value_length = struct.unpack_from("<IIHH", data, at)
        key = data[key_at : key_at + min(key_length, MAX_KEY_BYTES)].decode("utf-16-le", "replace")
        if key in PARENT_KEYS:
            value = data[value_at : value_at + min(value_length, MAX_SHOWN_BYTES)]
            found[key] = value.decode("utf-16-le", "replace")
    return next((repr(found[k]) for k in PARENT_KEYS if k in found), "not named")

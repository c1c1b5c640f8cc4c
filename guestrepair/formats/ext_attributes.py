"""Extended attributes of ext4: in an inode behind its fields, and in a block of their own.

Values in inodes of their own (ea_inode) are not read here.

Source: Documentation/filesystems/ext4 (attributes.rst); Linux fs/ext4/xattr.c (check_xattrs,
ext4_xattr_block_csum, xattr_find_entry, ext4_xattr_list_entries), acl.c (ext4_acl_from_disk).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guestrepair.formats.attribute_values import (
    ACCESS_LIST,
    DEFAULT_LIST,
    SECURITY,
    TRUSTED,
    USER,
    access_list,
)
from guestrepair.formats.superblock.checksums import crc32c

MAGIC = (0xEA020000).to_bytes(4, "little")
_ENTRY = struct.Struct("<BBHII4x")
"""Length of the name, number of its namespace, place of the value, inode of the value, its size."""

_BLOCK_HEAD = struct.Struct("<4sIIII12x")
"""Magic number, references, blocks, hash and checksum."""

_PREFIXES = {1: USER, 2: ACCESS_LIST, 3: DEFAULT_LIST, 4: TRUSTED, 6: SECURITY}
_ACCESS_LISTS = frozenset({2, 3})
_LIST_VERSION = (1).to_bytes(4, "little")
_OF_SOMEBODY = frozenset({0x02, 0x08})


class Entry(NamedTuple):
    """An attribute as it stands: the number of its namespace, its name within that, and its value."""

    namespace: int
    name: bytes
    value: bytes


def parse_entries(data: bytes, start: int = 0) -> list[Entry] | None:
    """The attributes that ``data`` holds from ``start`` on: names, an end, and behind that the values.

    The places of values are counted from the beginning of ``data``. None: a kernel may refuse them.
    """
    heads: list[tuple[int, bytes, int, int]] = []
    at = start
    while data[at : at + 4] != bytes(4):
        if at + _ENTRY.size > len(data):
            return None
        name_bytes, namespace, place, elsewhere, size = _ENTRY.unpack_from(data, at)
        name = data[at + _ENTRY.size : at + _ENTRY.size + name_bytes]
        at += (_ENTRY.size + name_bytes + 3) // 4 * 4
        if at + 4 > len(data) or b"\0" in name or elsewhere:
            return None
        heads.append((namespace, name, place, size))
    if sum((size + 3) // 4 * 4 for *_, size in heads) > len(data) - at - 4:
        return None  # several values in one place
    found = []
    for namespace, name, place, size in heads:
        if size and not at + 4 <= place <= len(data) - (size + 3) // 4 * 4:
            return None
        found.append(Entry(namespace, name, data[place : place + size] if size else b""))
    return found


def parse_block(data: bytes, number: int, seed: int | None) -> list[Entry] | None:
    """The attributes of a block of them, by its number; None: not certain.

    ``seed`` is that of the filesystem's checksums; None where it has none.
    """
    if len(data) < _BLOCK_HEAD.size:
        return None
    magic, _, blocks, _, checksum = _BLOCK_HEAD.unpack_from(data)
    if magic != MAGIC or blocks != 1:
        return None
    whole = b"".join((number.to_bytes(8, "little"), data[:16], bytes(4), data[20:]))
    if seed is not None and crc32c(whole, seed) != checksum:
        return None
    found = parse_entries(data, _BLOCK_HEAD.size)
    keys = [] if found is None else [(each.namespace, len(each.name), each.name) for each in found]
    # A kernel looks no further than where a name would stand in their order.
    return found if all(one < next_one for one, next_one in itertools.pairwise(keys)) else None


def collected(entries: Sequence[Entry]) -> dict[bytes, bytes] | None:
    """Whole names and values, as a kernel calls them; None: one is unknown here, or there twice."""
    found: dict[bytes, bytes] = {}
    for namespace, name, stored in entries:
        prefix, value = _PREFIXES.get(namespace), stored if name else None
        if namespace in _ACCESS_LISTS:
            value = None if name else _access_list(stored)
        if prefix is None or value is None or prefix + name in found:
            return None
        found[prefix + name] = value
    return found


def _access_list(stored: bytes) -> bytes | None:
    if stored[:4] != _LIST_VERSION:
        return None
    entries = [entry for entry in _list_entries(stored) if entry is not None]
    return access_list(entries) if len(entries) == _count(len(stored) - 4) else None


def _count(size: int) -> int:
    """How many entries the kernel takes bytes for (ext4_acl_count); -1: none of its own lists."""
    if size < 16:
        return -1 if size % 4 else size // 4
    return -1 if size % 8 else (size - 16) // 8 + 4


def _list_entries(stored: bytes) -> Iterator[tuple[int, int, int] | None]:
    """Short ones, and those of a user or group, which say which; None for one that is cut short."""
    at = 4
    while at < len(stored):
        tag, permissions = int.from_bytes(stored[at : at + 2], "little"), stored[at + 2 : at + 4]
        size = 8 if tag in _OF_SOMEBODY else 4
        if at + size > len(stored):
            yield None
            return
        number = int.from_bytes(stored[at + 4 : at + size], "little")
        yield tag, int.from_bytes(permissions, "little"), number
        at += size

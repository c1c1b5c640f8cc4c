"""Where the forks of XFS inodes lie: extents in the inode itself, or in a B+tree whose root it holds.

Source: the XFS Algorithms & Data Structures document (Data Extents); Linux fs/xfs/libxfs/xfs_bmap_btree.c
(xfs_bmbt_disk_get_all, xfs_bmbt_verify), xfs_inode_fork.c (xfs_iformat_btree), xfs_bmap.c
(xfs_iread_extents, xfs_bmap_validate_extent).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from guestrepair.formats.extents import MAX_EXTENTS
from guestrepair.formats.xfs_accepted import BTREE, EXTENTS
from guestrepair.formats.xfs_blocks import LONG_TREE, Blocks

_MAGIC = b"BMA3"
_HEAD_BYTES, _ROOT_BYTES = 72, 4
_RECORD, _HEAD = struct.Struct(">QQ"), struct.Struct(">HH")
_RECORD_BYTES, _PAIR_BYTES, _WORD_BYTES = 16, 16, 8
_MAX_LEVELS = 9
_OFFSET_MASK, _COUNT_MASK = (1 << 54) - 1, (1 << 21) - 1
MAX_NODES = 200_000
"""Blocks of extent trees read of one filesystem in all: a bound for trees that share their nodes."""


class Run(NamedTuple):
    """An extent, in blocks: where in the file, where on the device (by number), how many, whether written."""

    offset: int
    block: int
    length: int
    written: bool


@dataclass(slots=True)
class Forks:
    """The extents of the forks of one filesystem's inodes."""

    blocks: Blocks
    _left: int = field(init=False, default=MAX_NODES)

    def runs(self, owner: int, form: int, fork: bytes, count: int) -> list[Run] | None:
        """The extents of a fork, in order, exactly ``count`` of them; None where they are not certain."""
        if count > MAX_EXTENTS:
            return None
        records: list[Run] | None = None
        if form == EXTENTS:
            records = parse_runs(fork[: count * _RECORD_BYTES])
        elif form == BTREE:
            records = self._of_tree(owner, fork, count)
        if records is None or len(records) != count:
            return None
        return records if self._are_sound(records) else None

    def _are_sound(self, runs: Sequence[Run]) -> bool:
        end, allows = 0, self.blocks.geometry.allows
        for offset, block, length, _ in runs:
            if offset < end or not allows(block, length):
                return False
            end = offset + length
        return end <= 1 << 54

    def _of_tree(self, owner: int, fork: bytes, count: int) -> list[Run] | None:
        if len(fork) < _ROOT_BYTES:
            return None
        level, entries = _HEAD.unpack_from(fork)
        most = (len(fork) - _ROOT_BYTES) // _PAIR_BYTES
        if not 1 <= level <= _MAX_LEVELS or not 1 <= entries <= most:
            return None
        found: list[Run] = []
        pointers = _pointers(fork, _ROOT_BYTES, most, entries)
        return found if self._collect(owner, level, pointers, count, found) else None

    def _collect(self, owner: int, level: int, pointers: Sequence[int], most: int, into: list[Run]) -> bool:
        for pointer in pointers:
            data = self._node(owner, pointer)
            if data is None:
                return False
            own_level, entries = _HEAD.unpack_from(data, 4)
            room = (len(data) - _HEAD_BYTES) // _RECORD_BYTES
            if own_level != level - 1 or not 1 <= entries <= room:
                return False
            if own_level:
                below = _pointers(data, _HEAD_BYTES, room, entries)
                if not self._collect(owner, own_level, below, most, into):
                    return False
                continue
            into += parse_runs(data[_HEAD_BYTES : _HEAD_BYTES + entries * _RECORD_BYTES])
            if len(into) > most:
                return False
        return True

    def _node(self, owner: int, pointer: int) -> bytes | None:
        self._left -= 1
        if self._left < 0 or not self.blocks.geometry.allows(pointer, 1):
            return None
        return self.blocks.node(self.blocks.geometry.address(pointer), LONG_TREE, magic=_MAGIC, owner=owner)


def parse_runs(raw: bytes) -> list[Run]:
    """The extents of a record each, as they stand there."""
    return [
        Run(high >> 9 & _OFFSET_MASK, (high & 0x1FF) << 43 | low >> 21, low & _COUNT_MASK, not high >> 63)
        for high, low in _RECORD.iter_unpack(raw[: len(raw) // _RECORD_BYTES * _RECORD_BYTES])
    ]


def _pointers(data: bytes, start: int, most: int, entries: int) -> Sequence[int]:
    """The pointers of a node, which stand behind the room for its keys."""
    return struct.unpack_from(f">{entries}Q", data, start + most * _WORD_BYTES)

"""Whether an XFS inode has extended attributes: in the inode, in one leaf, or in a tree of leaves.

Source: the XFS Algorithms & Data Structures document (Extended Attributes); Linux fs/xfs/libxfs/
xfs_da_format.h, xfs_attr_leaf.c (xfs_attr3_leaf_verify, xfs_attr_shortform_verify), fs/xfs/xfs_attr_list.c.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from guestrepair.formats.xfs_accepted import LOCAL, Inode
from guestrepair.formats.xfs_blocks import HASH_TREE, Blocks
from guestrepair.formats.xfs_extents import Run

_LEAF, _NODE = 0x3BEE, 0x3EBE
_SHORT_HEAD_BYTES, _SHORT_ENTRY_BYTES = 4, 3
_LEAF_HEAD_BYTES, _NODE_HEAD_BYTES, _ENTRY_BYTES = 80, 64, 8
_INCOMPLETE = 0x80
_PLAIN_FLAGS = 0x1 | 0x2 | 0x4
"""The value lies beside the name; trusted; security. Others (a parent's pointer) are not known here."""

_MAX_BLOCKS = 4096
_MAX_DEPTH = 5
_COUNTS = struct.Struct(">HH")


def short_flags(fork: bytes) -> list[int] | None:
    """The flags of each attribute that an inode holds itself; None when they are not sound."""
    if len(fork) < _SHORT_HEAD_BYTES:
        return None
    total, count = int.from_bytes(fork[:2], "big"), fork[2]
    at, found = _SHORT_HEAD_BYTES, list[int]()
    for _ in range(count):
        if at + _SHORT_ENTRY_BYTES > min(total, len(fork)) or not fork[at]:
            return None
        found.append(fork[at + 2])
        at += _SHORT_ENTRY_BYTES + fork[at] + fork[at + 1]
    return found if at == total <= len(fork) else None


def leaf_flags(data: bytes) -> list[int] | None:
    """The flags of each attribute of a leaf; None when there is no room for so many."""
    if len(data) < _LEAF_HEAD_BYTES:
        return None
    count = int.from_bytes(data[56:58], "big")
    end = _LEAF_HEAD_BYTES + count * _ENTRY_BYTES
    return list(data[_LEAF_HEAD_BYTES + 6 : end : _ENTRY_BYTES]) if end <= len(data) else None


@dataclass(frozen=True, slots=True)
class ExtendedAttributes:
    """The extended attributes of one filesystem's inodes."""

    blocks: Blocks

    def are_there(self, number: int, inode: Inode, runs: Sequence[Run]) -> bool | None:
        """Whether an inode that has a fork for them has some; None: not certain.

        ``runs`` are the extents of that fork.
        """
        if inode.attribute_form == LOCAL:
            return _are_some(short_flags(inode.attribute_fork))
        return self._of_leaves(number, runs)

    def _of_leaves(self, number: int, runs: Sequence[Run]) -> bool | None:
        leaf = self._first_leaf(number, runs)
        for _ in range(_MAX_BLOCKS):
            if leaf is None or int.from_bytes(leaf[8:10], "big") != _LEAF:
                return None
            there = _are_some(leaf_flags(leaf))
            following = int.from_bytes(leaf[:4], "big")
            if there or there is None or not following:
                return there
            leaf = self._block(number, runs, following)
        return None

    def _first_leaf(self, number: int, runs: Sequence[Run]) -> bytes | None:
        data = self._block(number, runs, 0)
        for _ in range(_MAX_DEPTH):
            if data is None or int.from_bytes(data[8:10], "big") != _NODE:
                return data
            count, _level = _COUNTS.unpack_from(data, 56)
            if not count:
                return None
            data = self._block(number, runs, int.from_bytes(data[68:72], "big"))
        return None

    def _block(self, number: int, runs: Sequence[Run], offset: int) -> bytes | None:
        """The node or leaf in a block of the fork."""
        for run in runs:
            if run.written and run.offset <= offset < run.offset + run.length:
                at = self.blocks.geometry.address(run.block + offset - run.offset)
                return self.blocks.node(at, HASH_TREE, magic=b"", owner=number)
        return None


def _are_some(flags: list[int] | None) -> bool | None:
    """Whether one of them is an attribute that is shown; None where one is not known here."""
    if flags is None or any(flag & ~(_PLAIN_FLAGS | _INCOMPLETE) for flag in flags):
        return None
    return any(not flag & _INCOMPLETE for flag in flags)

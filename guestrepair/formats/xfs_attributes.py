"""The extended attributes of an XFS inode: in the inode, in one leaf, or in a tree of leaves.

Source: the XFS Algorithms & Data Structures document (Extended Attributes); Linux fs/xfs/libxfs/
xfs_da_format.h, xfs_attr_leaf.c (xfs_attr3_leaf_verify, xfs_attr_shortform_verify), xfs_attr_remote.c,
xfs_da_btree.c (xfs_da_hashname), fs/xfs/xfs_attr_list.c, xfs_xattr.c (xfs_xattr_put_listent), xfs_acl.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guestrepair.formats.attribute_values import (
    ACCESS_LIST,
    DEFAULT_LIST,
    MAX_BYTES,
    MAX_LIST_BYTES,
    MAX_VALUE_BYTES,
    SECURITY,
    TRUSTED,
    USER,
    access_list,
    given_out,
)
from guestrepair.formats.xfs_accepted import DIRECTORY, LOCAL, REGULAR, Inode
from guestrepair.formats.xfs_blocks import HASH_TREE, REMOTE_LINK, Blocks
from guestrepair.formats.xfs_extents import Run

_LEAF, _NODE = 0x3BEE, 0x3EBE
_SHORT_HEAD_BYTES, _SHORT_ENTRY_BYTES = 4, 3
_LEAF_HEAD_BYTES, _NODE_HEAD_BYTES, _ENTRY_BYTES = 80, 64, 8
_INCOMPLETE, _BESIDE, _TRUSTED, _SECURITY = 0x80, 0x1, 0x2, 0x4
_PREFIXES = {0: USER, _TRUSTED: TRUSTED, _SECURITY: SECURITY}
"""By the flags of a namespace. Others (a parent's pointer) are not known here."""

_MAX_TREE_BYTES = 16 << 20
_MAX_DEPTH = 5
_COUNTS = struct.Struct(">HH")
_LEAF_ENTRY, _NODE_ENTRY = struct.Struct(">IHBx"), struct.Struct(">II")
_VALUE_MAGIC, _VALUE_HEAD_BYTES = b"XARM", 56
_ACCESS_LISTS = {b"trusted.SGI_ACL_FILE": ACCESS_LIST, b"trusted.SGI_ACL_DEFAULT": DEFAULT_LIST}
_LIST_ENTRY = struct.Struct(">IIHxx")


class Attribute(NamedTuple):
    """One as it stands: its flags, its name, and its value, or in which block of the fork that begins."""

    flags: int
    name: bytes
    value: bytes
    block: int = 0
    size: int = 0


def short_attributes(fork: bytes) -> list[Attribute] | None:
    """The attributes that an inode holds itself; None when they are not sound."""
    if len(fork) < _SHORT_HEAD_BYTES:
        return None
    total, count = int.from_bytes(fork[:2], "big"), fork[2]
    at, found = _SHORT_HEAD_BYTES, list[Attribute]()
    for _ in range(count):
        if at + _SHORT_ENTRY_BYTES > min(total, len(fork)) or not fork[at]:
            return None
        middle = at + _SHORT_ENTRY_BYTES + fork[at]
        end = middle + fork[at + 1]
        flags, name = fork[at + 2] | _BESIDE, fork[at + _SHORT_ENTRY_BYTES : middle]
        found.append(Attribute(flags, name, fork[middle:end]))
        at = end
    return found if at == total <= len(fork) else None


def leaf_attributes(data: bytes) -> list[Attribute] | None:
    """The attributes of a leaf, in the order of their hashes; None when they are not sound."""
    if len(data) < _LEAF_HEAD_BYTES:
        return None
    end = _LEAF_HEAD_BYTES + int.from_bytes(data[56:58], "big") * _ENTRY_BYTES
    if end > len(data):
        return None
    found, before = list[Attribute](), 0
    for hashed, at, flags in _LEAF_ENTRY.iter_unpack(data[_LEAF_HEAD_BYTES:end]):
        attribute = _beside(data, at, flags) if flags & _BESIDE else _remote(data, at, flags)
        sound = attribute is not None and end <= at and before <= hashed == name_hash(attribute.name)
        if attribute is None or not sound:
            return None
        found.append(attribute)
        before = hashed
    return found if sum(len(each.value) for each in found) <= len(data) else None


def _beside(data: bytes, at: int, flags: int) -> Attribute | None:
    size, name_bytes = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 3], "big")
    middle = at + 3 + name_bytes
    if not name_bytes or middle + size > len(data):
        return None
    return Attribute(flags, data[at + 3 : middle], data[middle : middle + size])


def _remote(data: bytes, at: int, flags: int) -> Attribute | None:
    block, size = int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")
    name_bytes = int.from_bytes(data[at + 8 : at + 9], "big")
    if not name_bytes or at + 9 + name_bytes > len(data) or not 0 < size <= MAX_VALUE_BYTES:
        return None
    return Attribute(flags, data[at + 9 : at + 9 + name_bytes], b"", block, size)


def name_hash(name: bytes) -> int:
    """By what a name is found (xfs_da_hashname): four characters at a time."""
    found = 0
    whole = len(name) // 4 * 4
    for at in range(0, whole, 4):
        a, b, c, d = name[at : at + 4]
        found = a << 21 ^ b << 14 ^ c << 7 ^ d ^ _turned(found, 28)
    left = name[whole:]
    if not left:
        return found & 0xFFFFFFFF
    tail = 0
    for character in left:
        tail = tail << 7 ^ character
    return (tail ^ _turned(found, 7 * len(left))) & 0xFFFFFFFF


def _turned(value: int, bits: int) -> int:
    value &= 0xFFFFFFFF
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class ExtendedAttributes:
    """The extended attributes of one filesystem's inodes."""

    blocks: Blocks

    def of(self, number: int, inode: Inode, runs: Sequence[Run]) -> Mapping[bytes, bytes] | None:
        """The attributes of an inode that has a fork for them, by whole names; None: not certain.

        ``runs`` are the extents of that fork.
        """
        is_short = inode.attribute_form == LOCAL
        stored = short_attributes(inode.attribute_fork) if is_short else self._in_leaves(number, runs)
        found: dict[bytes, bytes] = {}
        if sum(each.size or len(each.value) for each in stored or ()) > MAX_BYTES:
            return None
        for each in stored or ():
            if each.flags & _INCOMPLETE:
                continue  # a kernel shows none that it was still writing
            prefix = _PREFIXES.get(each.flags & ~_BESIDE)
            value = self._value(number, runs, each) if each.size else each.value
            if prefix is None or value is None or prefix + each.name in found:
                return None
            found[prefix + each.name] = value
        with_lists = None if stored is None else _with_access_lists(found)
        special = inode.kind not in (REGULAR, DIRECTORY)
        return None if with_lists is None else given_out(with_lists, is_special=special)

    def _in_leaves(self, number: int, runs: Sequence[Run]) -> list[Attribute] | None:
        """Those of all leaves, which must follow each other as the tree above them says."""
        left = [_MAX_TREE_BYTES // self.blocks.geometry.block_bytes]
        leaves = list(self._leaves(number, runs, 0, _MAX_DEPTH, left))
        found, names = list[Attribute](), 0
        for index, (_, leaf) in enumerate(leaves):
            before = leaves[index - 1][0] if index else 0
            after = leaves[index + 1][0] if index + 1 < len(leaves) else 0
            inside = None if leaf is None else leaf_attributes(leaf)
            if leaf is None or inside is None or _neighbours(leaf) != (after, before):
                return None
            found += inside
            names += sum(len(each.name) for each in inside)
            if names > MAX_LIST_BYTES:
                return None  # more than a kernel lists
        hashes = [name_hash(each.name) for each in found]
        return found if hashes == sorted(hashes) else None

    def _leaves(
        self, number: int, runs: Sequence[Run], block: int, depth: int, left: list[int]
    ) -> Iterator[tuple[int, bytes | None]]:
        """The leaves below a block of the fork, in order, each with its block; None: not certain.

        ``left`` is how many blocks may be read yet.
        """
        left[0] -= 1
        data = self._block(number, runs, block) if depth and left[0] >= 0 else None
        kind = 0 if data is None else int.from_bytes(data[8:10], "big")
        if data is None or kind != _NODE:
            yield block, data if kind == _LEAF else None
            return
        count, _level = _COUNTS.unpack_from(data, 56)
        end = _NODE_HEAD_BYTES + count * _ENTRY_BYTES
        if not count or end > len(data):
            yield block, None
            return
        for _hashed, below in _NODE_ENTRY.iter_unpack(data[_NODE_HEAD_BYTES:end]):
            if left[0] < 0:
                break
            yield from self._leaves(number, runs, below, depth - 1, left)

    def _block(self, number: int, runs: Sequence[Run], offset: int) -> bytes | None:
        """The node or leaf in a block of the fork."""
        at = self._address(runs, offset)
        return None if at is None else self.blocks.node(at, HASH_TREE, magic=b"", owner=number)

    def _address(self, runs: Sequence[Run], offset: int) -> int | None:
        for run in runs:
            if run.written and run.offset <= offset < run.offset + run.length:
                return self.blocks.geometry.address(run.block + offset - run.offset)
        return None

    def _value(self, number: int, runs: Sequence[Run], of: Attribute) -> bytes | None:
        """A value that lies in blocks of its own, each with a head that says which part it is."""
        found, block = b"", of.block
        while len(found) < of.size:
            at = self._address(runs, block)
            data = None if at is None else self.blocks.node(at, REMOTE_LINK, magic=_VALUE_MAGIC, owner=number)
            if data is None:
                return None
            offset, length = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
            if offset != len(found) or length != min(of.size - offset, len(data) - _VALUE_HEAD_BYTES):
                return None
            found += data[_VALUE_HEAD_BYTES : _VALUE_HEAD_BYTES + length]
            block += 1
        return found


def _neighbours(leaf: bytes) -> tuple[int, int]:
    """The blocks of the next leaf and of the one before; 0: there is none."""
    following, before = _NODE_ENTRY.unpack_from(leaf)
    return following, before


def _with_access_lists(found: dict[bytes, bytes]) -> dict[bytes, bytes] | None:
    """What is there, and access lists under the name that they have everywhere; None: not certain."""
    for stored, shown in _ACCESS_LISTS.items():
        value = found.get(stored)
        if value is None:
            continue
        count = int.from_bytes(value[:4], "big")
        if len(value) != 4 + count * _LIST_ENTRY.size:
            return None
        entries = ((tag, mode, who) for tag, who, mode in _LIST_ENTRY.iter_unpack(value[4:]))
        known = access_list((tag & 0xFFFF, mode, who) for tag, mode, who in entries if tag < 0x10000)
        if known is None or len(known) != 4 + 8 * count:
            return None
        found[shown] = known
    return found

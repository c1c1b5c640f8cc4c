"""The names in XFS directories, as their five forms hold them: in the inode, in one block, in blocks with one
leaf, with a tree of leaves, and those whose extents fill a tree.

Where a directory has an index by hash, it has to lead to exactly the names that there are.

Source: the XFS Algorithms & Data Structures document (Directories); Linux fs/xfs/libxfs/xfs_da_format.h,
xfs_dir2_data.c (__xfs_dir3_data_check), xfs_dir2_sf.c (xfs_dir2_sf_verify), xfs_dir2_readdir.c.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from guestrepair.formats.xfs_accepted import LOCAL, Inode
from guestrepair.formats.xfs_blocks import DIRECTORY_DATA, HASH_TREE, Blocks, Seal
from guestrepair.formats.xfs_extents import Run

MAX_DIRECTORY_BYTES = 8 << 20
"""Larger directories (some 150,000 names) are left to the filesystem itself."""

LEAVES_AT, FREE_AT = 1 << 35, 2 << 35
"""Where a directory's leaves and the index of its free space begin, in bytes of its own."""

_ONE_BLOCK, _DATA, _FREE = b"XDB3", b"XDD3", b"XDF3"
_LONE_LEAF, _LEAF, _NODE = 0x3DF1, 0x3DFF, 0x3EBE
_HEAD_BYTES, _TAIL_BYTES, _ENTRY_BYTES = 64, 8, 8
_ENTRY, _GAP, _TAIL = struct.Struct(">QB"), struct.Struct(">2sH"), struct.Struct(">II")
_COUNTS = struct.Struct(">HH")
_DOTS_BYTES = 32
"""What "." and ".." take, with which the first block begins."""

_GAP_TAG = b"\xff\xff"
_KINDS = 9
"""Kinds of files that an entry may name, 0 (not known) among them."""

_FIRST_OFFSET = 0x60
"""Where the first name of a directory in an inode would stand in a block, behind "." and ".."."""


@dataclass(slots=True)
class Names:
    """What was found in a directory so far."""

    number: int
    """Its inode."""
    names: dict[bytes, int] = field(default_factory=dict)
    parent: int | None = None
    has_self: bool = False
    places: list[int] = field(default_factory=list)
    """Where each entry stands, in units of eight bytes of the directory."""

    def add(self, name: bytes, number: int) -> bool:
        """Add an entry; False when it cannot be right."""
        if name == b".":
            is_new, self.has_self = not self.has_self, True
            return is_new and number == self.number
        if name == b"..":
            is_new, self.parent = self.parent is None, number
            return is_new
        # A name in a directory for that directory: the kernel follows it nowhere.
        if number == self.number or name in self.names or b"/" in name or b"\0" in name:
            return False
        self.names[name] = number
        return True


@dataclass(frozen=True, slots=True)
class Piece:
    """One block of a directory: where it stands in the directory, where on the device, and its bytes."""

    offset: int
    at: int
    data: bytes


def short_names(fork: bytes, number: int, size: int) -> Names | None:
    """The names of a directory that its inode of that number holds, in so many bytes of its fork."""
    data = fork[:size]
    if len(data) < 6 or len(data) != size:
        return None
    count, wide = data[0], data[1]
    width = 8 if wide else 4
    found = Names(number, has_self=True, parent=int.from_bytes(data[2 : 2 + width], "big"))
    at, offset, seen_wide = 2 + width, _FIRST_OFFSET, int((found.parent or 0) > 0xFFFFFFFF)
    for _ in range(count):
        length = data[at] if at < len(data) else 0
        end = at + 3 + length + 1 + width
        if not length or end > len(data):
            return None
        own_offset = int.from_bytes(data[at + 1 : at + 3], "big")
        target = int.from_bytes(data[end - width : end], "big")
        name = data[at + 3 : at + 3 + length]
        if own_offset < offset or data[at + 3 + length] >= _KINDS or name in (b".", b".."):
            return None
        if not found.add(name, target):
            return None
        seen_wide += target > 0xFFFFFFFF
        offset, at = own_offset + _entry_bytes(length), end
    return found if at == size and seen_wide == wide else None


def _entry_bytes(name_bytes: int) -> int:
    """Of an entry in a block: number, length of the name, name, kind, and its own place."""
    return (name_bytes + 12 + 7) & ~7


def parse_data(data: bytes, end: int, base: int, into: Names) -> bool:
    """Add the entries between the head of a block and ``end``; False when one of them cannot be right.

    ``base`` is where the block stands in the directory.
    """
    at, unpack, add, places = _HEAD_BYTES, _ENTRY.unpack_from, into.add, into.places
    if end > len(data):
        return False
    while at < end:
        if data[at : at + 2] == _GAP_TAG:
            length = _GAP.unpack_from(data, at)[1] if at + 4 <= end else 0
            if length < 8 or length % 8 or at + length > end:
                return False
            if int.from_bytes(data[at + length - 2 : at + length], "big") != at:
                return False
            at += length
            continue
        if at + 16 > end:
            return False
        number, length = unpack(data, at)
        stop = at + ((length + 19) & ~7)
        if not length or stop > end or int.from_bytes(data[stop - 2 : stop], "big") != at:
            return False
        if data[at + 9 + length] >= _KINDS or not add(data[at + 9 : at + 9 + length], number):
            return False
        places.append(base + at >> 3)
        at = stop
    return at == end


def one_block(data: bytes, into: Names) -> bool:
    """The names of a directory of one block, which has its index at its end; False when it is not sound."""
    if len(data) < _HEAD_BYTES + _TAIL_BYTES:
        return False
    count, stale = _TAIL.unpack_from(data, len(data) - _TAIL_BYTES)
    end = len(data) - _TAIL_BYTES - count * _ENTRY_BYTES
    if end < _HEAD_BYTES or not parse_data(data, end, 0, into):
        return False
    return _leads_to(index_of(data[end : len(data) - _TAIL_BYTES], stale), into)


def index_of(raw: bytes, stale: int) -> list[int] | None:
    """Where the entries of an index lead; None unless they are in order, and so many of them unused."""
    if len(raw) % _ENTRY_BYTES:
        return None
    words = struct.unpack(f">{len(raw) // 4}I", raw)
    hashes, places = words[0::2], words[1::2]
    if any(low > high for low, high in itertools.pairwise(hashes)):
        return None
    used = [place for place in places if place]
    return used if len(places) - len(used) == stale else None


def _leads_to(index: list[int] | None, found: Names) -> bool:
    return index is not None and sorted(index) == sorted(found.places)


@dataclass(slots=True)
class Directories:
    """The directories of one filesystem."""

    blocks: Blocks

    def names(self, number: int, inode: Inode, runs: Sequence[Run]) -> Names | None:
        """The names of a directory whose content lies in those runs, or in the inode; None: not certain."""
        if inode.form == LOCAL:
            found = short_names(inode.content_fork, number, inode.size)
        else:
            found = self._of_blocks(number, inode, runs)
        if found is None or found.parent is None or not found.has_self:
            return None
        targets = itertools.chain((found.parent,), found.names.values())
        return found if self.blocks.geometry.are_given_out(targets) else None

    def first_parent(self, number: int, runs: Sequence[Run]) -> int | None:
        """What ``..`` stands for, of the first block alone; None where that is not certain."""
        size = self.blocks.geometry.directory_bytes
        first = next(self._pieces(runs, 0, size), None)
        if first is None or first.offset or not self._is_intact(first, (_DATA, _ONE_BLOCK), number):
            return None
        found = Names(number)
        sound = parse_data(first.data, _HEAD_BYTES + _DOTS_BYTES, 0, found)
        return found.parent if sound and found.has_self else None

    def _of_blocks(self, number: int, inode: Inode, runs: Sequence[Run]) -> Names | None:
        geometry, found = self.blocks.geometry, Names(number)
        size, log = geometry.directory_bytes, geometry.block_log
        if not runs or inode.size % size or any(not run.written for run in runs):
            return None
        if sum(run.length for run in runs) << log > MAX_DIRECTORY_BYTES:
            return None
        end = runs[-1].offset + runs[-1].length << log
        if end == size:
            first = next(self._pieces(runs, 0, size), None)
            whole = first is not None and inode.size == size and self._is_intact(first, (_ONE_BLOCK,), number)
            return found if first is not None and whole and one_block(first.data, found) else None
        for piece in self._pieces(runs, 0, LEAVES_AT):
            if piece.offset >= inode.size or not self._is_intact(piece, (_DATA,), number):
                return None
            if not parse_data(piece.data, size, piece.offset, found):
                return None
        index = self._index(number, runs, end)
        return found if _are_whole(runs, size >> log) and _leads_to(index, found) else None

    def _index(self, number: int, runs: Sequence[Run], end: int) -> list[int] | None:
        """The places that all leaves of a directory lead to; None when one of them is not sound."""
        size, places = self.blocks.geometry.directory_bytes, list[int]()
        is_lone = end == LEAVES_AT + size
        for piece in self._pieces(runs, LEAVES_AT, FREE_AT):
            kind = int.from_bytes(piece.data[8:10], "big")
            if not self._is_sealed(piece, HASH_TREE, kind.to_bytes(2, "big"), number):
                return None
            if kind == _NODE and not is_lone:
                continue
            count, stale = _COUNTS.unpack_from(piece.data, 56)
            stop = _HEAD_BYTES + count * _ENTRY_BYTES
            if kind != (_LONE_LEAF if is_lone else _LEAF) or stop > size:
                return None
            found = index_of(piece.data[_HEAD_BYTES:stop], stale)
            if found is None:
                return None
            places += found
        free = self._pieces(runs, FREE_AT, 1 << 63)
        return places if all(self._is_intact(piece, (_FREE,), number) for piece in free) else None

    def _is_intact(self, piece: Piece, magics: Sequence[bytes], number: int) -> bool:
        return any(self._is_sealed(piece, DIRECTORY_DATA, magic, number) for magic in magics)

    def _is_sealed(self, piece: Piece, seal: Seal, magic: bytes, number: int) -> bool:
        whole = len(piece.data) == self.blocks.geometry.directory_bytes
        return whole and self.blocks.is_intact(piece.data, seal, magic=magic, at=piece.at, owner=number)

    def _pieces(self, runs: Sequence[Run], start: int, end: int) -> Iterator[Piece]:
        """The blocks of a directory from ``start`` to ``end``, short where one is not whole."""
        geometry = self.blocks.geometry
        log, size = geometry.block_log, geometry.directory_bytes
        held, held_from, held_at = b"", 0, 0
        for offset, block, length, _ in runs:
            first = offset << log
            if first >= end:
                break
            if first + (length << log) <= start:
                continue
            if held and held_from + len(held) != first:
                yield Piece(held_from, held_at, held)
                held = b""
            at, done = geometry.address(block), 0
            data = self.blocks.read(at, min(length << log, end - first))
            while done < len(data):
                if not held:
                    held_from, held_at = first + done, at + done
                taken = min(size - len(held), len(data) - done)
                held += data[done : done + taken]
                done += taken
                if len(held) == size:
                    yield Piece(held_from, held_at, held)
                    held = b""
        if held:
            yield Piece(held_from, held_at, held)


def _are_whole(runs: Sequence[Run], unit: int) -> bool:
    """Whether every block of a directory, of so many of the filesystem's, begins where it may."""
    end = 0
    for run in runs:
        if run.offset != end and (run.offset % unit or end % unit):
            return False
        end = run.offset + run.length
    return end % unit == 0

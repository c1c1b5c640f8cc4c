"""What was deleted from an ext4 filesystem, as its journal still has it: names, times, and where content lay.

The kernel clears a deleted file's inode and name. The journal may hold the inode as it was before,
with the extents, and the directory's block with the name. Whether what lies at those extents is still the
file, nobody can tell from here: a digest that is known can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from guestrepair.formats.ext_accepted import DIRECTORY, REGULAR, Inode
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_journal import Journal
from guestrepair.formats.ext_records import found_of
from guestrepair.formats.ext_tree import ROOT_INODE, Tree, is_block_intact, parse_block
from guestrepair.formats.file_attributes import Former

MAX_FORMER = 200_000
"""Deleted names and inodes that are told of one filesystem."""
_MAX_DIRECTORIES = 500_000


class _Old(NamedTuple):
    sequence: int
    inode: Inode


def former_files(tree: Tree) -> Iterator[Former]:
    """The deleted files that the journal knows, with their names where it has them, each once.

    Raises:
        Whatever reading the device raises.
    """
    journal = open_journal(tree.inodes)
    if journal is None or not journal.blocks:
        return
    yield from _History(tree, journal).files()


def open_journal(inodes: Inodes) -> Journal | None:
    """The journal inside a filesystem; None where there is none, or it is not certain where it lies."""
    layout = inodes.journal_layout()
    if layout is None:
        return None

    def read(offset: int, size: int) -> bytes:
        pieces = []
        end = min(offset + size, layout.size_bytes)
        for extent in layout.extents:
            first, last = max(offset, extent.logical), min(end, extent.logical + extent.length)
            if first < last:
                pieces.append(inodes.read(extent.physical + first - extent.logical, last - first))
        return b"".join(pieces)

    return Journal(read)


class _History:
    def __init__(self, tree: Tree, journal: Journal) -> None:
        self._tree = tree
        self._inodes = tree.inodes
        self._journal = journal
        self._old: dict[int, _Old] = {}
        """Of each inode that is free now, or another file's, as it was last."""

    def files(self) -> Iterator[Former]:
        self._read_inodes()
        told: set[int] = set()
        for path, number in self._names():
            told.add(number)
            yield self._former(path, number)
        for number in self._old:
            if number not in told:
                yield self._former(b"", number)

    def _former(self, path: bytes, number: int) -> Former:
        inode = self._old[number].inode
        now = found_of(path, number, self._inodes.bytes_of(number), deleted=True)
        found = found_of(path, number, inode.data, deleted=True)
        assert found is not None  # noqa: S101 - only such are kept
        gone = None if now is None else now.deleted_at
        kind = inode.kind
        layout = self._inodes.layout_of(number, inode, kind=kind) if kind in (REGULAR, DIRECTORY) else None
        return Former(found._replace(deleted_at=gone, reallocated=gone is None), layout, _is_plain(inode))

    # --- inodes -------------------------------------------------------------------

    def _read_inodes(self) -> None:
        for block in self._journal.blocks:
            numbers = self._inodes.numbers_in(block)
            if not numbers or len(self._old) >= MAX_FORMER:
                continue
            size = self._inodes.block_bytes // len(numbers)
            for sequence, data in self._journal.copies(block):
                for index, number in enumerate(numbers):
                    self._consider(number, sequence, data[index * size : (index + 1) * size])

    def _consider(self, number: int, sequence: int, data: bytes) -> None:
        """A copy of an inode: kept when it was in use, and is not now."""
        if number < 11 or not any(data[:2]):
            return
        inode = self._inodes.intact(number, data)
        if inode is None or not inode.links or inode.deleted or not inode.mode:
            return
        now = self._inodes.raw(number)
        if now is not None and now.links and now.generation == inode.generation and now.kind == inode.kind:
            return
        known = self._old.get(number)
        if known is None or known.sequence <= sequence:
            self._old[number] = _Old(sequence, inode)

    # --- names --------------------------------------------------------------------

    def _names(self) -> Iterator[tuple[bytes, int]]:
        """Deleted names of inodes that are known: of directories that are there, and of deleted ones."""
        named: set[int] = set()
        pending = [(b"", ROOT_INODE, False)]
        entered = {ROOT_INODE}
        while pending and len(entered) < _MAX_DIRECTORIES:
            path, number, is_gone = pending.pop()
            prefix = path + b"/" if path else b""
            there: Mapping[bytes, int] = {} if is_gone else self._tree.names(number) or {}
            for name, inode in there.items():
                if inode not in entered and self._is_directory(inode):
                    entered.add(inode)
                    pending.append((prefix + name, inode, False))
            for name, inode in self._former_names(number, is_gone=is_gone).items():
                if there.get(name) == inode or inode not in self._old or inode in named:
                    continue
                named.add(inode)
                yield prefix + name, inode
                if self._old[inode].inode.kind == DIRECTORY and inode not in entered:
                    entered.add(inode)
                    pending.append((prefix + name, inode, True))

    def _is_directory(self, number: int) -> bool:
        data = self._inodes.bytes_of(number)
        return len(data) >= 128 and int.from_bytes(data[:2], "little") & 0xF000 == DIRECTORY

    def _former_names(self, number: int, *, is_gone: bool) -> dict[bytes, int]:
        """What copies of a directory's blocks hold, newer over older; of a deleted one, what is left too."""
        inode = self._old[number].inode if is_gone else self._inodes.raw(number)
        layout = None if inode is None else self._inodes.layout_of(number, inode, kind=DIRECTORY)
        if inode is None or layout is None:
            return {}
        seed, size = self._inodes.seed(number, inode), self._inodes.block_bytes
        copies: list[tuple[int, bytes]] = []
        for extent in layout.extents[:1000]:
            for at in range(extent.physical, extent.physical + extent.length, size):
                if at // size in self._journal.blocks:
                    copies += self._journal.copies(at // size)
                if is_gone:
                    copies.append((0, self._inodes.read(at, size)))
        found: dict[bytes, int] = {}
        for _, block in sorted(copies, key=lambda copy: copy[0]):
            names: dict[bytes, int] = {}
            intact = seed is None or is_block_intact(block, seed)
            if len(block) == size and intact and parse_block(block, self._inodes.count, names):
                found |= names
        return found


def _is_plain(inode: Inode) -> bool:
    return not (inode.has_attributes_inside or inode.attributes or inode.attributes_high)

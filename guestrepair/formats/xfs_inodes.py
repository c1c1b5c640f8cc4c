"""The inodes of an XFS filesystem by number, read a chunk at a time, and where their content lies.

Only what is certain is answered: metadata of version 5 with right checksums, a log that says that the
filesystem was unmounted, inodes that their tree knows. For everything else the answer is None.

Source: Linux fs/xfs/libxfs/xfs_inode_buf.c (xfs_inode_buf_verify), fs/xfs/xfs_icache.c; the XFS Algorithms
& Data Structures document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from guestrepair.formats.extents import Extent, Layout
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.xfs_accepted import REGULAR, Inode, is_accepted, is_intact, known_flags, parse_inode
from guestrepair.formats.xfs_blocks import Blocks
from guestrepair.formats.xfs_chunks import CHUNK_INODES, Chunk, Chunks
from guestrepair.formats.xfs_extents import Forks, Run
from guestrepair.formats.xfs_geometry import SUPERBLOCK_BYTES, Geometry, read_geometry, read_groups
from guestrepair.formats.xfs_log import last_lsn

_KEPT_BYTES = 8 << 20
"""Of inodes, a chunk (32 KiB as a rule) each: files of one directory lie near each other."""

_KEPT_INODES = 4096
_NEAR_BITS = 5


class _Held(NamedTuple):
    """A chunk that was read: its first inode's number, a mask of those that are not in use, its bytes."""

    first: int
    unused: int
    data: bytes


@dataclass(slots=True)
class Inodes:
    """The inodes of one filesystem; ``read`` gives bytes of its device, whose size may be known."""

    read: Read
    size_bytes: int | None = None
    geometry: Geometry | None = field(init=False, default=None)
    """The filesystem's geometry; None for one that cannot be read here."""
    blocks: Blocks | None = field(init=False, default=None)
    _chunks: Chunks | None = field(init=False, default=None)
    _forks: Forks | None = field(init=False, default=None)
    _flags: int = field(init=False, default=0)
    _pieces: dict[int, bytes] = field(init=False, default_factory=dict)
    """Chunks as they lie there, by their first byte; empty ones are damaged."""
    _near: dict[int, _Held] = field(init=False, default_factory=dict)
    """Chunks that were asked for, by some of the numbers in them: files of one directory share them."""
    _kept: dict[int, Inode | None] = field(init=False, default_factory=dict)
    """What was judged last; a file's attributes, link and layout are asked for one after another."""

    def __post_init__(self) -> None:
        geometry = read_geometry(self.read(0, SUPERBLOCK_BYTES), self.size_bytes)
        lsn = None if geometry is None else last_lsn(self.read, geometry)
        if geometry is None or lsn is None:
            return
        groups = read_groups(self.read, geometry, lsn)
        if groups is None:
            return
        self.geometry, self.blocks = geometry, Blocks(self.read, geometry, lsn)
        self._flags = known_flags(geometry)
        self._chunks, self._forks = Chunks(self.blocks, groups), Forks(self.blocks)

    @property
    def is_certain(self) -> bool:
        """True for a filesystem that can be read here."""
        return self.geometry is not None

    def inode(self, number: int) -> Inode | None:
        """An inode in use that the kernel gives out; None where that is not certain."""
        if number not in self._kept:
            if len(self._kept) >= _KEPT_INODES:
                self._kept.clear()
            self._kept[number] = self._accepted(number)
        return self._kept[number]

    def place(self, number: int) -> tuple[int, int]:
        """Where the chunk of an inode lies: its first byte, and how many there are (0: there is none)."""
        found, geometry = self._chunk(number), self.geometry
        if found is None or geometry is None:
            return 0, 0
        group, _, chunk = found
        return self._start(geometry, group, chunk), CHUNK_INODES * geometry.inode_bytes

    def runs(self, number: int, inode: Inode) -> list[Run] | None:
        """The extents of an inode's content; None where they are not certain."""
        if self._forks is None:
            return None
        return self._forks.runs(number, inode.form, inode.content_fork, inode.extents)

    def attribute_runs(self, number: int, inode: Inode) -> list[Run] | None:
        """The extents of an inode's extended attributes; None where they are not certain."""
        if self._forks is None:
            return None
        return self._forks.runs(number, inode.attribute_form, inode.attribute_fork, inode.attribute_extents)

    def layout(self, number: int) -> Layout | None:
        """Where the content of a regular file lies; None when it is not certain.

        What was allocated and never written reads as zeros, as a hole does.
        """
        inode, geometry = self.inode(number), self.geometry
        if inode is None or geometry is None or inode.kind != REGULAR:
            return None
        runs, log = self.runs(number, inode), geometry.block_log
        if runs is None:
            return None
        extents = (
            Extent(run.offset << log, geometry.address(run.block), run.length << log)
            for run in runs
            if run.written and run.offset << log < inode.size
        )
        layout = Layout(inode.size, tuple(extents))
        return layout if layout.is_sound else None

    def adopt(self, former: Inodes, is_unchanged: Callable[[int, int], bool]) -> bool:
        """Keep what another reader of the same filesystem has read, where its bytes did not change since.

        False, and nothing is kept, when it is not the same filesystem any more.
        """
        if self.geometry is None or self.geometry != former.geometry:
            return False
        self._pieces.update(
            (at, piece) for at, piece in former._pieces.items() if piece and is_unchanged(at, len(piece))
        )
        return True

    def own_inode(self, number: int) -> Inode | None:
        """An inode that the filesystem has for itself, and no directory leads to; None: not certain."""
        geometry = self.geometry
        return self._judged(number) if geometry is not None and number in geometry.own_inodes else None

    def _accepted(self, number: int) -> Inode | None:
        geometry = self.geometry
        return None if geometry is None or number in geometry.own_inodes else self._judged(number)

    def _judged(self, number: int) -> Inode | None:
        geometry = self.geometry
        held = self._near.get(number >> _NEAR_BITS)
        if held is None or not 0 <= number - held.first < CHUNK_INODES:
            held = self._hold(number)
        if held is None or geometry is None:
            return None
        index, size = number - held.first, geometry.inode_bytes
        if not held.data or held.unused >> index & 1:
            return None
        inode = parse_inode(held.data[index * size : index * size + size])
        return inode if is_intact(inode, number, geometry) and is_accepted(inode, self._flags) else None

    def _hold(self, number: int) -> _Held | None:
        found, geometry = self._chunk(number), self.geometry
        if found is None or geometry is None:
            return None
        group, inside, chunk = found
        data = self._piece(self._start(geometry, group, chunk), chunk, geometry)
        held = _Held(number - inside + chunk.first, chunk.unused | chunk.missing, data)
        self._near[number >> _NEAR_BITS] = held
        return held

    def _chunk(self, number: int) -> tuple[int, int, Chunk] | None:
        """The group of an inode, its number there, and its chunk."""
        geometry, chunks = self.geometry, self._chunks
        if geometry is None or chunks is None:
            return None
        split = geometry.split_inode(number)
        chunk = None if split is None else chunks.find(*split)
        return None if split is None or chunk is None else (*split, chunk)

    @staticmethod
    def _start(geometry: Geometry, group: int, chunk: Chunk) -> int:
        return geometry.place(group, 0) + chunk.first * geometry.inode_bytes

    def _piece(self, at: int, chunk: Chunk, geometry: Geometry) -> bytes:
        """A chunk's bytes; empty where one of its inodes is none: the kernel reads them together, too."""
        if at not in self._pieces:
            size = CHUNK_INODES * geometry.inode_bytes
            while len(self._pieces) * size >= _KEPT_BYTES:
                self._pieces.pop(next(iter(self._pieces)))
                self._near.clear()
            data = self.read(at, size)
            self._pieces[at] = data if _are_inodes(data, chunk, geometry.inode_bytes) else b""
        return self._pieces[at]


def _are_inodes(data: bytes, chunk: Chunk, size: int) -> bool:
    if len(data) != CHUNK_INODES * size:
        return False
    signs = zip(data[0::size], data[1::size], data[4::size], strict=True)
    return all(sign == (0x49, 0x4E, 3) or chunk.missing >> i & 1 for i, sign in enumerate(signs))

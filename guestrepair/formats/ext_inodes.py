"""Where files lie on an ext4 filesystem: inode number to extents, read from the device's bytes.

Only what is certain is answered: the checksums of inodes and extent blocks are
verified as the kernel does, and a file that is encrypted, compressed, inline, mapped
by ext2's block lists, or has extents that are not written yet, has no layout here.
Nor has a filesystem with a journal to replay, orphans to free (which a mount does,
read-only or not) or a feature that is not known.

Source: Documentation/filesystems/ext4 (globals.rst, inodes.rst, ifork.rst, checksums.rst).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from guestrepair.formats.extents import Extent, Layout
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.ext import PRIMARY_OFFSET, SUPERBLOCK_BYTES, parse
from guestrepair.formats.superblock.model import Block, Read

_INCOMPAT_64BIT = 0x80
_INCOMPAT_CSUM_SEED = 0x2000
# filetype, extents, 64bit, flex_bg, ea_inode, csum_seed, largedir, inline_data, encrypt, casefold
_KNOWN_INCOMPAT = 0x2 | 0x40 | 0x80 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
_RO_METADATA_CSUM = 0x400
_RO_ORPHAN_PRESENT = 0x10000
REGULAR, DIRECTORY, SYMLINK = 0x8000, 0x4000, 0xA000
"""Format bits of an inode's mode."""

_FLAG_EXTENTS = 0x80000
# compressed, encrypted, EA inode, inline data
_FLAGS_REFUSED = 0x4 | 0x800 | 0x200000 | 0x10000000
_EXTENT_MAGIC = 0xF30A
_MAX_DEPTH = 5
_MAX_EXTENTS = 20_000
_MAX_NODES = 50_000
"""Blocks of extent trees read in all: a bound for trees that lead in circles."""

_WRITTEN_MOST = 32768
"""Blocks in one written extent; a greater number marks one that is not written yet."""
_INODE_BASE_BYTES = 128
_TABLE_PIECE_BYTES = 64 * 1024
_KEPT_PIECES = 128
"""Pieces of inode tables kept at a time: files of one directory lie near each other, directories do not."""


@dataclass(frozen=True, slots=True)
class _Geometry:
    block_bytes: int
    first_block: int
    inodes: int
    inodes_a_group: int
    inode_bytes: int
    descriptor_bytes: int
    seed: int | None
    """Of the metadata checksums; None where there are none."""


@dataclass(slots=True)
class Inodes:
    """The inodes of one filesystem; ``read`` gives bytes of its device."""

    read: Read
    _geometry: _Geometry | None = field(init=False)
    _tables: dict[int, int] = field(init=False, default_factory=dict)
    _pieces: dict[int, Block] = field(init=False, default_factory=dict)
    _nodes: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._geometry = _geometry(self.read(PRIMARY_OFFSET, SUPERBLOCK_BYTES))

    def layouts(self, wanted: Iterable[int]) -> Iterator[tuple[int, Layout]]:
        """The layouts of regular files by inode number; one that is not certain is left out."""
        if self._geometry is None:
            return
        for number in sorted(set(wanted)):
            layout = self.layout(number)
            if layout is not None:
                yield number, layout

    def inode(self, number: int) -> Block | None:
        """The bytes of an inode; None where there is none, or its checksum or the filesystem is wrong."""
        geometry = self._geometry
        if geometry is None or not 0 < number <= geometry.inodes:
            return None
        inode = self._inode(geometry, number)
        if len(inode) < geometry.inode_bytes:
            return None
        seed = self.seed(number, inode)
        return inode if seed is None or _is_inode_intact(inode.data, seed) else None

    def place(self, number: int) -> tuple[int, int]:
        """Where an inode lies on the device: its first byte, and how many there are (0: there is none)."""
        geometry = self._geometry
        if geometry is None or not 0 < number <= geometry.inodes:
            return 0, 0
        group, index = divmod(number - 1, geometry.inodes_a_group)
        return self._table(geometry, group) + index * geometry.inode_bytes, geometry.inode_bytes

    def adopt(self, former: Inodes, is_unchanged: Callable[[int, int], bool]) -> bool:
        """Keep what another reader of the same filesystem has read, where its bytes did not change since.

        False, and nothing is kept, when it is not the same filesystem any more.
        """
        if self._geometry is None or self._geometry != former._geometry:
            return False
        self._pieces.update(
            (start, piece) for start, piece in former._pieces.items() if is_unchanged(start, len(piece))
        )
        return True

    def seed(self, number: int, inode: Block) -> int | None:
        """What the checksums of an inode and of its blocks start with; None where there are none."""
        geometry = self._geometry
        if geometry is None or geometry.seed is None:
            return None
        return crc32c(number.to_bytes(4, "little") + inode.data[100:104], geometry.seed)

    @property
    def is_certain(self) -> bool:
        """True for a filesystem that can be read here."""
        return self._geometry is not None

    @property
    def count(self) -> int:
        """How many inodes the filesystem has; 0 when it is not certain."""
        return self._geometry.inodes if self._geometry is not None else 0

    @property
    def block_bytes(self) -> int:
        """The filesystem's block size; 0 when it is not certain."""
        return self._geometry.block_bytes if self._geometry is not None else 0

    def layout(self, number: int, *, kind: int = REGULAR) -> Layout | None:
        """Where the content of an inode of that kind (its format bits) lies; None when it is not certain."""
        geometry, inode = self._geometry, self.inode(number)
        if geometry is None or inode is None:
            return None
        flags = inode.le32(32)
        if inode.le16(0) & 0xF000 != kind or not flags & _FLAG_EXTENTS or flags & _FLAGS_REFUSED:
            return None
        size = inode.le32(4) | inode.le32(108) << 32
        seed = self.seed(number, inode)
        extents: list[Extent] = []
        if not self._collect(geometry, Block(inode.bytes_at(40, 60)), seed, None, extents):
            return None
        layout = Layout(size, tuple(e for e in extents if e.logical < size))
        return layout if layout.is_sound else None

    def _inode(self, geometry: _Geometry, number: int) -> Block:
        at, _ = self.place(number)
        start = at - at % _TABLE_PIECE_BYTES
        if start not in self._pieces:
            if len(self._pieces) >= _KEPT_PIECES:
                self._pieces.pop(next(iter(self._pieces)))
            self._pieces[start] = Block(self.read(start, _TABLE_PIECE_BYTES + geometry.inode_bytes))
        return Block(self._pieces[start].bytes_at(at - start, geometry.inode_bytes))

    def _table(self, geometry: _Geometry, group: int) -> int:
        if group not in self._tables:
            at = (geometry.first_block + 1) * geometry.block_bytes + group * geometry.descriptor_bytes
            descriptor = Block(self.read(at, geometry.descriptor_bytes))
            high = descriptor.le32(40) if geometry.descriptor_bytes >= 64 else 0
            self._tables[group] = (descriptor.le32(8) | high << 32) * geometry.block_bytes
        return self._tables[group]

    def _collect(
        self, geometry: _Geometry, node: Block, seed: int | None, depth: int | None, into: list[Extent]
    ) -> bool:
        """Add the extents below a node of the tree; False when one of them is not certain."""
        entries, most, own_depth = node.le16(2), node.le16(4), node.le16(6)
        if node.le16(0) != _EXTENT_MAGIC or entries > most or own_depth > _MAX_DEPTH:
            return False
        if depth is not None and (own_depth != depth or not _is_intact(node, most, seed)):
            return False
        if 12 * (entries + 1) > len(node.data) or len(into) + entries > _MAX_EXTENTS:
            return False
        for at in range(12, 12 * (entries + 1), 12):
            if own_depth == 0:
                if node.le16(at + 4) > _WRITTEN_MOST:
                    return False
                into.append(_extent(node, at, geometry.block_bytes))
                continue
            below = node.le32(at + 4) | node.le16(at + 8) << 32
            child = Block(self.read(below * geometry.block_bytes, geometry.block_bytes))
            self._nodes += 1
            if self._nodes > _MAX_NODES or not self._collect(geometry, child, seed, own_depth - 1, into):
                return False
        return True


def _extent(node: Block, at: int, unit: int) -> Extent:
    start = node.le32(at + 8) | node.le16(at + 6) << 32
    return Extent(node.le32(at) * unit, start * unit, node.le16(at + 4) * unit)


def _is_inode_intact(raw: bytes, seed: int) -> bool:
    """The checksum's low half is at byte 124; its high half at 130, where the inode has room for it."""
    low = raw[124] | raw[125] << 8
    if len(raw) > _INODE_BASE_BYTES and raw[128] | raw[129] << 8 >= 4:
        whole = b"".join((raw[:124], b"\0\0", raw[126:130], b"\0\0", raw[132:]))
        return crc32c(whole, seed) == low | raw[130] << 16 | raw[131] << 24
    return crc32c(b"".join((raw[:124], b"\0\0", raw[126:])), seed) & 0xFFFF == low


def _is_intact(node: Block, most: int, seed: int | None) -> bool:
    tail = 12 + 12 * most
    if seed is None:
        return True
    return tail + 4 <= len(node.data) and crc32c(node.data[:tail], seed) == node.le32(tail)


def _geometry(raw: bytes) -> _Geometry | None:
    found, block = parse(raw), Block(raw)
    if found is None or block.le32(0x60) & ~_KNOWN_INCOMPAT or not found.block_size_bytes:
        return None
    if block.le32(0xE8) or block.le32(0x64) & _RO_ORPHAN_PRESENT:
        return None
    seed = None
    if block.le32(0x64) & _RO_METADATA_CSUM:
        seeded = block.le32(0x60) & _INCOMPAT_CSUM_SEED
        seed = block.le32(0x270) if seeded else crc32c(block.bytes_at(0x68, 16))
    geometry = _Geometry(
        block_bytes=found.block_size_bytes,
        first_block=block.le32(0x14),
        inodes=block.le32(0),
        inodes_a_group=block.le32(0x28),
        inode_bytes=block.le16(0x58) if block.le32(0x4C) else 128,
        descriptor_bytes=block.le16(0xFE) if block.le32(0x60) & _INCOMPAT_64BIT else 32,
        seed=seed,
    )
    usual = geometry.inodes_a_group and 128 <= geometry.inode_bytes <= geometry.block_bytes
    return geometry if usual and 32 <= geometry.descriptor_bytes <= 1024 else None

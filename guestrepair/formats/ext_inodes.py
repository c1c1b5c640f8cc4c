"""Where files lie on an ext4 filesystem: inode number to extents, read from the device's bytes.

Only what is certain is answered: the checksums of inodes and extent blocks are
verified as the kernel does, its own checks are made (:mod:`guestrepair.formats.ext_accepted`), and
a file that is encrypted, compressed, inline, mapped by ext2's block lists, sealed
by verity, or has extents that are not written yet, has no layout here.
Nor has a filesystem with a journal to replay, orphans to free (which a mount does,
read-only or not) or a feature that is not known.

Source: Documentation/filesystems/ext4 (globals.rst, inodes.rst, ifork.rst, checksums.rst).
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from guestrepair.formats.ext_accepted import (
    FLAG_EXTENTS,
    INODE_BASE_BYTES,
    REGULAR,
    Inode,
    is_accepted,
    parse_inode,
    size_of,
)
from guestrepair.formats.ext_extents import Walker
from guestrepair.formats.ext_geometry import Geometry, Groups, Zone, read_geometry, read_groups, used_inodes
from guestrepair.formats.extents import Layout
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.formats.superblock.ext import PRIMARY_OFFSET, SUPERBLOCK_BYTES
from guestrepair.formats.superblock.model import Read

# compressed, verity: the kernel gives out other bytes than those that lie there, or none
_FLAGS_WITHOUT_LAYOUT = 0x4 | 0x100000
_TABLE_PIECE_BYTES = 64 * 1024
_KEPT_PIECES = 16
"""Pieces of inode tables kept at a time: files of one directory lie near each other, directories do not."""

_KEPT_INODES = 4096
_NUMBERS = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class _Filesystem:
    """What is certain of a filesystem before any of its files is looked at."""

    geometry: Geometry
    groups: Groups
    zone: Zone
    """With the journal's blocks."""


@dataclass(slots=True)
class Inodes:
    """The inodes of one filesystem; ``read`` gives bytes of its device, whose size may be known."""

    read: Read
    size_bytes: int | None = None
    geometry: Geometry | None = field(init=False, default=None)
    """The filesystem's geometry; None for one that cannot be read here."""
    _filesystem: _Filesystem | None = field(init=False, default=None)
    _walker: Walker | None = field(init=False, default=None)
    _pieces: dict[int, bytes] = field(init=False, default_factory=dict)
    _kept: dict[int, Inode | None] = field(init=False, default_factory=dict)
    """What was judged last; a file's attributes, link and layout are asked for one after another."""
    _tables: list[tuple[int, int]] = field(init=False, default_factory=list)
    """Where each group's inode table begins, in order."""
    _journal: Layout | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        geometry = read_geometry(self.read(PRIMARY_OFFSET, SUPERBLOCK_BYTES), self.size_bytes)
        groups = None if geometry is None else read_groups(self.read, geometry)
        if geometry is None or groups is None:
            return
        self._walker = Walker(self.read, geometry)
        self._filesystem, self.geometry = _Filesystem(geometry, groups, groups.zone), geometry
        zone = self._zone_with_journal(geometry, groups)
        self._filesystem = None if zone is None else _Filesystem(geometry, groups, zone)
        self.geometry = None if zone is None else geometry

    def _zone_with_journal(self, geometry: Geometry, groups: Groups) -> Zone | None:
        """The zone, the journal's blocks in it; None when they are not certain, or meet others of it."""
        if not geometry.journal:
            return groups.zone
        journal, unit = self._accepted(geometry.journal), geometry.block_bytes
        layout = None if journal is None else self._layout(geometry.journal, journal, REGULAR)
        if layout is None:
            return None
        self._journal = layout
        return groups.zone.with_runs((e.physical // unit, e.length // unit) for e in layout.extents)

    def layouts(self, wanted: Iterable[int]) -> Iterator[tuple[int, Layout]]:
        """The layouts of regular files by inode number; one that is not certain is left out."""
        for number in sorted(set(wanted)):
            layout = self.layout(number)
            if layout is not None:
                yield number, layout

    def raw(self, number: int) -> Inode | None:
        """An inode, in use or not; None where its checksum or the filesystem is wrong."""
        geometry = self.geometry
        return self._intact(number) if geometry is not None and geometry.is_given_out(number) else None

    def inode(self, number: int) -> Inode | None:
        """An inode in use that the kernel gives out; None where that is not certain."""
        if number not in self._kept:
            if len(self._kept) >= _KEPT_INODES:
                self._kept.clear()
            geometry = self.geometry
            given = geometry is not None and geometry.is_given_out(number)
            self._kept[number] = self._accepted(number) if given else None
        return self._kept[number]

    def _accepted(self, number: int) -> Inode | None:
        filesystem, inode = self._filesystem, self._intact(number)
        if filesystem is None or inode is None:
            return None
        return inode if is_accepted(inode, filesystem.geometry, filesystem.zone) else None

    def _intact(self, number: int) -> Inode | None:
        return self.intact(number, self._bytes(number))

    def intact(self, number: int, data: bytes) -> Inode | None:
        """Bytes as the inode of that number, in use or not; None where their checksum is wrong."""
        geometry = self.geometry
        if geometry is None or len(data) < geometry.inode_bytes:
            return None
        inode = parse_inode(data)
        seed = self.seed(number, inode)
        return inode if seed is None or _is_inode_intact(inode, seed) else None

    def bytes_of(self, number: int) -> bytes:
        """An inode's bytes as they lie there, judged by nobody; empty where there is none."""
        return self._bytes(number) if 0 < number <= self.count else b""

    def used(self) -> Iterator[range]:
        """The numbers of each group's inodes that have ever been in use, as its descriptor says."""
        if self.geometry is None:
            return
        for group, count in enumerate(used_inodes(self.read, self.geometry)):
            first = group * self.geometry.group_inodes + 1
            yield range(first, first + count)

    def place(self, number: int) -> tuple[int, int]:
        """Where an inode lies on the device: its first byte, and how many there are (0: there is none)."""
        filesystem = self._filesystem
        if filesystem is None or not 0 < number <= filesystem.geometry.inodes:
            return 0, 0
        geometry = filesystem.geometry
        group, index = divmod(number - 1, geometry.group_inodes)
        return filesystem.groups.tables[group] + index * geometry.inode_bytes, geometry.inode_bytes

    def adopt(self, former: Inodes, is_unchanged: Callable[[int, int], bool]) -> bool:
        """Keep what another reader of the same filesystem has read, where its bytes did not change since.

        False, and nothing is kept, when it is not the same filesystem any more.
        """
        if self._filesystem is None or self._filesystem != former._filesystem:
            return False
        self._pieces.update(
            (start, piece) for start, piece in former._pieces.items() if is_unchanged(start, len(piece))
        )
        return True

    def seed(self, number: int, inode: Inode) -> int | None:
        """What the checksums of an inode and of its blocks start with; None where there are none."""
        seed = None if self.geometry is None else self.geometry.seed
        return None if seed is None else crc32c(_NUMBERS.pack(number, inode.generation), seed)

    @property
    def is_certain(self) -> bool:
        """True for a filesystem that can be read here."""
        return self.geometry is not None

    @property
    def count(self) -> int:
        """How many inodes the filesystem has; 0 when it is not certain."""
        return self.geometry.inodes if self.geometry is not None else 0

    @property
    def block_bytes(self) -> int:
        """The filesystem's block size; 0 when it is not certain."""
        return self.geometry.block_bytes if self.geometry is not None else 0

    def layout(self, number: int, *, kind: int = REGULAR) -> Layout | None:
        """Where the content of an inode of that kind (its format bits) lies; None when it is not certain."""
        inode = self.inode(number)
        return None if inode is None else self._layout(number, inode, kind)

    def layout_of(self, number: int, inode: Inode, *, kind: int = REGULAR) -> Layout | None:
        """As :meth:`layout`, of an inode as it was at another time."""
        return self._layout(number, inode, kind)

    def journal_layout(self) -> Layout | None:
        """Where the journal lies, if it is a file of the filesystem; None where that is not certain."""
        return self._journal if self.geometry is not None else None

    def numbers_in(self, block: int) -> range:
        """The inodes whose table holds a block; none, if it is of no table."""
        filesystem = self._filesystem
        if filesystem is None:
            return range(0)
        geometry, at = filesystem.geometry, block * filesystem.geometry.block_bytes
        if not self._tables:
            self._tables = sorted((start, group) for group, start in enumerate(filesystem.groups.tables))
        index = bisect.bisect_right(self._tables, (at, geometry.groups)) - 1
        start, group = self._tables[index] if index >= 0 else (at + 1, 0)
        inside = (at - start) // geometry.inode_bytes
        if not 0 <= inside < geometry.group_inodes:
            return range(0)
        first = group * geometry.group_inodes + 1 + inside
        return range(first, first + geometry.block_bytes // geometry.inode_bytes)

    def _layout(self, number: int, inode: Inode, kind: int) -> Layout | None:
        filesystem, walker = self._filesystem, self._walker
        if filesystem is None or walker is None or inode.kind != kind:
            return None
        if not inode.flags & FLAG_EXTENTS or inode.flags & _FLAGS_WITHOUT_LAYOUT:
            return None
        size = size_of(inode, filesystem.geometry)
        extents = walker.extents(inode.places, filesystem.zone, self.seed(number, inode))
        if extents is None:
            return None
        layout = Layout(size, tuple(e for e in extents if e.logical < size))
        return layout if layout.is_sound else None

    def _bytes(self, number: int) -> bytes:
        at, size = self.place(number)
        start = at - at % _TABLE_PIECE_BYTES
        if start not in self._pieces:
            if len(self._pieces) >= _KEPT_PIECES:
                self._pieces.pop(next(iter(self._pieces)))
            self._pieces[start] = self.read(start, _TABLE_PIECE_BYTES + size)
        return self._pieces[start][at - start : at - start + size]


def _is_inode_intact(inode: Inode, seed: int) -> bool:
    """The checksum's low half is at byte 124; its high half at 130, where the inode has room for it."""
    raw = inode.data
    if len(raw) > INODE_BASE_BYTES and inode.extra_bytes >= 4:
        whole = b"".join((raw[:124], b"\0\0", raw[126:130], b"\0\0", raw[132:]))
        return crc32c(whole, seed) == inode.checksum | raw[130] << 16 | raw[131] << 24
    return crc32c(b"".join((raw[:124], b"\0\0", raw[126:])), seed) & 0xFFFF == inode.checksum

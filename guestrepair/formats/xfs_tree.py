"""Names, attributes, links and layouts of an XFS filesystem of version 5, read from the device's bytes.

Only what is certain is answered, as in :mod:`guestrepair.formats.xfs_inodes`; for everything else (damaged
metadata, a log to be replayed, very large directories, realtime files) the answer is None.

Source: the XFS Algorithms & Data Structures document; Linux fs/xfs/xfs_iops.c, libxfs/xfs_symlink_remote.c
(xfs_symlink_hdr_ok, xfs_symlink_remote_read).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guestrepair.formats.extents import Layout
from guestrepair.formats.file_attributes import Attributes, Former, Found, Space, Unsure
from guestrepair.formats.kept_directories import KeptDirectories
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.xfs_accepted import (
    BTREE,
    DIRECTORY,
    EXTENTS,
    LOCAL,
    SECOND,
    SYMLINK,
    Inode,
    times_of,
)
from guestrepair.formats.xfs_attributes import ExtendedAttributes
from guestrepair.formats.xfs_blocks import REMOTE_LINK
from guestrepair.formats.xfs_directory import Directories
from guestrepair.formats.xfs_inodes import Inodes
from guestrepair.formats.xfs_space import space

_SMALL_DIRECTORY_BYTES = 64 << 10
"""Of a larger one, the first block alone is read to learn its parent."""

_LINK_MAGIC = b"XSLM"
_LINK_HEAD_BYTES = 56


@dataclass(frozen=True, slots=True)
class _Directory:
    """What a directory holds, and where that lies."""

    names: Mapping[bytes, int]
    parent: int
    places: Sequence[tuple[int, int]]
    """First bytes and sizes of its blocks; of its inode, and a tree of extents, nothing."""
    is_flat: bool
    """Its extents lie in the inode, and not in blocks of their own."""


@dataclass(slots=True)
class Tree:
    """The directories of one filesystem; what they hold is kept as far as there is room."""

    inodes: Inodes
    _directories: Directories | None = field(init=False, default=None)
    _attributes: ExtendedAttributes | None = field(init=False, default=None)
    _kept: KeptDirectories[_Directory] = field(init=False, default_factory=KeptDirectories)

    def __post_init__(self) -> None:
        blocks = self.inodes.blocks
        if blocks is not None:
            self._directories, self._attributes = Directories(blocks), ExtendedAttributes(blocks)

    @property
    def root(self) -> int:
        """The inode number of the top directory; 0 where the filesystem cannot be read here."""
        return self.inodes.geometry.root if self.inodes.geometry is not None else 0

    def space(self) -> Space | None:
        """What statfs(2) says; None: not certain."""
        return space(self.inodes)

    def adopt(self, former: Tree, is_unchanged: Callable[[int, int], bool]) -> None:
        """Keep what another reader of the same filesystem has found, where its bytes did not change since.

        ``is_unchanged`` tells it of a first byte and a number of bytes of the device.
        """
        if not self.inodes.adopt(former.inodes, is_unchanged):
            return
        for number, directory in former._kept.items():
            places = [self.inodes.place(number), *directory.places]
            # Of blocks that hold extents, nothing is known here.
            if directory.is_flat and all(is_unchanged(at, size) for at, size in places):
                self._kept.keep(number, directory)

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their inode numbers, ``.`` and ``..`` left out; None: not certain."""
        found = self._directory(directory)
        return None if found is None else found.names

    def parent(self, directory: int) -> int | None:
        """The inode number that a directory's ``..`` stands for; None: not certain.

        One that is reached from another directory may lead in circles: the kernel follows no such name.
        """
        inode = self._inode_of(directory, DIRECTORY) if directory not in self._kept else None
        if inode is not None and self._directories is not None and inode.size > _SMALL_DIRECTORY_BYTES:
            runs = self.inodes.runs(directory, inode)
            return None if not runs else self._directories.first_parent(directory, runs)
        found = self._directory(directory)
        return None if found is None else found.parent

    def attributes(self, number: int) -> Attributes | None:
        """The attributes of an inode that is in use; None: not certain."""
        inode = self.inodes.inode(number)
        if inode is None:
            return None
        _, modified, changed, _ = times_of(inode)
        return Attributes(
            inode=number,
            mode=inode.mode,
            uid=inode.uid,
            gid=inode.gid,
            size_bytes=inode.size,
            links=inode.links,
            mtime=modified // SECOND,
            ctime=changed // SECOND,
        )

    def xattrs(self, number: int) -> Mapping[bytes, bytes] | None:
        """The extended attributes of an inode in use; None: not certain."""
        inode = self.inodes.inode(number)
        if inode is None or self._attributes is None:
            return None
        if not inode.fork_offset or (inode.attribute_form == EXTENTS and not inode.attribute_extents):
            return {}  # as most files: there is no fork, or nothing in it
        runs = [] if inode.attribute_form == LOCAL else self.inodes.attribute_runs(number, inode)
        return None if runs is None else self._attributes.of(number, inode, runs)

    def link_target(self, number: int) -> bytes | None:
        """Where a symbolic link leads, empty for what is none; None: not certain."""
        inode = self.inodes.inode(number)
        if inode is None:
            return None
        if inode.kind != SYMLINK:
            return b""
        target = inode.content_fork[: inode.size] if inode.form == LOCAL else self._remote(number, inode)
        return target if target is not None and len(target) == inode.size and b"\0" not in target else None

    def content(self, number: int, offset: int, size: int) -> bytes | None:
        """None: what has no layout is not certain."""
        return None

    def layout(self, number: int) -> Layout | None:
        """Where the content of a regular file lies; None: not certain."""
        return self.inodes.layout(number)

    def records(self, beyond: Collection[bytes]) -> Iterator[Found | Unsure]:
        """Every name with its inode; not what lies below ``beyond``."""
        from guestrepair.formats.xfs_records import records  # which is built on this

        return records(self, beyond)

    def former_files(self) -> Iterator[Former]:
        """Nothing: a log that is not to be replayed is not searched for what was deleted."""
        return iter(())

    def deletion_times(
        self, directory: int, wanted: Collection[bytes] | None = None
    ) -> Mapping[bytes, int] | None:
        """None of the names: a deleted entry keeps half of its inode's number, which proves nothing.

        None for what is no directory here.
        """
        return None if self._inode_of(directory, DIRECTORY) is None else {}

    def _inode_of(self, number: int, kind: int) -> Inode | None:
        inode = self.inodes.inode(number)
        return inode if inode is not None and inode.kind == kind else None

    def _directory(self, number: int) -> _Directory | None:
        found = self._kept.get(number)
        if found is None:
            found = self._read(number)
            if found is not None:
                self._kept.keep(number, found)
        return found

    def _read(self, number: int) -> _Directory | None:
        inode, geometry = self._inode_of(number, DIRECTORY), self.inodes.geometry
        if inode is None or geometry is None or self._directories is None:
            return None
        runs = [] if inode.form == LOCAL else self.inodes.runs(number, inode)
        found = None if runs is None else self._directories.names(number, inode, runs)
        if found is None or found.parent is None or runs is None:
            return None
        places = [(geometry.address(run.block), run.length << geometry.block_log) for run in runs]
        return _Directory(found.names, found.parent, places, is_flat=inode.form != BTREE)

    def _remote(self, number: int, inode: Inode) -> bytes | None:
        """The target of a link that lies in blocks: each extent has a head of its own."""
        runs, blocks = self.inodes.runs(number, inode), self.inodes.blocks
        if runs is None or blocks is None:
            return None
        log, found = blocks.geometry.block_log, b""
        for run in runs:
            at, size = blocks.geometry.address(run.block), run.length << log
            if not run.written or size > 4 * inode.size + (1 << 16):
                return None
            data = blocks.read(at, size)
            if len(data) != size or not blocks.is_intact(
                data, REMOTE_LINK, magic=_LINK_MAGIC, at=at, owner=number
            ):
                return None
            offset, length = int.from_bytes(data[4:8], "big"), int.from_bytes(data[8:12], "big")
            if offset != len(found) or not 0 < length <= size - _LINK_HEAD_BYTES:
                return None
            found += data[_LINK_HEAD_BYTES : _LINK_HEAD_BYTES + length]
        return found


def open_tree(read: Read, size_bytes: int) -> Tree:
    """The directories of the filesystem that ``read`` reads, on a device of that size.

    Raises:
        Whatever ``read`` raises.
    """
    return Tree(Inodes(read, size_bytes))

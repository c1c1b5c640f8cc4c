"""Names, attributes and places of the files of a FAT filesystem (12, 16, 32; long names), all read at once.

FAT has no checksums. What takes their place: the copies of its table agree, every chain of clusters is as
long as its file and shares no cluster with another, and every directory begins with itself and its parent.
One entry that is not certain makes the whole filesystem so: the kernel numbers its inodes again at each
mount, and its answers and those from here must never be mixed.

Modes and owners are those of a mount without options by root with umask 022, as the appliance mounts.

Source: Microsoft's FAT specification 1.03; Linux fs/fat/inode.c (fat_fill_inode, fat_read_root,
fat_statfs), fat.h (fat_make_mode), namei_vfat.c (vfat_find) and dir.c (fat_search_long).
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from guestrepair.errors import FormatError
from guestrepair.formats.extents import MAX_EXTENTS, Extent, Layout
from guestrepair.formats.fat_entries import READ_ONLY, Entry, parse_entries
from guestrepair.formats.fat_geometry import (
    BOOT_BYTES,
    ENTRY_BYTES,
    Geometry,
    Table,
    read_geometry,
    read_table,
)
from guestrepair.formats.file_attributes import Attributes, Former, Found, Space, Unsure
from guestrepair.formats.superblock.model import Read

ROOT_INODE = 1
_NUMBERS_FROM = 1 << 32
"""Files are numbered by the places of their entries, from here: the kernel's numbers have 32 bits, and a
number that it gave at a mount is none of a file here."""

MAX_ENTRIES = 50_000
MAX_DIRECTORY_BYTES = 8 << 20
"""Of all directories together."""
MAX_DEPTH = 100

_FOLDER_MODE, _FILE_MODE, _READ_ONLY_MODE = 0o040755, 0o100755, 0o100555
_SECOND = 1_000_000_000


class Names(Mapping[bytes, int]):
    """Names and inode numbers of a directory: lists each as it stands, and finds it as the kernel does.

    That is without regard to case or dots at the end, and by its short name as well.
    """

    def __init__(self) -> None:
        self._listed: dict[bytes, int] = {}
        self._found: dict[bytes, int] = {}

    def __getitem__(self, name: bytes) -> int:
        return self._found[_folded(name)]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._listed)

    def __len__(self) -> int:
        return len(self._listed)

    def add(self, entry: Entry, number: int) -> None:
        """Add an entry.

        Raises:
            FormatError: something of that name is there.
        """
        for name in {_folded(entry.name), _folded(entry.alias)}:
            if self._found.setdefault(name, number) != number:
                raise FormatError("a name that stands twice in a directory")
        self._listed[entry.name] = number


def _folded(name: bytes) -> bytes:
    return name.rstrip(b".").lower()


class _File(NamedTuple):
    """A file or directory, and the times that only a record of it tells (nanoseconds; None: none kept)."""

    attributes: Attributes
    layout: Layout | None
    created: int | None
    accessed: int | None


@dataclass(slots=True)
class _Directory:
    """A directory whose entries are read; where it lies, in pieces of bytes of the device."""

    number: int
    parent: int
    cluster: int
    """Its first one; 0: the top directory in a place of its own."""
    depth: int
    pieces: list[tuple[int, int]]
    names: Names = field(default_factory=Names)


@dataclass(slots=True)
class Tree:
    """All of one FAT filesystem; it answers nothing where it was not certain of all."""

    _files: dict[int, _File] = field(default_factory=dict)
    _directories: dict[int, _Directory] = field(default_factory=dict)
    _space: Space | None = None

    @property
    def root(self) -> int:
        """The inode number of the top directory."""
        return ROOT_INODE

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory, found as the kernel finds them; None: no directory, or not certain."""
        found = self._directories.get(directory)
        return None if found is None else found.names

    def parent(self, directory: int) -> int | None:
        """The directory that holds a directory; the top one holds itself. None: not certain."""
        found = self._directories.get(directory)
        return None if found is None else found.parent

    def attributes(self, number: int) -> Attributes | None:
        """The attributes that the kernel makes up for a file; None: not certain.

        FAT keeps no time of change: it is that of the content, as kernels since 5.19 have it.
        """
        found = self._files.get(number)
        return None if found is None else found.attributes

    def xattrs(self, number: int) -> Mapping[bytes, bytes] | None:
        """Empty: there are none on FAT; None: no file, or not certain."""
        return {} if number in self._files else None

    def link_target(self, number: int) -> bytes | None:
        """Empty: there are no symbolic links on FAT; None: no file, or not certain."""
        return b"" if number in self._files else None

    def content(self, number: int, offset: int, size: int) -> bytes | None:
        """None: what has no layout is not certain."""
        return None

    def layout(self, number: int) -> Layout | None:
        """Where the content of a regular file lies; None: it is none, in too many pieces, or not certain."""
        found = self._files.get(number)
        return None if found is None else found.layout

    def deletion_times(
        self, directory: int, _wanted: Collection[bytes] | None = None
    ) -> Mapping[bytes, int] | None:
        """None known: FAT marks an entry as deleted and does not say when; None: not certain."""
        return {} if directory in self._directories else None

    def records(self, beyond: Collection[bytes]) -> Iterator[Found | Unsure]:
        """Every name with its times; not what lies below the paths ``beyond``."""
        if not self._directories:
            yield Unsure(b"")
        pending = [(b"", ROOT_INODE)] if self._directories else []
        left = frozenset(beyond)
        while pending:
            path, number = pending.pop()
            for name, inode in self._directories[number].names.items():
                found = _found(path + b"/" + name if path else name, self._files[inode])
                yield found
                if inode in self._directories and found.path not in left:
                    pending.append((found.path, inode))

    def former_files(self) -> Iterator[Former]:
        """None: there is no journal."""
        return iter(())

    def space(self) -> Space | None:
        """What statfs(2) says: clusters without a file, counted in the table; FAT has no inodes."""
        return self._space

    def adopt(self, _former: Tree, _is_unchanged: Callable[[int, int], bool]) -> None:
        """Nothing is kept: a change anywhere may have changed the table, and all was read again already."""


def open_tree(read: Read, size_bytes: int) -> Tree:
    """The files of the filesystem that ``read`` reads, on a device of that size.

    Raises:
        Whatever ``read`` raises.
    """
    try:
        return _Walk(read, size_bytes).tree()
    except FormatError:
        return Tree()


class _Walk:
    """From the top directory down, until all is read.

    Raises:
        FormatError: something is not certain.
    """

    def __init__(self, read: Read, size_bytes: int) -> None:
        self._read = read
        self._geometry: Geometry = read_geometry(read(0, BOOT_BYTES), size_bytes)
        self._table: Table = read_table(read, self._geometry)
        self._files: dict[int, _File] = {}
        self._directories: dict[int, _Directory] = {}
        self._bytes_left = MAX_DIRECTORY_BYTES

    def tree(self) -> Tree:
        geometry = self._geometry
        unit = geometry.cluster_bytes
        space = Space(geometry.clusters * unit, self._table.free * unit, self._table.free * unit, 0, 0)
        pending = [self._top()]
        while pending:
            directory = pending.pop()
            self._directories[directory.number] = directory
            pending += self._look_into(directory)
        return Tree(self._files, self._directories, space)

    def _top(self) -> _Directory:
        geometry = self._geometry
        if geometry.root_bytes:
            pieces = [(geometry.root_at, geometry.root_bytes)]
        else:
            pieces = list(self._pieces(geometry.root_cluster))
        return _Directory(ROOT_INODE, ROOT_INODE, geometry.root_cluster, 0, pieces)

    def _pieces(self, cluster: int) -> Iterator[tuple[int, int]]:
        unit = self._geometry.cluster_bytes
        return ((self._geometry.place(at), count * unit) for at, count in self._table.runs(cluster))

    def _look_into(self, directory: _Directory) -> list[_Directory]:
        """Read a directory; those in it are to be looked into next."""
        size = sum(length for _, length in directory.pieces)
        self._bytes_left -= size
        if self._bytes_left < 0 or directory.depth > MAX_DEPTH:
            raise FormatError("directories too large or too deep to be read here")
        data = b"".join(self._read(at, length) for at, length in directory.pieces)
        if len(data) != size:
            raise FormatError("a directory that is cut off")
        entries = list(parse_entries(data))
        if directory.number != ROOT_INODE:
            entries = self._without_dots(directory, entries)
        within: list[_Directory] = []
        starts = list(itertools.accumulate((length for _, length in directory.pieces), initial=0))
        for entry in entries:
            piece = bisect.bisect_right(starts, entry.at) - 1
            place = directory.pieces[piece][0] + entry.at - starts[piece]
            number = _NUMBERS_FROM + place // ENTRY_BYTES
            directory.names.add(entry, number)
            if entry.is_directory:
                pieces = list(self._pieces(self._cluster(entry)))
                within.append(
                    _Directory(number, directory.number, self._cluster(entry), directory.depth + 1, pieces)
                )
                self._add(number, entry, None)
            else:
                self._add(number, entry, self._content(entry))
        self._finish(directory, size, len(within))
        return within

    def _without_dots(self, directory: _Directory, entries: list[Entry]) -> list[Entry]:
        """The entries behind the first two, which must be the directory itself and the one above it."""
        above = self._directories[directory.parent]
        # Of the top directory, 0 stands for its first cluster.
        parents = {0, above.cluster} if above.number == ROOT_INODE else {above.cluster}
        first = [(e.name, e.is_directory, self._cluster(e)) for e in entries[:2]]
        if first[:1] != [(b".", True, directory.cluster)] or first[1:] not in [
            [(b"..", True, parent)] for parent in parents
        ]:
            raise FormatError("a directory that does not begin with itself and its parent")
        return entries[2:]

    def _cluster(self, entry: Entry) -> int:
        high = entry.cluster_high << 16 if self._geometry.bits == 32 else 0
        return entry.cluster_low | high

    def _content(self, entry: Entry) -> Layout:
        cluster, unit = self._cluster(entry), self._geometry.cluster_bytes
        pieces = list(self._pieces(cluster)) if cluster else []
        if sum(length for _, length in pieces) != -(-entry.size_bytes // unit) * unit:
            raise FormatError("a file of another size than its chain of clusters")
        return Layout(entry.size_bytes, tuple(_extents(pieces)))

    def _add(self, number: int, entry: Entry, layout: Layout | None) -> None:
        if len(self._files) >= MAX_ENTRIES or entry.name in (b".", b".."):
            raise FormatError("more files than are read here, or one of an impossible name")
        mode = _READ_ONLY_MODE if entry.attributes & READ_ONLY else _FILE_MODE
        mode = _FOLDER_MODE if entry.is_directory else mode
        when = entry.modified
        attributes = Attributes(number, mode, 0, 0, entry.size_bytes, 1, when, when)
        kept = layout if layout is not None and len(layout.extents) <= MAX_EXTENTS else None
        accessed = None if entry.accessed is None else entry.accessed * _SECOND
        self._files[number] = _File(attributes, kept, entry.created, accessed)

    def _finish(self, directory: _Directory, size: int, within: int) -> None:
        """What a directory's own attributes say of its content: its size, and a link for each one in it."""
        number, when = directory.number, 0
        known = self._files.get(number)
        if known is not None:
            when = known.attributes.mtime
        attributes = Attributes(number, _FOLDER_MODE, 0, 0, size, within + 2, when, when)
        created, accessed = (None, None) if known is None else (known.created, known.accessed)
        self._files[number] = _File(attributes, None, created, accessed)


def _extents(pieces: Iterable[tuple[int, int]]) -> Iterator[Extent]:
    logical = 0
    for at, length in pieces:
        yield Extent(logical, at, length)
        logical += length


def _found(path: bytes, file: _File) -> Found:
    known = file.attributes
    return Found(
        path=path,
        inode=known.inode,
        mode=known.mode,
        uid=known.uid,
        gid=known.gid,
        size_bytes=known.size_bytes,
        accessed=file.accessed,
        modified=known.mtime * _SECOND,
        changed=None,
        created=file.created,
        deleted_at=None,
        target=b"",
        deleted=False,
        reallocated=False,
    )

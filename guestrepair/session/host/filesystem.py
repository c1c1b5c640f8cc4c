"""One filesystem read on the host: directories, attributes, links and content by inode number.

Only what is certain is answered (:class:`guestrepair.session.host.readable.ReadableFilesystem`); everything
else is None, and is asked of the appliance.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from stat import S_ISDIR, S_ISREG
from typing import TypeVar

from guestrepair.errors import GuestReadError
from guestrepair.formats.extents import Layout
from guestrepair.formats.file_attributes import Attributes, Former, Found, Space, Unsure
from guestrepair.formats.superblock.model import Read
from guestrepair.session.host.readable import Opener, ReadableFilesystem

T = TypeVar("T")
_KEPT_LAYOUTS, _KEPT_EXTENTS = 1024, 100_000
"""What is kept of where files lie: so many files, with so many extents in all."""


@dataclass(slots=True)
class HostFilesystem:
    """The filesystem that ``read`` reads, on a device of ``size_bytes``, as ``opener`` understands it."""

    read: Read
    size_bytes: int
    opener: Opener
    _tree: ReadableFilesystem | None = field(init=False, default=None)
    _layouts: dict[int, Layout | None] = field(init=False, default_factory=dict)
    _extents: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        with contextlib.suppress(GuestReadError):
            self._tree = self.opener(self.read, self.size_bytes)

    @property
    def is_certain(self) -> bool:
        """True when it can be read here, from its top directory on."""
        return self._ask(lambda tree: tree.names(tree.root)) is not None

    @property
    def tree(self) -> ReadableFilesystem | None:
        """What reads it; None when it cannot be read here."""
        return self._tree

    @property
    def root(self) -> int | None:
        """The inode number of the top directory."""
        return None if self._tree is None else self._tree.root

    def release(self) -> ReadableFilesystem | None:
        """Answer nothing any more: the disk changes, or was closed. What was read is given away."""
        tree, self._tree = self._tree, None
        return tree

    def adopt(self, former: ReadableFilesystem, is_unchanged: Callable[[int, int], bool]) -> None:
        """Keep of what was read before what has not changed since, if it is of the same kind."""
        if type(former) is type(self._tree):
            self._ask(lambda tree: tree.adopt(former, is_unchanged))

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their inode numbers."""
        return self._ask(lambda tree: tree.names(directory))

    def parent(self, directory: int) -> int | None:
        """The inode number that a directory's ``..`` stands for."""
        return self._ask(lambda tree: tree.parent(directory))

    def attributes(self, inode: int) -> Attributes | None:
        """What an inode in use says."""
        return self._ask(lambda tree: tree.attributes(inode))

    def children(self, directory: int, inodes: Iterable[int]) -> Mapping[int, Attributes]:
        """The attributes of what a directory leads to; what is not certain is left out.

        Of another directory, only where that is its child. So no path leads in circles: a kernel goes no
        such way either.
        """
        return self._ask(lambda tree: _children(tree, directory, inodes)) or {}

    def xattrs(self, inode: int) -> Mapping[bytes, bytes] | None:
        """The extended attributes of an inode in use, by whole names."""
        return self._ask(lambda tree: tree.xattrs(inode))

    def link_target(self, inode: int) -> bytes | None:
        """Where a symbolic link leads; empty for what is none."""
        return self._ask(lambda tree: tree.link_target(inode))

    def deletion_times(self, directory: int, wanted: Collection[bytes]) -> Mapping[bytes, int] | None:
        """When those names went that a directory still holds traces of; seconds since the epoch."""
        return self._ask(lambda tree: tree.deletion_times(directory, wanted))

    def records(self, beyond: Collection[bytes]) -> Iterator[Found | Unsure] | None:
        """Every name with all its times; what cannot be read of the device is raised as it comes."""
        return self._ask(lambda tree: tree.records(beyond))

    def former_files(self) -> Iterator[Former] | None:
        """Deleted files as its journal still has them."""
        return self._ask(lambda tree: tree.former_files())

    def regular_file(self, path: str) -> tuple[Attributes, ...] | None:
        """The regular file at a path below the top, no link followed: none or one; None: not certain."""
        here, steps = self.root, [os.fsencode(step) for step in path.split("/")]
        for index, step in enumerate(steps):
            inside = None if here is None else self.names(here)
            if inside is None or step in {b"", b"."}:
                return None
            inode = inside.get(step)
            if inode is None:
                return ()
            found = self.attributes(inode)
            if found is None or index + 1 == len(steps):
                return None if found is None else (found,) if S_ISREG(found.mode) else ()
            if not S_ISDIR(found.mode):
                return ()
            if self.parent(inode) != here:
                return None  # no child of its parent: the kernel goes no such way
            here = inode
        return None

    def space(self) -> Space | None:
        """What statfs(2) says of it."""
        return self._ask(lambda tree: tree.space())

    def lying_at(self, layout: Layout, offset: int, size: int) -> bytes | None:
        """What lies at a layout, whosever it is now; None where it is not on the device."""
        end = min(offset + size, layout.size_bytes)
        if offset >= end or self._usable(layout) is None:
            return b"" if offset >= end else None
        return self._ask(lambda _tree: _content(self.read, layout, offset, end))

    def content(self, inode: int, offset: int, size: int) -> bytes | None:
        """Bytes of a regular file, short at its end."""
        layout = self.layout(inode)
        if layout is None:
            return self.unpacked(inode, offset, size)
        end = min(offset + size, layout.size_bytes)
        return b"" if offset >= end else self._ask(lambda _tree: _content(self.read, layout, offset, end))

    def unpacked(self, inode: int, offset: int, size: int) -> bytes | None:
        """Bytes of a regular file that has no layout."""
        return self._ask(lambda tree: tree.content(inode, offset, size))

    def layout(self, inode: int) -> Layout | None:
        """Where the content of a regular file lies."""
        if inode not in self._layouts:
            self._keep(inode, self._ask(lambda tree: self._usable(tree.layout(inode))))
        return self._layouts[inode] if self._tree is not None else None

    def _keep(self, inode: int, layout: Layout | None) -> None:
        self._layouts[inode] = layout
        self._extents += _extents(layout)
        while len(self._layouts) > 1 and (
            len(self._layouts) > _KEPT_LAYOUTS or self._extents > _KEPT_EXTENTS
        ):
            self._extents -= _extents(self._layouts.pop(next(iter(self._layouts))))

    def _usable(self, layout: Layout | None) -> Layout | None:
        return layout if layout is not None and layout.lies_within(self.size_bytes) else None

    def _ask(self, question: Callable[[ReadableFilesystem], T]) -> T | None:
        """The answer; a filesystem that cannot be read here is not asked again."""
        if self._tree is None:
            return None
        try:
            return question(self._tree)
        except GuestReadError:
            self._tree = None
            return None


def _children(tree: ReadableFilesystem, directory: int, inodes: Iterable[int]) -> dict[int, Attributes]:
    found: dict[int, Attributes] = {}
    for number in inodes:
        attributes = tree.attributes(number)
        if attributes is None or (S_ISDIR(attributes.mode) and tree.parent(number) != directory):
            continue
        found[number] = attributes
    return found


def _extents(layout: Layout | None) -> int:
    return 0 if layout is None else len(layout.extents)


def pieces(layout: Layout, start: int, end: int) -> Iterable[tuple[int, int]]:
    """What makes up a part of a file: where each piece lies on the device (-1: zeros), and its length.

    What follows each other in the file and on the device as well is one piece.
    """
    if len(layout.extents) < 2:  # as most files are
        yield from _parts(layout, start, end)
        return
    held_at, held = 0, 0
    for at, length in _parts(layout, start, end):
        if held and (at == held_at + held if held_at >= 0 else at < 0):
            held += length
            continue
        if held:
            yield held_at, held
        held_at, held = at, length
    if held:
        yield held_at, held


def _parts(layout: Layout, start: int, end: int) -> Iterator[tuple[int, int]]:
    at = start
    first = bisect.bisect_right(layout.extents, start, key=lambda e: e.logical) - 1 if start else 0
    for extent in itertools.islice(layout.extents, max(first, 0), None):
        if extent.logical >= end:
            break
        last = min(extent.logical + extent.length, end)
        if last <= at:
            continue
        if extent.logical > at:
            yield -1, extent.logical - at
            at = extent.logical
        yield extent.physical + at - extent.logical, last - at
        at = last
    if at < end:
        yield -1, end - at


def _content(read: Read, layout: Layout, start: int, end: int) -> bytes | None:
    found = b"".join(
        bytes(length) if at < 0 else read(at, length) for at, length in pieces(layout, start, end)
    )
    return found if len(found) == end - start else None

"""One ext4 filesystem read on the host: directories, attributes, links and content by inode number.

Only what is certain is answered (:mod:`guestrepair.formats.ext_tree`); everything else is None, and
is asked of the appliance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from guestrepair.errors import GuestReadError
from guestrepair.formats.ext_inodes import Inodes
from guestrepair.formats.ext_tree import Attributes, Tree
from guestrepair.formats.extents import Layout
from guestrepair.formats.superblock.model import Read

T = TypeVar("T")
ROOT_INODE = 2
MAX_HOLE_BYTES = 64 << 20
"""A file with more holes than that is read by the appliance."""

_KEPT_LAYOUTS = 1024


@dataclass(slots=True)
class HostFilesystem:
    """The filesystem that ``read`` reads, on a device of ``size_bytes``."""

    read: Read
    size_bytes: int
    _tree: Tree | None = field(init=False, default=None)
    _layouts: dict[int, Layout | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        with contextlib.suppress(GuestReadError):
            self._tree = Tree(Inodes(self.read))

    @property
    def is_certain(self) -> bool:
        """True when it can be read here, from its top directory on."""
        return self.names(ROOT_INODE) is not None

    def leave(self) -> Tree | None:
        """Answer nothing any more: the disk changes, or was closed. What was read is given away."""
        tree, self._tree = self._tree, None
        return tree

    def adopt(self, former: Tree, is_unchanged: Callable[[int, int], bool]) -> None:
        """Keep of what was read before what has not changed since."""
        self._ask(lambda tree: tree.adopt(former, is_unchanged))

    def names(self, directory: int) -> Mapping[bytes, int] | None:
        """The names in a directory and their inode numbers."""
        return self._ask(lambda tree: tree.names(directory))

    def attributes(self, inode: int) -> Attributes | None:
        """What an inode in use says."""
        return self._ask(lambda tree: tree.attributes(inode))

    def has_xattrs(self, inode: int) -> bool | None:
        """Whether an inode has extended attributes."""
        return self._ask(lambda tree: tree.has_xattrs(inode))

    def link_target(self, inode: int) -> bytes | None:
        """Where a short symbolic link leads; empty for what is none."""
        return self._ask(lambda tree: tree.link_target(inode))

    def deletion_times(self, directory: int) -> Mapping[bytes, int] | None:
        """When names went that a directory still holds traces of; seconds since the epoch."""
        return self._ask(lambda tree: tree.deletion_times(directory))

    def content(self, inode: int, offset: int, size: int) -> bytes | None:
        """Bytes of a regular file, short at its end."""
        layout = self.layout(inode)
        if layout is None:
            return None
        end = min(offset + size, layout.size_bytes)
        return b"" if offset >= end else self._ask(lambda _tree: _content(self.read, layout, offset, end))

    def layout(self, inode: int) -> Layout | None:
        """Where the content of a regular file lies."""
        if inode not in self._layouts:
            if len(self._layouts) >= _KEPT_LAYOUTS:
                self._layouts.pop(next(iter(self._layouts)))
            self._layouts[inode] = self._ask(lambda tree: self._usable(tree.inodes.layout(inode)))
        return self._layouts[inode] if self._tree is not None else None

    def _usable(self, layout: Layout | None) -> Layout | None:
        if layout is None or not layout.lies_within(self.size_bytes) or layout.hole_bytes > MAX_HOLE_BYTES:
            return None
        return layout

    def _ask(self, question: Callable[[Tree], T]) -> T | None:
        """The answer; a filesystem that cannot be read here is not asked again."""
        if self._tree is None:
            return None
        try:
            return question(self._tree)
        except GuestReadError:
            self._tree = None
            return None


def pieces(layout: Layout, start: int, end: int) -> Iterable[tuple[int, int]]:
    """What makes up a part of a file: where each piece lies on the device (-1: zeros), and its length."""
    at = start
    for extent in layout.extents:
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

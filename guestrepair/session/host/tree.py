"""A mounted guest as the host sees it: which of its filesystems the host reads, and where each is mounted.

Under emulation a scan's many thousand questions to the appliance take seconds, and its launch most of
a command. For ext4 on a partition or a whole disk the host finds the answers itself. It answers only
what it is certain of; every other question goes to the appliance. What it calls missing it keeps in
mind: the appliance's filesystem is asked about all of that together before it is believed.
"""

from __future__ import annotations

import os
import stat as stat_module
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from guestrepair.formats.ext_tree import Attributes
from guestrepair.formats.extents import Layout
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.view import Stat
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.host.filesystem import ROOT_INODE, HostFilesystem


@dataclass(slots=True)
class HostTree:
    """A guest's filesystems by the real paths that they are mounted on; None: not the host's to read.

    Its numbers of filesystems (``Stat.device``) are negative, and no device number of the appliance.
    """

    disks: HostDisks
    mounted: dict[str, BlockDevice | None]
    missing: dict[str, set[str]] = field(init=False, default_factory=lambda: defaultdict(set))
    """By directory, the names that were said to be missing and that nobody else was asked about yet."""
    _numbers: dict[str, int] = field(init=False, default_factory=dict)
    _holders: dict[str, str] = field(init=False, default_factory=dict)
    _closed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._count_mounts()

    def mount(self, path: str, device: BlockDevice | None) -> None:
        """A filesystem is mounted on a real path; None: not one that the host may read."""
        self.mounted[path] = device
        self._count_mounts()
        self.cover(path)

    def cover(self, path: str) -> None:
        """Something is mounted on a path: what was missing there and below is so no longer, perhaps."""
        below = f"{path.rstrip('/')}/"
        for directory in [d for d in self.missing if f"{d}/".startswith(below)]:
            del self.missing[directory]

    def close(self) -> None:
        """Answer nothing any more: what is read from now on is asked of the appliance."""
        self._closed = True

    def _count_mounts(self) -> None:
        self._numbers = {target: -1 - index for index, target in enumerate(self.mounted)}
        self._holders = {target: target for target in self.mounted}

    def mount_point(self, path: str) -> str:
        """The mount point that a real path lies below. Kept by directory: there are far more files."""
        if path in self.mounted:
            return path
        directory = above = path.rpartition("/")[0] or "/"
        while above not in self._holders:
            above = above.rpartition("/")[0] or "/"
        return self._holders.setdefault(directory, self._holders[above])

    def filesystem(self, path: str) -> HostFilesystem | None:
        """The filesystem that a real path lies on, where the host reads it."""
        device = None if self._closed else self.mounted[self.mount_point(path)]
        return None if device is None else self.disks.filesystem(device)

    def number(self, path: str) -> int | None:
        """The number of the filesystem that a path lies on; None where the host does not read it."""
        return None if self.filesystem(path) is None else self._numbers[self.mount_point(path)]

    def stats(self, directory: str, top: Stat | None, names: Iterable[str]) -> dict[str, Stat | None]:
        """Lstat of names in a directory, whose own is ``top``; a name that is not certain is left out."""
        filesystem, inside = self._look(directory, top)
        found: dict[str, Stat | None] = {}
        if filesystem is None or inside is None:
            return found
        prefix, number = directory.rstrip("/"), self._numbers[self.mount_point(directory)]
        here = self._inode(directory, top)
        for name in names:
            path = f"{prefix}/{name}"
            inode = inside.get(name.encode(errors="surrogateescape"))
            if inode is None:
                found[name] = None
                self.missing[directory].add(name)
                continue
            attributes = _reached(filesystem, here, inode) if path not in self.mounted else None
            stat = self.top(path) if attributes is None else _stat(attributes, number)
            if stat is not None:
                found[name] = stat
        return found

    def top(self, path: str = "/") -> Stat | None:
        """Lstat of a directory that something is mounted on; None when there is none, or not certain."""
        filesystem = self.filesystem(path) if path in self.mounted else None
        attributes = None if filesystem is None else filesystem.attributes(ROOT_INODE)
        return None if attributes is None else _stat(attributes, self._numbers[path])

    def listing(self, directory: str, top: Stat | None) -> tuple[str, ...] | None:
        """All names in a directory, unsorted; None when that is not certain."""
        _, inside = self._look(directory, top)
        return None if inside is None else tuple(name.decode(errors="surrogateescape") for name in inside)

    def targets(self, directory: str, top: Stat | None, names: Iterable[str]) -> dict[str, str]:
        """Where those names lead that are certainly short symbolic links; "" for what is certainly none."""
        filesystem, inside = self._look(directory, top)
        found: dict[str, str] = {}
        if filesystem is None or inside is None:
            return found
        for name in names:
            inode = inside.get(name.encode(errors="surrogateescape"))
            target = None if inode is None else filesystem.link_target(inode)
            if target is not None and f"{directory.rstrip('/')}/{name}" not in self.mounted:
                found[name] = target.decode(errors="surrogateescape")
        return found

    def deletion_times(self, directory: str, top: Stat | None, names: Iterable[str]) -> dict[str, int] | None:
        """When those names went that the directory still holds traces of; None when that is not certain."""
        filesystem, inside = self._look(directory, top)
        if filesystem is None or inside is None:
            return None
        wanted = frozenset(map(os.fsencode, names))
        times = filesystem.deletion_times(self._inode(directory, top), wanted)
        return None if times is None else {os.fsdecode(name): when for name, when in times.items()}

    def has_xattrs(self, path: str, stat: Stat) -> bool | None:
        """Whether a file has extended attributes; None when that is not certain."""
        filesystem = self._of(path, stat)
        return None if filesystem is None else filesystem.has_xattrs(stat.inode)

    def content(self, path: str, stat: Stat, offset: int, size: int) -> bytes | None:
        """Bytes of a regular file; None when they are not certain."""
        filesystem = self.filesystem(path)
        if filesystem is None or self.layout(path, stat) is None:
            return None
        return filesystem.content(stat.inode, offset, size)

    def layout(self, path: str, stat: Stat) -> Layout | None:
        """Where the content of a regular file lies on its filesystem; None when that is not certain."""
        filesystem = self._of(path, stat)
        layout = None if filesystem is None else filesystem.layout(stat.inode)
        return layout if layout is not None and layout.size_bytes == stat.size_bytes else None

    def _of(self, path: str, stat: Stat) -> HostFilesystem | None:
        """The filesystem of a file, whose lstat is from there."""
        return self.filesystem(path) if stat.device == self._numbers[self.mount_point(path)] else None

    def _inode(self, directory: str, top: Stat | None) -> int:
        return ROOT_INODE if top is None or directory in self.mounted else top.inode

    def _look(
        self, directory: str, top: Stat | None
    ) -> tuple[HostFilesystem | None, Mapping[bytes, int] | None]:
        """The filesystem of a directory and what it holds."""
        target, filesystem = self.mount_point(directory), self.filesystem(directory)
        if filesystem is None:
            return None, None
        if directory == target:
            return filesystem, filesystem.names(ROOT_INODE)
        if top is None or not top.is_directory or top.device != self._numbers[target]:
            return None, None
        return filesystem, filesystem.names(top.inode)


def _reached(filesystem: HostFilesystem, directory: int, inode: int) -> Attributes | None:
    """The attributes of what a directory leads to; of another directory, only where that is its child.

    So no path leads in circles: a kernel goes no such way either.
    """
    found = filesystem.attributes(inode)
    if found is not None and stat_module.S_ISDIR(found.mode) and filesystem.parent(inode) != directory:
        return None
    return found


def _stat(found: Attributes, device: int) -> Stat:
    return Stat(
        mode=found.mode,
        uid=found.uid,
        gid=found.gid,
        size_bytes=found.size_bytes,
        mtime=found.mtime,
        inode=found.inode,
        links=found.links,
        device=device,
        ctime=found.ctime,
    )

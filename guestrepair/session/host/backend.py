"""A mounted guest as the host sees it: which of its filesystems the host reads, and where each is mounted.

Under emulation a scan's many thousand questions to the appliance take seconds, and its launch most of
a command. For ext4, XFS, btrfs and FAT on a disk, a partition or a volume the host finds the answers itself.
It answers only what it is certain of; every other question goes to the appliance (``session/backends.py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from guestrepair.formats.extents import Layout
from guestrepair.formats.file_attributes import Attributes, Found, Unsure
from guestrepair.formats.superblock.model import Read
from guestrepair.formats.volume_map import Volume, places
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.file_records import ContentPlace, FileRecord, FormerFile
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.view import Stat
from guestrepair.session.backends import Directory
from guestrepair.session.host.filesystem import HostFilesystem
from guestrepair.session.host.readable import SUBVOLUMES

MAPPED_BY_KERNEL = frozenset({"ext2", "ext3", "ext4", "xfs"})
"""Filesystems whose extents lie where FIEMAP says; btrfs answers in addresses of its own."""

FOLD_CASE = frozenset({"vfat"})
"""Filesystems on which one directory is reached by many spellings of its path."""

_INODE_BITS, _SUBVOLUME_SHIFT = 64, 32


class Filesystems(Protocol):
    """The disks that the filesystems lie on (:class:`guestrepair.session.host.disks.HostDisks`)."""

    def filesystem(self, device: BlockDevice, subvolume: str = "") -> HostFilesystem | None:
        """The filesystem on a device, or one of its subvolumes; None when the host is not certain of it."""
        ...

    def part(self, device: BlockDevice) -> Read | None:
        """What reads a device on the host; None where that cannot be done."""
        ...

    def start_over(self) -> None:
        """What was read of the filesystems is read again."""
        ...


@dataclass(slots=True)
class HostBackend:
    """A guest's filesystems by the real paths that they are mounted on; None: not the host's to read.

    Its numbers of filesystems (``Stat.device``) are negative, and no device number of the appliance. What
    lies in a subvolume below the mounted one has a number of its own, as under a kernel: lower by the
    subvolume's number times 2^32.
    """

    disks: Filesystems
    mounts: dict[str, BlockDevice | None]
    subvolumes: dict[str, str] = field(default_factory=dict)
    """The subvolume that is mounted on a path, where it is not the one that a mount without a name shows."""
    _numbers: dict[str, int] = field(init=False, default_factory=dict)
    _holders: dict[str, str] = field(init=False, default_factory=dict)
    _closed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._count_mounts()

    def mounted(self, path: str, device: BlockDevice | None, subvolume: str = "") -> None:
        """A filesystem is mounted on a real path; None: not one that the host may read."""
        above = self.mount_point(path.rpartition("/")[0] or "/")
        holder = self.mounts[above]
        if path != above and holder is not None and holder.content in FOLD_CASE:
            self.mounts[above] = None  # mount points are known here by one spelling of their paths
        self.mounts[path] = device
        self.subvolumes[path] = subvolume
        self._count_mounts()

    def start_over(self) -> None:
        """Work was ended in the middle of a read: what was read is read again."""
        self.disks.start_over()

    def close(self) -> None:
        """Answer nothing any more: what is read from now on is asked of the appliance."""
        self._closed = True

    def _count_mounts(self) -> None:
        self._numbers = {target: -1 - index for index, target in enumerate(self.mounts)}
        self._holders = {target: target for target in self.mounts}

    def mount_point(self, path: str) -> str:
        """The mount point that a real path lies below. Kept by directory: there are far more files."""
        if path in self.mounts:
            return path
        directory = above = path.rpartition("/")[0] or "/"
        while above not in self._holders:
            above = above.rpartition("/")[0] or "/"
        return self._holders.setdefault(directory, self._holders[above])

    def filesystem(self, path: str) -> HostFilesystem | None:
        """The filesystem that a real path lies on, where the host reads it."""
        target = self.mount_point(path)
        device = None if self._closed else self.mounts[target]
        return None if device is None else self.disks.filesystem(device, self.subvolumes.get(target, ""))

    def reads(self, path: str) -> bool:
        """Whether a real path lies on a filesystem that is read here."""
        return self.filesystem(path) is not None

    def number(self, directory: Directory, name: str) -> int | None:
        """The number of the filesystem that a name in a directory lies on; None where that is not certain."""
        path = directory.inside(name)
        target, filesystem = self.mount_point(path), self.filesystem(path)
        device = self.mounts[target]
        if device is None or filesystem is None or filesystem.root is None:
            return None
        if device.content not in SUBVOLUMES or path == target:
            return self._numbers[target]
        # It may be a subvolume that hangs there: only its number tells.
        _, here, inside = self._look(directory)
        reached = (inside or {}).get(os.fsencode(name))
        same = reached is not None and reached >> _INODE_BITS == here >> _INODE_BITS
        return self._device(target, here) if same else None

    def stats(self, directory: Directory, names: Iterable[str]) -> dict[str, Stat | None]:
        """Lstat of names in a directory; None for what is missing; a name that is not certain is left out."""
        filesystem, here, inside = self._look(directory)
        found: dict[str, Stat | None] = {}
        if filesystem is None or inside is None:
            return found
        numbers = {name: inside.get(name.encode(errors="surrogateescape")) for name in names}
        reached = filesystem.children(here, [number for number in numbers.values() if number is not None])
        target, covered = self.mount_point(directory.path), self._mounted_in(directory)
        for name, number in numbers.items():
            if number is None:
                found[name] = None
                continue
            attributes = reached.get(number)
            if name in covered:
                stat = self.top(directory.inside(name))
            else:
                stat = None if attributes is None else _stat(attributes, self._device(target, number))
            if stat is not None:
                found[name] = stat
        return found

    def _mounted_in(self, directory: Directory) -> frozenset[str]:
        """The names in a directory that something is mounted on."""
        parted = (path.rpartition("/") for path in self.mounts if path != "/")
        return frozenset(name for parent, _, name in parted if (parent or "/") == directory.path)

    def top(self, path: str = "/") -> Stat | None:
        """Lstat of a directory that something is mounted on; None when there is none, or not certain."""
        filesystem = self.filesystem(path) if path in self.mounts else None
        if filesystem is None or filesystem.root is None:
            return None
        attributes = filesystem.attributes(filesystem.root)
        return None if attributes is None else _stat(attributes, self._numbers[path])

    def names(self, directory: Directory) -> tuple[str, ...] | None:
        """All names in a directory, unsorted; None when that is not certain."""
        _, _, inside = self._look(directory)
        return None if inside is None else tuple(name.decode(errors="surrogateescape") for name in inside)

    def targets(self, directory: Directory, names: Iterable[str]) -> dict[str, str]:
        """Where those names lead that are certainly short symbolic links; "" for what is certainly none."""
        filesystem, _, inside = self._look(directory)
        found: dict[str, str] = {}
        if filesystem is None or inside is None:
            return found
        for name in names:
            inode = inside.get(name.encode(errors="surrogateescape"))
            target = None if inode is None else filesystem.link_target(inode)
            if target is not None and directory.inside(name) not in self.mounts:
                found[name] = target.decode(errors="surrogateescape")
        return found

    def deletion_times(self, directory: Directory, names: Collection[str]) -> dict[str, int] | None:
        """When those names went that the directory still holds traces of; None when that is not certain."""
        filesystem, here, inside = self._look(directory)
        if filesystem is None or inside is None:
            return None
        times = filesystem.deletion_times(here, frozenset(map(os.fsencode, names)))
        return None if times is None else {os.fsdecode(name): when for name, when in times.items()}

    def records(self, path: str, beyond: Collection[str]) -> Iterator[FileRecord | str] | None:
        """See :meth:`guestrepair.session.backends.PartialBackend.records`."""
        filesystem = self.filesystem(path) if path in self.mounts else None
        top = f"{path.rstrip('/')}/"
        outside = [os.fsencode(each[len(top) :]) for each in beyond if each.startswith(top)]
        found = None if filesystem is None else filesystem.records(outside)
        return None if found is None else map(partial(_record, top), found)

    def former_files(self, path: str) -> Iterator[FormerFile]:
        """See :meth:`guestrepair.session.backends.Backend.former_files`."""
        filesystem = self.filesystem(path) if path in self.mounts else None
        found = None if filesystem is None else filesystem.former_files()
        if filesystem is None or found is None:
            return
        top = f"{path.rstrip('/')}/"
        for former in found:
            record = _record(top if former.found.path else "", former.found)
            if not isinstance(record, str):
                read = None if former.layout is None else partial(filesystem.lying_at, former.layout)
                yield FormerFile(replace(record, former=True), read, former.is_plain)

    def usage(self, target: str) -> FilesystemUsage | None:
        """See :meth:`guestrepair.session.backends.PartialBackend.usage`."""
        filesystem = self.filesystem(target) if target in self.mounts else None
        space = None if filesystem is None else filesystem.space()
        return None if space is None else FilesystemUsage(*space)

    def xattrs(self, path: str, stat: Stat) -> Mapping[str, bytes] | None:
        """The extended attributes of a file; None when they are not certain."""
        filesystem, inode = self._of(path, stat)
        found = None if filesystem is None else filesystem.xattrs(inode)
        return None if found is None else {name.decode("ascii"): value for name, value in found.items()}

    def content(self, path: str, stat: Stat, offset: int, size: int) -> bytes | None:
        """Bytes of a regular file; None when they are not certain."""
        if self.located(path, stat) is None:
            read = self.reader(path, stat)
            return None if read is None else read(offset, size)
        filesystem, inode = self._of(path, stat)
        return None if filesystem is None else filesystem.content(inode, offset, size)

    def located(self, path: str, stat: Stat) -> tuple[Layout, Read] | None:
        """Where a regular file lies on its filesystem, and what reads that; None when that is not certain."""
        filesystem, inode = self._of(path, stat)
        layout = None if filesystem is None else filesystem.layout(inode)
        if filesystem is None or layout is None or layout.size_bytes != stat.size_bytes:
            return None
        return layout, filesystem.read

    def place(self, path: str, inode: int, size_bytes: int) -> ContentPlace | None:
        """Where the content of a regular file of that inode and size lies; None when that is not certain."""
        device, filesystem = self.mounts[self.mount_point(path)], self.filesystem(path)
        layout = None if filesystem is None else filesystem.layout(inode)
        if device is None or device.volume is None or layout is None or layout.size_bytes != size_bytes:
            return None
        found = list(_on_disks(device.volume, layout))
        if any(disk != device.disk for disk, *_ in found):
            return None
        return ContentPlace(device.disk, size_bytes, tuple((at, start, size) for _, at, start, size in found))

    def reader(self, path: str, stat: Stat) -> Callable[[int, int], bytes | None] | None:
        """See :meth:`guestrepair.session.hashing.LayoutsOnHost.reader`."""
        filesystem, inode = self._of(path, stat)
        if filesystem is None or filesystem.layout(inode) is not None:
            return None
        attributes = filesystem.attributes(inode)
        same = attributes is not None and attributes.size_bytes == stat.size_bytes
        return partial(filesystem.unpacked, inode) if same else None

    def mappable(self) -> dict[str, tuple[Read, int]]:
        """See :meth:`guestrepair.session.hashing.LayoutsOnHost.mappable`."""
        found = {}
        for path, device in self.mounts.items() if not self._closed else ():
            known = device is not None and device.content in MAPPED_BY_KERNEL and not self.reads(path)
            read = self.disks.part(device) if device is not None and known else None
            if device is not None and read is not None:
                found[path] = (read, device.size_bytes)
        return found

    def _device(self, target: str, inode: int) -> int:
        """The number of the filesystem, or of the subvolume on it, that an inode is of."""
        return self._numbers[target] - (inode >> _INODE_BITS << _SUBVOLUME_SHIFT)

    def _inode(self, target: str, stat: Stat) -> int | None:
        """The inode whose lstat it is, as its filesystem counts; None: of another filesystem."""
        subvolume, other = divmod(self._numbers[target] - stat.device, 1 << _SUBVOLUME_SHIFT)
        return None if other or subvolume < 0 else subvolume << _INODE_BITS | stat.inode

    def _of(self, path: str, stat: Stat) -> tuple[HostFilesystem | None, int]:
        """The filesystem of a file, whose lstat is from there, and its inode."""
        inode = self._inode(self.mount_point(path), stat)
        return (None, 0) if inode is None else (self.filesystem(path), inode)

    def _look(self, directory: Directory) -> tuple[HostFilesystem | None, int, Mapping[bytes, int] | None]:
        """The filesystem of a directory, the directory's inode number, and what it holds."""
        target, filesystem = self.mount_point(directory.path), self.filesystem(directory.path)
        if filesystem is None or filesystem.root is None:
            return None, 0, None
        if directory.path == target:
            return filesystem, filesystem.root, filesystem.names(filesystem.root)
        top = directory.stat
        inode = None if top is None or not top.is_directory else self._inode(target, top)
        return (None, 0, None) if inode is None else (filesystem, inode, filesystem.names(inode))


def _on_disks(volume: Volume, layout: Layout) -> Iterator[tuple[str, int, int, int]]:
    """What makes up a file on a volume: disk, byte in the file, byte on the disk, length."""
    for extent in layout.extents:
        at = extent.logical
        for disk, start, length in places(volume, extent.physical, extent.physical + extent.length):
            yield disk, at, start, length
            at += length


def _record(top: str, found: Found | Unsure) -> FileRecord | str:
    path = top + os.fsdecode(found.path)
    if isinstance(found, Unsure):
        return path.rstrip("/") or "/"
    return FileRecord(
        path=path,
        inode=found.inode,
        mode=found.mode,
        uid=found.uid,
        gid=found.gid,
        size_bytes=found.size_bytes,
        accessed_ns=found.accessed,
        modified_ns=found.modified,
        changed_ns=found.changed,
        created_ns=found.created,
        deleted_ns=found.deleted_at,
        target=os.fsdecode(found.target),
        deleted=found.deleted,
        reallocated=found.reallocated,
    )


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

"""Filesystems as their own bytes, their checkers and statvfs(3) tell of them.

Bytes of a partition are read through its disk: the kernel may not know this partition.
Sources: Linux fs/ext4/ext4.h (s_error_count and what follows it), XFS on-disk format (AGF headers),
btrfs superblock copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from guestrepair.errors import GuestReadError
from guestrepair.formats.superblock import Superblock, identify
from guestrepair.formats.superblock.ext import PRIMARY_OFFSET, SUPERBLOCK_BYTES, find_backup
from guestrepair.formats.superblock.features import Features, key_derivations, read_features
from guestrepair.formats.superblock.linux import parse_btrfs, parse_xfs
from guestrepair.formats.superblock.model import Block, Read
from guestrepair.formats.superblock.text import label
from guestrepair.formats.xfs_reserved import reserved_bytes
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.guest.filesystem_state import CheckResult, FilesystemUsage
from guestrepair.guest.mount_plan import mount_points
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, known

_BTRFS_COPIES = (0x4000000, 0x4000000000)
_XFS_BLOCK_SIZES = (4096, 1024, 2048, 512, 8192, 16384, 32768, 65536)
_MAX_DIRECTORIES = 4000
_NEARLY_FULL = 7
"""XFS holds back a twentieth at most, and its trees' room: no matter where more than a seventh is free."""


@dataclass(frozen=True, slots=True)
class RecordedError:
    """One error that the kernel met in an ext filesystem; ``time`` is in seconds since the epoch.

    ``inode`` and ``block`` are 0 where none is recorded, ``function`` is "".
    """

    time: int
    function: str
    line: int
    inode: int
    block: int


@dataclass(frozen=True, slots=True)
class ErrorRecord:
    """How many errors an ext superblock counts, and the first and last of them, None where unrecorded."""

    count: int
    first: RecordedError | None
    last: RecordedError | None


@dataclass(frozen=True, slots=True)
class SuperblockCopy:
    """A sound copy of a superblock: what it describes, where it is, and what the checker must be told."""

    superblock: Superblock
    where: str
    backup: int | None = None
    block_size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory's own files: how many, and what they take together."""

    path: GuestPath
    files: int
    size_bytes: int


class Filesystems:
    """What lies on the devices of one guest, each asked when it is needed, and once where that is dear."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._tops: dict[str, tuple[str, ...] | Unreadable] = {}
        self._checks: dict[str, CheckResult | Unreadable] = {}

    # --- what it holds ------------------------------------------------------------------

    def top_names(self, device: str) -> tuple[str, ...]:
        """The names in the top directory of a filesystem, mounted or not.

        Raises:
            GuestReadError: it cannot be mounted, or read.
        """
        if device not in self._tops:
            self._tops[device] = attempt(partial(self._top_names, device), device)
        return known(self._tops[device])

    def _top_names(self, device: str) -> tuple[str, ...]:
        mount = next((m for m in self._guest.mounts if m.source == device and not m.subvolume), None)
        if mount is not None:
            return self._guest.listdir(GuestPath(mount.target))
        return self._guest.peek(device)

    def refusal(self, device: str) -> str:
        """Why a filesystem that is not mounted cannot be; empty when it can."""
        found = attempt(partial(self._guest.peek, device), device)
        return found.reason if isinstance(found, Unreadable) else ""

    def verdict(self, device: str) -> CheckResult:
        """What the filesystem's own checker says of it; it runs once.

        Raises:
            GuestReadError: there is no checker for it, or it did not run.
        """
        if device not in self._checks:
            self._checks[device] = attempt(partial(self._guest.check_filesystem, device), device)
        return known(self._checks[device])

    def damage_on(self, device: str) -> dict[str, str]:
        """Paths on a mounted filesystem that were found to be damaged while others were read, with why.

        What nobody has asked for is not among them.
        """
        found = self._guest.damage
        if not found:
            return {}
        points = mount_points(self._guest, [GuestPath(mount.target) for mount in self._guest.mounts])
        sources = {GuestPath(mount.target): mount.source for mount in self._guest.mounts}
        return {path: why for path, why in found.items() if sources.get(_holder(points, path)) == device}

    # --- room ---------------------------------------------------------------------------

    def room(self, target: str) -> FilesystemUsage:
        """Space and inodes of a mounted filesystem: the room that programs get once it is written to.

        Raises:
            GuestReadError: nothing is mounted there, or the device cannot be read.
        """
        usage = self._guest.usage(target)
        mount = next((m for m in self._guest.mounts if m.target == target), None)
        if mount is None or mount.type != "xfs" or usage.available_bytes * _NEARLY_FULL > usage.size_bytes:
            return usage
        device = next((d for d in self._guest.block.devices if d.name == mount.source), None)
        held = 0 if device is None else reserved_bytes(self._reader(device))
        return replace(
            usage,
            free_bytes=max(0, usage.free_bytes - held),
            available_bytes=max(0, usage.available_bytes - held),
        )

    def directories(self, target: str) -> Iterator[Directory]:
        """The directories of a mounted filesystem, breadth first, at most some thousand.

        One that cannot be read is left out: it is for the checker to say.
        """
        top = GuestPath(target)
        others = {GuestPath(mount.target) for mount in self._guest.mounts} - {top}
        pending = [top]
        for _ in range(_MAX_DIRECTORIES):
            if not pending:
                return
            directory = pending.pop(0)
            try:
                names = self._guest.listdir(directory)
                stats = self._guest.lstat_many([directory / name for name in names])
            except GuestReadError:
                continue
            sizes = [found.size_bytes for found in stats.values() if found is not None and found.is_file]
            yield Directory(directory, len(sizes), sum(sizes))
            pending += [p for p, found in stats.items() if found and found.is_directory and p not in others]

    # --- superblocks --------------------------------------------------------------------

    def _reader(self, device: BlockDevice) -> Read:
        """``read(offset_bytes, size_bytes)`` of a device, short at its end; raises GuestReadError."""
        through_disk = device.kind is DeviceKind.PARTITION and bool(device.disk)

        def read(offset: int, size: int) -> bytes:
            if not through_disk:
                return self._guest.read_device(device.name, offset, size)
            size = min(size, max(0, device.size_bytes - offset))
            return self._guest.read_device(device.disk, device.start_bytes + offset, size)

        return read

    def errors_of(self, device: BlockDevice) -> ErrorRecord:
        """What the superblock of an ext filesystem tells of errors.

        Raises:
            GuestReadError: the device cannot be read.
        """
        block = Block(self._reader(device)(PRIMARY_OFFSET, SUPERBLOCK_BYTES))
        return ErrorRecord(
            block.le32(0x194),
            _recorded(block, 0x198, inode=0x19C, number=0x1A0, function=0x1A8, line=0x1C8),
            _recorded(block, 0x1CC, inode=0x1D0, line=0x1D4, number=0x1D8, function=0x1E0),
        )

    def features(self, device: BlockDevice) -> Features | None:
        """The feature flags of ext, XFS and btrfs; None for other content.

        Raises:
            GuestReadError: the device cannot be read.
        """
        return read_features(device.content, self._reader(device))

    def key_derivations(self, device: BlockDevice) -> frozenset[str]:
        """How the key slots of a LUKS2 container derive their keys; empty for others.

        Raises:
            GuestReadError: the device cannot be read.
        """
        return key_derivations(self._reader(device))

    def signatures(self, device: BlockDevice) -> tuple[str, ...]:
        """Contents whose signatures it carries at once, so that nobody can tell which it is; else empty.

        Raises:
            GuestReadError: the device cannot be read.
        """
        return identify(self._reader(device), device.size_bytes).ambivalent

    def copy_of_superblock(self, device: BlockDevice) -> SuperblockCopy | None:
        """A sound copy of the superblock on a device where the first is none; None where none is found.

        Raises:
            GuestReadError: the device cannot be read.
        """
        read, size = self._reader(device), device.size_bytes
        return _ext_copy(read, size) or _xfs_copy(read, size) or _btrfs_copy(read, size)


def _recorded(
    block: Block, at: int, *, inode: int, number: int, function: int, line: int
) -> RecordedError | None:
    """Time and place of one error; the first and the last keep their fields in different orders."""
    if not block.le32(at):
        return None
    name = label(block.bytes_at(function, 32))
    return RecordedError(block.le32(at), name, block.le32(line), block.le32(inode), block.le64(number))


def _ext_copy(read: Read, size_bytes: int) -> SuperblockCopy | None:
    found = find_backup(read, size_bytes)
    if found is None or found.ext is None:
        return None
    number = found.ext.backup_superblock
    return SuperblockCopy(found, f"block {number}", number, found.block_size_bytes)


def _xfs_copy(read: Read, size_bytes: int) -> SuperblockCopy | None:
    # The headers of allocation group 0 stand behind its superblock, one sector each (XFS on-disk format).
    for sector in (512, 4096):
        header = Block(read(sector, 64))
        if not header.has(b"XAGF") or header.be32(8) != 0:
            continue
        for block_size in _XFS_BLOCK_SIZES:
            offset = header.be32(12) * block_size
            copy = parse_xfs(read(offset, 32768)) if 0 < offset < size_bytes else None
            if copy is not None:
                return SuperblockCopy(copy, f"byte {offset}, allocation group 1")
    return None


def _btrfs_copy(read: Read, size_bytes: int) -> SuperblockCopy | None:
    for offset in _BTRFS_COPIES:
        copy = parse_btrfs(read(offset, 4096), offset) if offset + 4096 <= size_bytes else None
        if copy is not None:
            return SuperblockCopy(copy, f"byte {offset}")
    return None


def _holder(points: Mapping[GuestPath, GuestPath], path: str) -> GuestPath:
    """The mount point that a real path lies under, by the name that the guest has for it."""
    place = GuestPath(path)
    return next((points[above] for above in (place, *place.parents) if above in points), GuestPath("/"))

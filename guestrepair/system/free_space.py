"""What the image keeps where a filesystem has nothing: content of deleted files, or zeros written out.

Told for certain, from two numbers, without reading a block: what the image keeps of a partition, less
everything of it that the filesystem does not call free, lies in free space. Only ext and XFS say exactly how
much that is; a filesystem on LVM, RAID or LUKS does not lie in one piece on the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.guest.devices import BlockDevice, DeviceKind, Disk, Mount
from guestrepair.guest.view import Guest
from guestrepair.system.fact import Unreadable, attempt, fact

_EXACT = frozenset({"ext2", "ext3", "ext4", "xfs"})
_IN_ONE_PIECE = frozenset({DeviceKind.DISK, DeviceKind.PARTITION})


@dataclass(frozen=True, slots=True)
class Kept:
    """What an image keeps of one filesystem, in bytes: of all of it, of its free space, and what it has free.

    ``in_free_bytes`` is the least that it can be.
    """

    device: str
    target: str
    stored_bytes: int
    in_free_bytes: int
    free_bytes: int


class FreeSpace:
    """The free space of one guest's mounted filesystems."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def kept(self) -> tuple[Kept | Unreadable, ...]:
        """The filesystems of which it can be told, the root first."""
        return tuple(self._all())

    def _all(self) -> Iterator[Kept | Unreadable]:
        disks = {disk.name: disk for disk in self._guest.block.disks}
        seen: set[str] = set()
        for mount in self._guest.mounts:
            device = self._guest.block.get(mount.source)
            disk = None if device is None else disks.get(device.disk)
            if device is None or disk is None or device.name in seen or not _is_told(device, disk):
                continue
            seen.add(device.name)
            yield attempt(lambda d=device, m=mount, whole=disk: self._kept(d, m, whole))  # type: ignore[misc]

    def _kept(self, device: BlockDevice, mount: Mount, disk: Disk) -> Kept:
        """Ask for one.

        Raises:
            GuestReadError: the image, or the filesystem, cannot be asked.
        """
        stored = self._guest.stored_bytes(disk.name, device.start_bytes, device.size_bytes)
        free = self._guest.usage(mount.target).free_bytes
        least = max(0, stored - (device.size_bytes - free))
        if least:
            least = max(0, least - self._not_there(disk))
        return Kept(device.name, mount.target, stored, least, free)

    def _not_there(self, disk: Disk) -> int:
        """How much less a raw image takes than is said to be kept: some host filesystems tell of no holes."""
        image = disk.image
        if image is None or image.format != "raw" or image.layers > 1 or image.allocated_bytes is None:
            return 0
        told = self._guest.stored_bytes(disk.name, 0, disk.size_bytes)
        return max(0, told - image.allocated_bytes)


def _is_told(device: BlockDevice, disk: Disk) -> bool:
    in_file = disk.image is not None and not disk.image.is_block_device
    return in_file and device.content in _EXACT and device.kind in _IN_ONE_PIECE

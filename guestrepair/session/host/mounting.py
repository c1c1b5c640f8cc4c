"""Of which filesystems it is certain that Linux mounts them, without mounting them.

What the host reads of a filesystem is worth nothing where a kernel would not mount it. So the appliance
mounts it before anybody relies on that, unless a module in ``formats/`` can tell for certain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from guestrepair.appliance.kernels import oldest_version
from guestrepair.errors import GuestReadError
from guestrepair.formats.ext_mounting import mount_doubt as ext_doubt
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.devices import BlockDevice
from guestrepair.session.host.disks import HostDisks

MountDoubt = Callable[[Read, int], str]
"""Why it is not certain that Linux mounts a filesystem, to be read and to be written to; "" where it is."""


def _xfs_doubt(read: Read, size_bytes: int) -> str:
    from guestrepair.formats.xfs_mounting import mount_doubt as doubt_of  # where there is one, as its reader

    return doubt_of(read, size_bytes, kernel=oldest_version())


def _btrfs_doubt(read: Read, size_bytes: int) -> str:
    from guestrepair.formats.btrfs_mounting import mount_doubt as doubt_of  # where there is one

    return doubt_of(read, size_bytes)


MOUNT_DOUBTS: Mapping[str, MountDoubt] = MappingProxyType(
    {**dict.fromkeys(("ext2", "ext3", "ext4"), ext_doubt), "btrfs": _btrfs_doubt, "xfs": _xfs_doubt}
)
"""By content as blkid(8) calls it; all others but those of READ_WHOLE are mounted by the appliance."""


READ_WHOLE = frozenset({"vfat"})
"""What is believed as a whole or not at all: what is certain to be read is mounted."""


def mount_doubt(disks: HostDisks, device: BlockDevice) -> str:
    """Why it is not certain that Linux mounts what is on a device; "" where it is certain."""
    if device.content in READ_WHOLE and disks.trusted:
        return "" if disks.filesystem(device) is not None else "it contradicts itself somewhere"
    doubt_of = MOUNT_DOUBTS.get(device.content) if disks.trusted else None
    read = None if doubt_of is None else disks.part(device)
    if doubt_of is None or read is None:
        return f"{device.content or 'what is on it'} is mounted by the appliance alone"
    try:
        return doubt_of(read, device.size_bytes)
    except GuestReadError as error:
        return error.reason

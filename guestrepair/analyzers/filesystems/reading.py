"""Reading a filesystem's bytes through its disk: the kernel may not know this partition."""

from __future__ import annotations

from guestrepair.formats.superblock.model import Read
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.guest.view import Guest


def reader(guest: Guest, device: BlockDevice) -> Read:
    """``read(offset_bytes, size_bytes)`` of a device, short at its end; raises GuestReadError."""
    through_disk = device.kind is DeviceKind.PARTITION and bool(device.disk)

    def read(offset: int, size: int) -> bytes:
        if not through_disk:
            return guest.read_device(device.name, offset, size)
        size = min(size, max(0, device.size_bytes - offset))
        return guest.read_device(device.disk, device.start_bytes + offset, size)

    return read

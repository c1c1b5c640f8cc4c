"""The disks under a guest: their bytes, what their filesystems hold, and what a checker says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from stat import S_ISDIR, S_ISREG
from typing import Protocol

from guestrepair.appliance.fsck import check_filesystem
from guestrepair.appliance.handle import Machine, reading
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, BlockDevices
from guestrepair.guest.filesystem_state import CheckResult
from guestrepair.session.discovery import read_device
from guestrepair.session.host.filesystem import HostFilesystem
from guestrepair.session.mount_table import MountTable

_USUAL_SECTOR = 512


class DeviceAccess(Protocol):
    """Devices by the appliance's names. Each method raises GuestReadError where it cannot be done."""

    def read(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """Bytes of a device; short at its end."""
        ...

    def stored_bytes(self, disk: str, offset_bytes: int, size_bytes: int) -> int:
        """How much of a part of a disk its image keeps."""
        ...

    def peek(self, device: str) -> tuple[str, ...]:
        """Names in the top directory of a filesystem that mounts, or of which it is certain that it would."""
        ...

    def peek_file(self, device: str, path: str, limit_bytes: int) -> bytes | None:
        """A regular file of such a filesystem; None where there is none."""
        ...

    def check(self, device: str) -> CheckResult:
        """What the filesystem's own checker finds, without a change to it."""
        ...


@dataclass(frozen=True, slots=True)
class DevicesWritten:
    """Devices that the appliance may be writing to: it reads them itself, and nothing else is asked."""

    machine: Machine

    def read(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`DeviceAccess.read`."""
        return read_device(self.machine.handle(), device, offset_bytes, size_bytes)

    def stored_bytes(self, disk: str, offset_bytes: int, size_bytes: int) -> int:
        """See :meth:`DeviceAccess.stored_bytes`."""
        raise GuestReadError(disk, "it is being written to")

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`DeviceAccess.peek`."""
        raise GuestReadError(device, "it is being written to")

    def peek_file(self, device: str, path: str, limit_bytes: int) -> bytes | None:
        """See :meth:`DeviceAccess.peek_file`."""
        raise GuestReadError(device, "it is being written to")

    def check(self, device: str) -> CheckResult:
        """See :meth:`DeviceAccess.check`."""
        raise GuestReadError(device, "it is being written to")


@dataclass(frozen=True, slots=True)
class DevicesRead:
    """Devices of a session that are only read: by the host where it can."""

    machine: Machine
    block: BlockDevices
    mount_table: MountTable
    toolbox: Toolbox

    def read(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """See :meth:`DeviceAccess.read`."""
        read = self._on_the_host(device)
        if read is not None:
            return read(offset_bytes, size_bytes)
        return read_device(self.machine.handle(), device, offset_bytes, size_bytes)

    def _on_the_host(self, name: str) -> Callable[[int, int], bytes] | None:
        device, disks = self.block.get(name), self.mount_table.disks
        return disks.disk(name) if device is None else disks.part(device)

    def stored_bytes(self, disk: str, offset_bytes: int, size_bytes: int) -> int:
        """See :meth:`DeviceAccess.stored_bytes`."""
        return self.mount_table.disks.stored_bytes(disk, offset_bytes, size_bytes)

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`DeviceAccess.peek`."""
        found = self._filesystem(device)
        names = None if self._certain(found) is None else self.mount_table.disks.top_names(found)
        if names is not None:
            return names
        self.mount_table.mount(found)  # that it mounts is part of the answer
        return self.mount_table.names(found)

    def peek_file(self, device: str, path: str, limit_bytes: int) -> bytes | None:
        """See :meth:`DeviceAccess.peek_file`; each step is looked at, so that no link leads elsewhere."""
        found = self._filesystem(device)
        filesystem = self._certain(found)
        inodes = None if filesystem is None else filesystem.regular_file(path)
        if filesystem is None or inodes is None:
            return self._file_in_appliance(found, path, limit_bytes)
        for inode in inodes:
            if inode.size_bytes > limit_bytes:
                raise _too_large(found, path, limit_bytes)
            content = filesystem.content(inode.inode, 0, inode.size_bytes)
            return self._file_in_appliance(found, path, limit_bytes) if content is None else content
        return None

    def _filesystem(self, device: str) -> BlockDevice:
        found = self.block.get(device)
        if found is None or not found.is_filesystem:
            raise GuestReadError(device, "no filesystem of this guest")
        return found

    def _certain(self, device: BlockDevice) -> HostFilesystem | None:
        """The filesystem where the host is so certain of it that it need not be mounted; else None.

        Then its features are known, it was unmounted in order, and what the kernel looks at before it
        mounts was looked at: all but the size of the disk's sectors, which a filesystem may be too fine for.
        """
        usual = all(
            disk.sector_size_bytes <= _USUAL_SECTOR for disk in self.block.disks if disk.name == device.disk
        )
        failed = (device.name, "") in self.mount_table.failures
        return self.mount_table.disks.filesystem(device) if usual and not failed else None

    def _file_in_appliance(self, device: BlockDevice, path: str, limit_bytes: int) -> bytes | None:
        place = self.mount_table.mount(device)
        self.mount_table.settle()
        steps = path.split("/")
        with reading(f"{device.name}: {path}"):
            handle = self.machine.handle()
            for left, step in zip(range(len(steps) - 1, -1, -1), steps, strict=True):
                (stat,) = handle.lstatnslist(place, [step])
                place = f"{place}/{step}"
                wanted = S_ISDIR if left else S_ISREG
                if stat["st_ino"] == -1 or not wanted(stat["st_mode"]):
                    return None
            if stat["st_size"] > limit_bytes:
                raise _too_large(device, path, limit_bytes)
            return handle.pread(place, stat["st_size"], 0) if stat["st_size"] else b""

    def check(self, device: str) -> CheckResult:
        """See :meth:`DeviceAccess.check`."""
        found = self.block.get(device)
        if found is None:
            raise GuestReadError(device, "no device of this guest")
        return check_filesystem(self.toolbox, found)


def _too_large(device: BlockDevice, path: str, limit_bytes: int) -> GuestReadError:
    return GuestReadError(f"{device.name}: {path}", f"larger than {limit_bytes} bytes")

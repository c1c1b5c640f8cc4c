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
from guestrepair.guest.devices import BlockDevices
from guestrepair.guest.view import CheckResult
from guestrepair.session.discovery import read_device
from guestrepair.session.mount_table import MountTable


class DeviceAccess(Protocol):
    """Devices by the appliance's names. Each method raises GuestReadError where it cannot be done."""

    def read(self, device: str, offset_bytes: int, size_bytes: int) -> bytes:
        """Bytes of a device; short at its end."""
        ...

    def stored_bytes(self, disk: str, offset_bytes: int, size_bytes: int) -> int:
        """How much of a part of a disk its image keeps."""
        ...

    def peek(self, device: str) -> tuple[str, ...]:
        """Names in the top directory of a filesystem that mounts."""
        ...

    def peek_file(self, device: str, path: str, limit_bytes: int) -> bytes | None:
        """A regular file of a filesystem that mounts; None where there is none."""
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
        found = self.block.get(device)
        if found is None or not found.is_filesystem:
            raise GuestReadError(device, "no filesystem of this guest")
        self.mount_table.mount(found)  # that it mounts is part of the answer
        return self.mount_table.names(found)

    def peek_file(self, device: str, path: str, limit_bytes: int) -> bytes | None:
        """See :meth:`DeviceAccess.peek_file`; each step is looked at, so that no link leads elsewhere."""
        found = self.block.get(device)
        if found is None or not found.is_filesystem:
            raise GuestReadError(device, "no filesystem of this guest")
        place = self.mount_table.mount(found)
        self.mount_table.settle()
        steps = path.split("/")
        with reading(f"{device}: {path}"):
            handle = self.machine.handle()
            for left, step in zip(range(len(steps) - 1, -1, -1), steps, strict=True):
                (stat,) = handle.lstatnslist(place, [step])
                place = f"{place}/{step}"
                wanted = S_ISDIR if left else S_ISREG
                if stat["st_ino"] == -1 or not wanted(stat["st_mode"]):
                    return None
            if stat["st_size"] > limit_bytes:
                raise GuestReadError(f"{device}: {path}", f"larger than {limit_bytes} bytes")
            return handle.pread(place, stat["st_size"], 0) if stat["st_size"] else b""

    def check(self, device: str) -> CheckResult:
        """See :meth:`DeviceAccess.check`."""
        found = self.block.get(device)
        if found is None:
            raise GuestReadError(device, "no device of this guest")
        return check_filesystem(self.toolbox, found)

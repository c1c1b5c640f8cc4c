"""The disks under a guest: their bytes, what their filesystems hold, and what a checker says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from guestrepair.appliance.fsck import check_filesystem
from guestrepair.appliance.handle import Machine
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

    def peek(self, device: str) -> tuple[str, ...]:
        """Names in the top directory of a filesystem that mounts."""
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

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`DeviceAccess.peek`."""
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

    def peek(self, device: str) -> tuple[str, ...]:
        """See :meth:`DeviceAccess.peek`."""
        found = self.block.get(device)
        if found is None or not found.is_filesystem:
            raise GuestReadError(device, "no filesystem of this guest")
        self.mount_table.mount(found)  # that it mounts is part of the answer
        return self.mount_table.names(found)

    def check(self, device: str) -> CheckResult:
        """See :meth:`DeviceAccess.check`."""
        found = self.block.get(device)
        if found is None:
            raise GuestReadError(device, "no device of this guest")
        return check_filesystem(self.toolbox, found)

"""The guests that a session has given out: what the host reads of each, and what is mounted below it."""

from __future__ import annotations

from dataclasses import dataclass, field

from guestrepair.appliance.handle import Machine
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.guest.devices import BlockDevice, BlockDevices, Mount
from guestrepair.model import GuestPath
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.backends import HostFirst
from guestrepair.session.device_access import DevicesRead
from guestrepair.session.host.backend import HostBackend
from guestrepair.session.live import LiveGuest
from guestrepair.session.mount_table import MountTable


@dataclass(frozen=True, slots=True)
class _View:
    backend: HostFirst
    host: HostBackend


@dataclass(frozen=True, slots=True)
class Views:
    """Guests whose files the host reads as far as it can. ``machine`` has the mounts made first.

    A copy (:func:`dataclasses.replace`) has given out none as yet.
    """

    machine: Machine
    mount_table: MountTable
    block: BlockDevices
    checkers: Toolbox
    hashing: Toolbox
    _given: list[_View] = field(init=False, default_factory=list)

    @property
    def devices(self) -> DevicesRead:
        """The disks, for guests that are only read."""
        return DevicesRead(self.machine, self.block, self.mount_table, self.checkers)

    def open(self, device: BlockDevice, subvolume: str) -> LiveGuest:
        """The read-only view of one filesystem, with nothing mounted below it yet.

        Raises:
            GuestReadError: it cannot be mounted.
        """
        prefix = self.mount_table.mount(device, subvolume)
        host = HostBackend(self.mount_table.disks, {"/": self._readable(device)}, {"/": subvolume})
        appliance = ApplianceBackend(self.machine, prefix, self.hashing)
        backend = HostFirst(host, appliance, self.mount_table.disks.known)
        self._given.append(_View(backend, host))
        return LiveGuest(backend, self.devices, block=self.block, mounts=(mount_of(device, "/", subvolume),))

    def mounted(self, guest: LiveGuest, device: BlockDevice, subvolume: str, real: GuestPath) -> None:
        """A filesystem was mounted below one of the guests, on a real path of it."""
        guest.backend.mounted(str(real), self._readable(device), subvolume)
        for view in self._given:
            if view.backend is not guest.backend and view.backend.prefix == guest.backend.prefix:
                view.backend.cover(str(real))

    def _readable(self, device: BlockDevice) -> BlockDevice | None:
        """The device where the host may read what is mounted of it: not one of two btrfs of one identity.

        A kernel that sees both may show either of them.
        """
        if device.content != "btrfs":
            return device
        same = [d for d in self.block.devices if d.content == "btrfs" and d.uuid == device.uuid]
        return device if len(same) == 1 else None

    def contradicted(self) -> str:
        """The first path that the host called missing and the appliance finds; "" when there is none.

        Raises:
            GuestReadError: the appliance cannot look.
        """
        return next(filter(None, (view.backend.contradicted() for view in self._given)), "")

    def close(self) -> None:
        """Read no more on the host: the disks are about to be written to."""
        for view in self._given:
            view.host.close()
        self.mount_table.disks.forget()


def mount_of(device: BlockDevice, target: str, subvolume: str) -> Mount:
    """A device as it is mounted for the examination."""
    return Mount(device.name, target, device.content, device.uuid, subvolume)

"""The guests that a session has given out: what the host reads of each, and what is mounted below it."""

from __future__ import annotations

from dataclasses import dataclass, field

from guestrepair.appliance.handle import Handle
from guestrepair.appliance.toolbox import Toolbox
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.devices import BlockDevice, BlockDevices, Mount
from guestrepair.model import GuestPath
from guestrepair.session import hashing
from guestrepair.session.hashing import Hasher
from guestrepair.session.host.tree import HostTree
from guestrepair.session.live import LiveGuest
from guestrepair.session.mount_table import Stage


@dataclass(frozen=True, slots=True)
class _View:
    guest: LiveGuest
    host: HostTree


@dataclass(slots=True)
class Views:
    """Guests whose files the host reads as far as it can. ``handle`` waits for the appliance."""

    stage: Stage
    handle: Handle
    _given: list[_View] = field(init=False, default_factory=list)
    _hashing: Toolbox = field(init=False)

    def __post_init__(self) -> None:
        self._hashing = Toolbox(self.handle, hashing.PROGRAMS, hashing.DIRECTORY)

    def open(self, device: BlockDevice, subvolume: str, block: BlockDevices) -> LiveGuest:
        """The read-only view of one filesystem, with nothing mounted below it yet.

        Raises:
            GuestReadError: it cannot be mounted.
        """
        stage = self.stage
        guest = LiveGuest(self.handle, stage.mount(device, subvolume), block=block)
        guest.mounts = (mount_of(device, "/", subvolume),)
        host = HostTree(stage.disks, {"/": None if subvolume else device})
        self._given.append(_View(guest, host))
        guest.look_on_host(host)
        hasher = Hasher(self.handle, guest.prefix, self._hashing, host, lambda: self._told(guest))
        guest.hash_files = lambda algorithm, files, through: hasher.digests(
            algorithm, files, through_filesystem=through
        )
        return guest

    def mounted(self, guest: LiveGuest, device: BlockDevice, subvolume: str, real: GuestPath) -> None:
        """A filesystem was mounted below one of the guests, on a real path of it."""
        for view in self._given:
            if view.guest is guest:
                view.host.mount(str(real), None if subvolume else device)
            elif view.guest.prefix == guest.prefix:
                view.host.cover(str(real))

    def refuted(self) -> str:
        """The first path that the host called missing and the appliance finds; "" when there is none.

        Raises:
            GuestReadError: the appliance cannot look.
        """
        return next(filter(None, (view.guest.refuted() for view in self._given)), "")

    def close(self) -> None:
        """Read no more on the host: the disks are about to be written to."""
        for view in self._given:
            view.host.close()
        self._given.clear()
        self.stage.disks.forget()

    def device_reader(self, block: BlockDevices, name: str) -> Read | None:
        """What reads a disk or partition of the guest on the host; None where the appliance must."""
        device = block.get(name)
        return self.stage.disks.disk(name) if device is None else self.stage.disks.part(device)

    def _told(self, guest: LiveGuest) -> dict[str, tuple[Read, int]]:
        """What reads the devices of which the appliance can tell where files lie, by mount point."""
        found = {}
        for mount in guest.mounts:
            device = guest.block.get(mount.source)
            known = device is not None and device.content in hashing.TELLING
            read = self.stage.disks.part(device) if device is not None and known else None
            real = guest.resolve(GuestPath(mount.target))
            if device is not None and read is not None and self.stage.disks.filesystem(device) is None:
                found[str(real)] = (read, device.size_bytes)
        return found


def mount_of(device: BlockDevice, target: str, subvolume: str) -> Mount:
    """A device as it is mounted for the examination."""
    return Mount(device.name, target, device.content, device.uuid, subvolume)

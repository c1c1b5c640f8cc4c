"""The guests that a session has given out: what the host reads of each, and what is mounted below it."""

from __future__ import annotations

from dataclasses import dataclass, field

from guestrepair.formats.superblock.model import Read
from guestrepair.guest import hashing
from guestrepair.guest.devices import BlockDevice, BlockDevices, Mount
from guestrepair.guest.handle import Handle
from guestrepair.guest.hashing import Hasher
from guestrepair.guest.host_tree import HostTree
from guestrepair.guest.live import LiveGuest
from guestrepair.guest.stage import Stage
from guestrepair.guest.starting import when_started
from guestrepair.guest.toolbox import Toolbox
from guestrepair.model import GuestPath


@dataclass(frozen=True, slots=True)
class _View:
    guest: LiveGuest
    host: HostTree
    device: BlockDevice
    subvolume: str
    points: list[tuple[BlockDevice, str, str]] = field(default_factory=list)
    """What is mounted below it: device, subvolume, and the directory in the appliance."""


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
        # A donor is mounted only when the appliance is asked about one.
        handle = when_started(stage.starting, stage.settle_donors) if device.donor else self.handle
        guest = LiveGuest(handle, stage.mount(device, subvolume), block=block)
        guest.mounts = (mount_of(device, "/", subvolume),)
        host = HostTree(stage.disks, {"/": None if subvolume else device})
        self._given.append(_View(guest, host, device, subvolume))
        guest.look_on_host(host)
        hasher = Hasher(handle, guest.prefix, self._hashing, host, lambda: self._told(guest))
        guest.hash_files = lambda algorithm, files, through: hasher.digests(
            algorithm, files, through_filesystem=through
        )
        return guest

    def mounted(self, guest: LiveGuest, device: BlockDevice, subvolume: str, real: GuestPath) -> None:
        """A filesystem was mounted below one of the guests, on a real path of it."""
        for view in self._given:
            if view.guest is guest:
                view.points.append((device, subvolume, guest.inside(real)))
                view.host.mount(str(real), None if subvolume else device)
            elif view.guest.prefix == guest.prefix:
                view.host.cover(str(real))

    def mount_again(self, guest: LiveGuest) -> None:
        """Mount a guest as it was before everything was unmounted; nobody has written to it since."""
        for view in self._given:
            if view.guest is guest:
                self.stage.mount(view.device, view.subvolume)
                for device, subvolume, point in view.points:
                    self.stage.mount_below(device, subvolume, point)

    def refuted(self) -> str:
        """The first path that the host called missing and the appliance finds; "" when there is none.

        Donors are not looked at again: what one lacks, it fails to serve.

        Raises:
            GuestReadError: the appliance cannot look.
        """
        own = (view.guest for view in self._given if not view.device.donor)
        return next(filter(None, (guest.refuted() for guest in own)), "")

    def close(self, *, donors: bool = False) -> None:
        """Read no more on the host: the disks are about to be written to; those of donors are not."""
        for view in self._given:
            if donors or not view.device.donor:
                view.host.close()
        self._given = [view for view in self._given if view.device.donor and not donors]
        self.stage.disks.forget(donors=donors)

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

"""The disks of a guest as its tables see them: which device is the root, what lies at the top of each."""

from __future__ import annotations

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, BlockDevices, Mount
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact

_HIDING = frozenset({"crypto_LUKS", "LVM2_member", "linux_raid_member", "BitLocker"})


class GuestDisks:
    """What the disks say, whatever the tables do."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._names: dict[str, frozenset[str] | None] = {}

    @property
    def block(self) -> BlockDevices:
        """What is on the guest's disks."""
        return self._guest.block

    @property
    def mounted(self) -> tuple[Mount, ...]:
        """What is mounted where, for this examination."""
        return self._guest.mounts

    @fact
    def root(self) -> BlockDevice | None:
        """The device of the filesystem that this very system lies on."""
        return self.block.get(next((m.source for m in self.mounted if m.target == "/"), ""))

    @fact
    def root_subvolume(self) -> str:
        """The btrfs subvolume of ``/``, empty for others."""
        return next((m.subvolume for m in self.mounted if m.target == "/"), "")

    @fact
    def locked(self) -> tuple[BlockDevice, ...]:
        """Containers and physical volumes that nothing could be seen in."""
        parents = {p for d in self.block.devices for p in d.parents}
        return tuple(d for d in self.block.devices if d.content in _HIDING and d.name not in parents)

    def is_directory(self, path: GuestPath) -> bool:
        """True for a directory of the guest, links followed."""
        return self._guest.is_directory(path)

    def top_names(self, device: BlockDevice) -> frozenset[str] | None:
        """Names in the top directory of a filesystem; None when it cannot be seen."""
        if device.name not in self._names:
            names = self._look(device)
            self._names[device.name] = None if names is None else frozenset(names)
        return self._names[device.name]

    def _look(self, device: BlockDevice) -> tuple[str, ...] | None:
        mount = next((m for m in self.mounted if m.source == device.name and not m.subvolume), None)
        try:
            if mount is not None:
                return self._guest.listdir(GuestPath(mount.target))
            return self._guest.peek(device.name)
        except GuestReadError:
            return None  # evidence that cannot be had is no evidence, for or against

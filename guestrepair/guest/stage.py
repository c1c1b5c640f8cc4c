"""Mounting filesystems side by side in the appliance, each under a mount point of its own.

Every filesystem that is looked at stays mounted under its own prefix
(``/m0``, ``/m1``…), so that nothing is mounted twice and a donor stands beside
the guest in the same launch.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.handle import Handle, reading

_OPTIONS = {
    # Two copies of one filesystem (guest and donor) share their UUID: harmless here.
    "xfs": ",nouuid",
}


def mount_options(content: str, *, subvolume: str = "", writable: bool = False) -> str:
    """Options of mount(8) for a filesystem of that type."""
    access = "rw" if writable else "ro"
    chosen = f",subvol={subvolume}" if subvolume else ""
    return access + _OPTIONS.get(content, "") + chosen


def _from_copy(device: BlockDevice) -> str:
    """The option that mounts ext by a copy of its superblock; empty where the first is sound."""
    if device.ext is None or not device.ext.backup_superblock:
        return ""
    return f",sb={device.ext.backup_superblock * device.ext.block_size_bytes // 1024}"  # ext4(5): in KiB


def mountable(device: BlockDevice, subvolume: str = "") -> str:
    """libguestfs's name for a device or one of its btrfs subvolumes (guestfs(3), "btrfsvol")."""
    return f"btrfsvol:{device.name}/{subvolume}" if subvolume else device.name


@dataclass(slots=True)
class Stage:
    """The filesystems mounted so far, by device and subvolume, and the prefix of each."""

    handle: Handle
    prefixes: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    _count: int = 0

    def mount(self, device: BlockDevice, subvolume: str = "") -> str:
        """The prefix under which a filesystem stands read-only; mounts it the first time.

        Raises:
            GuestReadError: it cannot be mounted (asked again, the same answer without another try).
        """
        key = (device.name, subvolume)
        if key in self.failures:
            raise GuestReadError(device.name, self.failures[key])
        if key not in self.prefixes:
            prefix = f"/m{self._count}"
            self._count += 1
            try:
                with reading(self.handle, device.name):
                    self.handle.mkmountpoint(prefix)
                    options = mount_options(device.content) + _from_copy(device)
                    self.handle.mount_options(options, mountable(device, subvolume), prefix)
                    if device.content == "xfs" and device.unclean:
                        # The mount has replayed the log; only the unmount says so on disk, and
                        # xfs_repair judges nothing while the log seems to wait.
                        self.handle.umount(prefix)
                        self.handle.mount_options(options, device.name, prefix)
            except GuestReadError as error:
                self.failures[key] = error.reason
                raise
            self.prefixes[key] = prefix
        return self.prefixes[key]

    def empty(self) -> str:
        """The prefix of a directory without any file, for a view of disks that nothing is mounted from."""
        prefix = f"/m{self._count}"
        self._count += 1
        with reading(self.handle, "an empty directory"):
            self.handle.mkmountpoint(prefix)
            # tmpfs takes no device, only a name for one.
            self.handle.mount_vfs("mode=0755", "tmpfs", "/dev/sda", prefix)
        return prefix

    def names(self, device: BlockDevice, subvolume: str = "") -> tuple[str, ...]:
        """Names in the top directory of a filesystem.

        Raises:
            GuestReadError: it cannot be mounted or read.
        """
        prefix = self.mount(device, subvolume)
        with reading(self.handle, device.name):
            return tuple(sorted(self.handle.ls(prefix)))

    def clear(self) -> None:
        """Unmount everything; the prefixes are made anew at the next mount.

        Raises:
            GuestReadError: a filesystem does not unmount (its last writes failed).
        """
        with reading(self.handle, "unmount"):
            self.handle.umount_all()
        self.prefixes.clear()
        self.failures.clear()

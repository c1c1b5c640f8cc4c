"""All that is known of how one guest is set up, each part read when it is first asked for."""

from __future__ import annotations

from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.guest.view import Guest
from guestrepair.packages.base import PackageDatabase
from guestrepair.packages.usrmerge import BrokenLink, as_if_linked, broken_links
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.drivers import Drivers
from guestrepair.system.fact import fact
from guestrepair.system.files import Files
from guestrepair.system.filesystems import Filesystems
from guestrepair.system.kernels import Kernels
from guestrepair.system.mounts import Mounts
from guestrepair.system.partitions import Partitions
from guestrepair.system.systemd import Systemd


class System:
    """The facts of one guest; ``packages`` is None where it has no package database that can be read."""

    def __init__(self, guest: Guest, packages: PackageDatabase | None = None) -> None:
        self._guest = guest
        self.packages = packages

    @property
    def os(self) -> OperatingSystem:
        """Which system it is."""
        return self._guest.os

    @property
    def block(self) -> BlockDevices:
        """What is on its disks."""
        return self._guest.block

    @property
    def mounted(self) -> tuple[Mount, ...]:
        """What is mounted where, for this examination."""
        return self._guest.mounts

    @property
    def unmounted(self) -> tuple[tuple[str, str], ...]:
        """Mount points of the guest that could not be mounted, each with the reason."""
        return self._guest.unmounted

    @fact
    def broken_links(self) -> tuple[BrokenLink, ...]:
        """The links of a merged /usr that are missing or wrong."""
        return broken_links(self._guest, self.packages)

    @fact
    def view(self) -> Guest:
        """The guest as it will be once those links are whole: for system/ and packages/, not for rules."""
        return as_if_linked(self._guest, self.broken_links)

    @fact
    def boot_loader(self) -> BootLoader:
        """Its boot loader: configurations, entries, and the loader's own parts."""
        return BootLoader(self.view)

    @fact
    def drivers(self) -> Drivers:
        """The modules of its kernels."""
        return Drivers(self.view)

    @fact
    def files(self) -> Files:
        """What lies at the paths of the guest."""
        return Files(self.view)

    @fact
    def filesystems(self) -> Filesystems:
        """What its filesystems' bytes, checkers and sizes tell."""
        return Filesystems(self._guest)

    @fact
    def kernels(self) -> Kernels:
        """Its kernels, their modules and initramfs images."""
        return Kernels(self.view)

    @fact
    def mounts(self) -> Mounts:
        """What fstab, crypttab and mount units name, and what they mean."""
        return Mounts(self.view, self.systemd, self.boot_loader)

    @fact
    def partitions(self) -> Partitions:
        """The partition tables of its disks."""
        return Partitions(self._guest)

    @fact
    def systemd(self) -> Systemd:
        """Its units."""
        return Systemd(self.view)

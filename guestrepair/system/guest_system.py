"""All that is known of how one guest is set up, each part read when it is first asked for."""

from __future__ import annotations

from guestrepair.guest.devices import BlockDevices, Mount, OperatingSystem
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.base import PackageDatabase
from guestrepair.packages.usrmerge import BrokenLink, as_if_linked, broken_links
from guestrepair.system.accounts import Accounts
from guestrepair.system.fact import fact
from guestrepair.system.files import Files
from guestrepair.system.hosts_access import AccessFile, read_hosts_access
from guestrepair.system.logs import Logs
from guestrepair.system.pam import Pam
from guestrepair.system.sshd.server import find_server
from guestrepair.system.sshd.sshd import Sshd
from guestrepair.system.systemd import Systemd
from guestrepair.system.tmpfiles import Tmpfiles


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
    def mounts(self) -> tuple[Mount, ...]:
        """What is mounted where, for this examination."""
        return self._guest.mounts

    @property
    def unmounted(self) -> tuple[tuple[str, str], ...]:
        """Mount points of the guest that could not be mounted, each with the reason."""
        return self._guest.unmounted

    def unmounted_above(self, path: GuestPath) -> str:
        """The mount point over a path that could not be mounted here, with the reason; else empty."""
        for target, reason in self.unmounted:
            mount = GuestPath(target)
            if mount == path or mount in path.parents:
                return f"{target} is not mounted here ({reason})"
        return ""

    @fact
    def accounts(self) -> Accounts:
        """Its accounts and groups."""
        return Accounts(self.view)

    @fact
    def broken_links(self) -> tuple[BrokenLink, ...]:
        """The links of a merged /usr that are missing or wrong."""
        return broken_links(self._guest, self.packages)

    @fact
    def view(self) -> Guest:
        """The guest as it will be once those links are whole: for system/ and packages/, not for rules."""
        return as_if_linked(self._guest, self.broken_links)

    @fact
    def files(self) -> Files:
        """What lies at the paths of the guest."""
        return Files(self.view)

    @fact
    def hosts_access(self) -> tuple[AccessFile, ...]:
        """The rules of TCP wrappers."""
        return read_hosts_access(self.view)

    @fact
    def logs(self) -> Logs:
        """What its programs logged."""
        return Logs(self.view)

    @fact
    def pam(self) -> Pam:
        """Its PAM services."""
        return Pam(self.view)

    @fact
    def sshd(self) -> Sshd | None:
        """Its sshd; None where none is installed."""
        server = find_server(self.view, self.packages)
        return None if server is None else Sshd(self, server)

    @fact
    def systemd(self) -> Systemd:
        """Its units."""
        return Systemd(self.view)

    @fact
    def tmpfiles(self) -> Tmpfiles:
        """What systemd-tmpfiles does at boot."""
        return Tmpfiles(self.view)

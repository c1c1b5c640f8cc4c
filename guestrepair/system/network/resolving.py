"""How the guest looks up names: /etc/resolv.conf, where it leads, and the hosts line of nsswitch.conf.

Sources: resolv.conf(5), nsswitch.conf(5), systemd-resolved.service(8) (*/etc/resolv.conf*), resolvconf(8).
"""

from __future__ import annotations

from collections.abc import Mapping

from guestrepair.formats.resolver import DatabaseLine, parse_databases, parse_nameservers
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact, parsed
from guestrepair.system.systemd import Systemd

RESOLV_CONF = GuestPath("/etc/resolv.conf")
NSSWITCH = GuestPath("/etc/nsswitch.conf")
STUB = "127.0.0.53"
_MAKERS: Mapping[str, tuple[str, ...]] = {
    "/run/systemd/resolve/": ("systemd-resolved.service",),
    "/run/NetworkManager/": ("NetworkManager.service",),
    "/run/resolvconf/": ("resolvconf.service", "networking.service", "NetworkManager.service"),
    "/run/connman/": ("connman.service",),
    "/run/netconfig/": ("wicked.service", "NetworkManager.service", "network.service"),
}
"""What lies in /run is made at boot, by one of these units."""


class Resolving:
    """The resolver of one guest."""

    def __init__(self, guest: Guest, systemd: Systemd) -> None:
        self._guest = guest
        self._systemd = systemd

    @fact
    def link(self) -> str:
        """The target of the link /etc/resolv.conf as an absolute path; "" where it is no link."""
        target = self._guest.readlinks([RESOLV_CONF])[RESOLV_CONF]
        if not target:
            return ""
        parts: list[str] = []
        for part in (RESOLV_CONF.parent / target).parts:
            if part == "..":
                del parts[-1:]
            elif part.strip("/"):
                parts.append(part)
        path = "/" + "/".join(parts)
        return path.replace("/var/run/", "/run/", 1) if path.startswith("/var/run/") else path

    @fact
    def exists(self) -> bool:
        """True where there is something at the path, links followed on the disk."""
        return self._guest.exists(RESOLV_CONF)

    @fact
    def present(self) -> bool:
        """True where the name is there, if only as a link."""
        return self._guest.lstat(RESOLV_CONF) is not None

    @fact
    def makers(self) -> tuple[str, ...]:
        """The units of which one makes what the link leads to; empty where no unit is known to."""
        return next((units for top, units in _MAKERS.items() if self.link.startswith(top)), ())

    def starts(self, units: tuple[str, ...]) -> bool:
        """True where one of the units is started at boot, or on demand by D-Bus."""
        started = self._systemd.started_at_boot
        return any(self._systemd.names_of(unit) & started for unit in units)

    def is_masked(self, unit: str) -> bool:
        """True for a unit that cannot be started."""
        return self._systemd.is_masked(unit)

    @fact
    def has_resolvconf(self) -> bool:
        """True where resolvconf is there: whatever configures a card has it make the file."""
        return any(self._guest.is_file(GuestPath(p)) for p in ("/usr/sbin/resolvconf", "/sbin/resolvconf"))

    @fact
    def data(self) -> bytes | None:
        """The bytes of resolv.conf; None where it is not there."""
        return self._guest.read_if_there(RESOLV_CONF) if self.exists else None

    @fact
    def nameservers(self) -> tuple[tuple[str, int], ...]:
        """(address, line) of its nameservers."""
        return parsed(parse_nameservers, self.data or b"", RESOLV_CONF)

    @fact
    def nsswitch(self) -> bytes | None:
        """The bytes of nsswitch.conf; None where it is not there."""
        return self._guest.read_if_there(NSSWITCH)

    @fact
    def databases(self) -> Mapping[str, DatabaseLine]:
        """The lines of nsswitch.conf by their database (hosts, passwd, group, shadow)."""
        return parsed(parse_databases, self.nsswitch or b"", NSSWITCH)

    @property
    def hosts(self) -> DatabaseLine | None:
        """The hosts line of nsswitch.conf; None where nothing says so (glibc: ``files dns``)."""
        return self.databases.get("hosts")

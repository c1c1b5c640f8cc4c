"""Which managers are installed, and which of them a boot starts.

Sources: systemd.unit(5); the units as the distributions ship them; OpenRC's runlevels and SysV's rc
directories where there is no systemd.
"""

from __future__ import annotations

from collections.abc import Mapping

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.network.model import Manager, Program
from guestrepair.system.runlevels import runlevel_services
from guestrepair.system.systemd import Systemd

_BIN = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
_FILES: Mapping[Manager, tuple[str, ...]] = {
    Manager.NETPLAN: ("/usr/sbin/netplan", "/usr/libexec/netplan/generate", "/lib/netplan/generate"),
    Manager.NETWORKD: ("/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"),
    Manager.NETWORK_MANAGER: tuple(f"{b}/NetworkManager" for b in _BIN),
    Manager.IFUPDOWN: ("/usr/sbin/ifup", "/sbin/ifup"),
    Manager.INITSCRIPTS: ("/etc/sysconfig/network-scripts/ifup-eth",),
    Manager.WICKED: ("/usr/sbin/wicked", "/sbin/wicked"),
    Manager.CLOUD_INIT: ("/usr/bin/cloud-init",),
}
_UNITS: Mapping[Manager, tuple[str, ...]] = {
    Manager.NETWORKD: ("systemd-networkd.service", "systemd-networkd.socket"),
    Manager.NETWORK_MANAGER: ("NetworkManager.service",),
    Manager.IFUPDOWN: ("networking.service", "ifupdown-ng.service"),
    Manager.INITSCRIPTS: ("network.service",),
    Manager.WICKED: ("wicked.service", "network.service"),
    Manager.CLOUD_INIT: ("cloud-init-local.service", "cloud-init.service", "cloud-init-network.service"),
}
_SERVICES: Mapping[Manager, tuple[str, ...]] = {
    Manager.IFUPDOWN: ("networking",),
    Manager.INITSCRIPTS: ("network",),
    Manager.WICKED: ("network", "wickedd"),
    Manager.NETWORK_MANAGER: ("NetworkManager", "networkmanager", "network-manager"),
    Manager.CLOUD_INIT: ("cloud-init-local", "cloud-init"),
}
_OTHERS = frozenset(
    {"connmand", "dhcpcd", "dhclient", "udhcpc", "ifconfig", "ip", "pppd", "netctl", "netctl-auto", "iwd",
     "dhcpcd5", "systemd-nspawn-network", "guest-network", "google_network_daemon", "ifup-wait-all-auto"}
)  # fmt: skip
_OTHER_SERVICES = ("dhcpcd", "connman", "connmand", "netifrc", "udhcpc")
_STARTING = ("ExecStart", "ExecStartPre", "ExecStartPost")
_SHELLS = frozenset({"sh", "bash", "dash", "env", "python", "python3"})
_RC_LOCAL = (GuestPath("/etc/rc.local"), GuestPath("/etc/rc.d/rc.local"))
_GENERATOR = "systemd/system-generators/cloud-init-generator"


class Programs:
    """The managers of one guest."""

    def __init__(self, guest: Guest, systemd: Systemd) -> None:
        self._guest = guest
        self._systemd = systemd

    @fact
    def all(self) -> Mapping[Manager, Program]:
        """Every manager that is known, installed or not."""
        return {manager: self._program(manager) for manager in Manager}

    def _program(self, manager: Manager) -> Program:
        installed = any(self._guest.is_file(GuestPath(p)) for p in _FILES[manager])
        if manager is Manager.IFUPDOWN:
            installed = installed and self._guest.exists(GuestPath("/etc/network"))
        if manager is Manager.NETPLAN:
            return Program(manager, installed, installed)  # a generator: it always runs
        if not self._systemd.installed:
            return Program(manager, installed, self._by_runlevel(manager))
        return self._by_unit(manager, installed=installed)

    def _by_unit(self, manager: Manager, *, installed: bool) -> Program:
        units = _UNITS[manager]
        masked = self._systemd.masked_by(units[0])
        if masked is not None:
            return Program(manager, installed, False, masked, units[0])
        own = {n for unit in units for n in self._systemd.names_of(unit)}
        starts = bool(own & self._systemd.started_at_boot)
        if manager is Manager.CLOUD_INIT and not starts and self._has_generator:
            starts = any(self._systemd.pulled_in_by(unit) for unit in units)  # cloud-init.target is its work
        if manager in {Manager.INITSCRIPTS, Manager.IFUPDOWN, Manager.WICKED} and not starts:
            starts = bool(self._by_runlevel(manager)) and self._systemd.load(units[0]) is None
        return Program(manager, installed, starts, None, units[0])

    @fact
    def _has_generator(self) -> bool:
        return any(self._guest.is_file(GuestPath(top) / _GENERATOR) for top in ("/usr/lib", "/lib"))

    def _by_runlevel(self, manager: Manager) -> bool | None:
        """Whether OpenRC or SysV's init starts it; None where neither is there to be asked."""
        names = _SERVICES.get(manager, ())
        return self._in_runlevels(names)

    def _in_runlevels(self, names: tuple[str, ...]) -> bool | None:
        started = self._runlevels
        return None if started is None else bool(set(names) & started)

    @fact
    def _runlevels(self) -> frozenset[str] | None:
        return runlevel_services(self._guest)

    @fact
    def others(self) -> tuple[str, ...]:
        """What else a boot starts that may set up cards, in ways that are not looked into here."""
        if not self._systemd.installed:
            started = self._runlevels
            others = sorted(n for n in started or () if n.startswith("net.") and n != "net.lo")
            return (*(n for n in _OTHER_SERVICES if n in (started or ())), *others, *self._rc_local)
        found = []
        for name in sorted(self._systemd.started_at_boot):
            unit = attempt(lambda name=name: self._systemd.load(name))  # type: ignore[misc]
            if unit is None or isinstance(unit, Unreadable) or not name.endswith(".service"):
                continue
            commands = (c for k in _STARTING for c in unit.unit.values("Service", k))
            if any(map(_sets_up_cards, commands)):
                found.append(name)
        return (*dict.fromkeys(found), *self._rc_local)

    @fact
    def _rc_local(self) -> tuple[str, ...]:
        """/etc/rc.local, where it names a program that sets up cards."""
        found = []
        for path in _RC_LOCAL:
            text = (self._guest.read_if_there(path) or b"").decode("utf-8", "replace")
            lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
            if any(_sets_up_cards(f"sh {line}") for line in lines):
                found.append(str(path))
        return tuple(found)


def _sets_up_cards(command: str) -> bool:
    """True where a command runs one of the programs that do it, or a shell that does."""
    words = [GuestPath(w.strip("\"';")).name for w in command.lstrip("-@:+!").split()[:200]]
    looked_at = words if words and words[0] in _SHELLS else words[:1]
    return any(word in _OTHERS for word in looked_at)

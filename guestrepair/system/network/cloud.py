"""cloud-init, as far as it decides on network configuration.

Sources: cloud-init's documentation, *Network configuration* (sources, order, disabling), *Boot stages*; for a
new instance it writes the network configuration anew, for the one that it knows it leaves it alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.formats.yaml_nodes import Node, YamlError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.network.directories import bounded
from guestrepair.system.network.model import Manager, Place
from guestrepair.system.network.netplan import Netplan, add_network, parsed_yaml
from guestrepair.system.network.programs import Programs

_MAIN = GuestPath("/etc/cloud/cloud.cfg")
_MORE = GuestPath("/etc/cloud/cloud.cfg.d")
_OFF = GuestPath("/etc/cloud/cloud-init.disabled")
_SEEDS = tuple(GuestPath(f"/var/lib/cloud/seed/{n}/network-config") for n in ("nocloud", "nocloud-net"))
RENDERED = tuple(
    GuestPath(p)
    for p in (
        "/etc/netplan/50-cloud-init.yaml",
        "/etc/network/interfaces.d/50-cloud-init",
        "/etc/network/interfaces.d/50-cloud-init.cfg",
        "/etc/systemd/network/10-cloud-init-eth0.network",
        "/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection",
        "/etc/NetworkManager/conf.d/99-cloud-init.conf",
    )
)
"""Files that cloud-init writes: their content is of the machine that it was written on."""


@dataclass(frozen=True, slots=True)
class Given:
    """A network configuration that is handed to cloud-init on this disk, and where."""

    place: Place
    plan: Netplan | None
    disables: bool = False


class CloudInit:
    """What cloud-init of one guest does to the network."""

    def __init__(self, guest: Guest, programs: Programs, boot_loader: BootLoader) -> None:
        self._guest = guest
        self._programs = programs
        self._boot_loader = boot_loader

    @fact
    def off(self) -> str:
        """Why cloud-init writes no network configuration; "" where it does."""
        program = self._programs.all[Manager.CLOUD_INIT]
        if not program.installed:
            return "cloud-init is not installed"
        if self._guest.exists(_OFF):
            return f"{_OFF} is there"
        if program.starts is False:
            return "cloud-init is not started at boot"
        for line in self._boot_loader.lines:
            if not line.is_rescue and line.cmdline.get("cloud-init") == "disabled":
                return f"cloud-init=disabled in {line.place}"
            if not line.is_rescue and line.cmdline.get("network-config") == "disabled":
                return f"network-config=disabled in {line.place}"
        found = self.given
        return (
            f"{found.place} disables its network configuration"
            if found is not None and found.disables
            else ""
        )

    @fact
    def given(self) -> Given | None:
        """What the disk itself tells it, the system configuration over the seed's; None without any."""
        found: Given | None = None
        for path in self._files:
            top = self._tree(path)
            network = None if top is None else top.get("network")
            if network is not None and not network.is_null:
                found = _given(path, network)
        return found or next((self._seed(path) for path in _SEEDS if self._guest.is_file(path)), None)

    def _seed(self, path: GuestPath) -> Given:
        top = self._tree(path)
        inside = None if top is None else top.get("network")
        network = inside or top
        return Given(Place(path), None) if network is None else _given(path, network)

    @fact
    def _files(self) -> tuple[GuestPath, ...]:
        files = bounded(tuple(p for p in self._guest.glob(_MORE, "*.cfg") if self._guest.is_file(p)))
        return ((_MAIN,) if self._guest.is_file(_MAIN) else ()) + files

    def _tree(self, path: GuestPath) -> Node | None:
        """A file's tree; None for one that is no YAML, which cloud-init passes over."""
        try:
            return parsed_yaml(self._guest.read(path), path)
        except YamlError:
            return None

    @fact
    def datasources(self) -> tuple[str, ...]:
        """``datasource_list``; empty where nothing says so."""
        found: tuple[str, ...] = ()
        for path in self._files:
            top = self._tree(path)
            listed = None if top is None else top.get("datasource_list")
            if listed is not None:
                found = tuple(n.text for n in listed.scalars)
        return found

    @fact
    def writes_anew(self) -> bool | Unreadable:
        """True where another machine is a new instance for it, and gets a configuration of its own."""
        return attempt(lambda: not self.off and self.datasources != ("None",), _MAIN)


def _given(path: GuestPath, network: Node) -> Given:
    config, version = network.get("config"), network.get("version")
    place = Place(path, network.line)
    if config is not None and config.text == "disabled":
        return Given(place, None, disables=True)
    if version is None or version.text != "2":
        return Given(place, None)  # version 1, which is not looked into
    plan = Netplan()
    add_network(plan, path, network)
    return Given(place, plan)

"""cloud-init, as far as it decides on network configuration.

Sources: cloud-init's documentation, *Network configuration* (sources, order, disabling), *Boot stages*; for a
new instance it writes the network configuration again, for the one that it knows it leaves it alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from guestrepair.formats.yaml_nodes import Node, YamlError
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.cloud_init import CloudInit
from guestrepair.system.cloud_seeds import CloudFile
from guestrepair.system.fact import Unreadable, attempt, fact
from guestrepair.system.network import netplan
from guestrepair.system.network.cloud_v1 import configurations_of
from guestrepair.system.network.directories import bounded
from guestrepair.system.network.model import Configuration, Manager, Place
from guestrepair.system.network.netplan import Netplan, add_network, parsed_yaml
from guestrepair.system.network.programs import Programs

_MAIN = GuestPath("/etc/cloud/cloud.cfg")
_MORE = GuestPath("/etc/cloud/cloud.cfg.d")
_OFF = GuestPath("/etc/cloud/cloud-init.disabled")
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
    """A network configuration that is handed to cloud-init on the guest's disks, and where.

    ``configurations`` is None where its format is not looked into. ``of_machine``: it lies on a volume of its
    own, which another machine has another one of.
    """

    place: Place
    configurations: tuple[Configuration, ...] | None
    disables: bool = False
    of_machine: bool = False


class CloudNetwork:
    """What cloud-init of one guest does to the network."""

    def __init__(
        self, guest: Guest, programs: Programs, boot_loader: BootLoader, cloud_init: CloudInit
    ) -> None:
        self._guest = guest
        self._programs = programs
        self._boot_loader = boot_loader
        self._cloud_init = cloud_init

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
        if self._cloud_init.identify.mode == "disabled":
            return f"{self._cloud_init.identify.place} disables cloud-init"
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
        if found is not None:
            return found
        seed = self._cloud_init.coming.network
        return None if seed is None else _of_seed(seed)

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
        return attempt(self._writes_anew, _MAIN)

    def _writes_anew(self) -> bool:
        return not self.off and self.datasources != ("None",) and not self._cloud_init.keeps_instance


def _of_seed(file: CloudFile) -> Given:
    """The seed's own; ``network:`` may stand around it."""
    try:
        top = parsed_yaml(file.data, file.path)
    except YamlError:
        top = None
    inside = None if top is None else top.get("network")
    network = inside or top
    if network is None or network.kind != "mapping":
        return Given(Place(file.path), None, of_machine=bool(file.device))
    return replace(_given(file.path, network), of_machine=bool(file.device))


def _given(path: GuestPath, network: Node) -> Given:
    config, version = network.get("config"), network.get("version")
    place = Place(path, network.line)
    if config is not None and config.text == "disabled":
        return Given(place, None, disables=True)
    if version is not None and version.text == "1":
        return Given(place, configurations_of(network, path))
    if version is None or version.text != "2":
        return Given(place, None)
    plan = Netplan()
    add_network(plan, path, network)
    return Given(place, netplan.configurations(plan).configurations)

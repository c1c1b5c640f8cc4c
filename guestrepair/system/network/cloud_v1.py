"""Version 1 of cloud-init's network configuration: a list of devices with their subnets.

Source: cloud-init's documentation, *Networking config version 1*.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.formats.yaml_nodes import Node
from guestrepair.model import GuestPath
from guestrepair.system.network.model import Configuration, Manager, Match, Place

_DHCP = {
    "dhcp": ("dhcp4",),
    "dhcp4": ("dhcp4",),
    "dhcp6": ("dhcp6",),
    "ipv6_dhcpv6-stateful": ("dhcp6",),
    "ipv6_dhcpv6-stateless": ("ra",),
    "ipv6_slaac": ("ra",),
}
_PORTS = {"bond": "bond_interfaces", "bridge": "bridge_interfaces", "vlan": "vlan_link"}


def configurations_of(network: Node, path: GuestPath) -> tuple[Configuration, ...]:
    """What the physical devices get; ``network`` is the mapping with ``version`` and ``config``."""
    config = network.get("config")
    items = [item for item in config.items if item.kind == "mapping"] if config is not None else []
    ports = dict(_ports(items))
    return tuple(_physical(item, path, ports) for item in items if _text(item, "type") == "physical")


def _text(node: Node, key: str) -> str:
    found = node.get(key)
    return found.text if found is not None and found.kind == "scalar" and not found.is_null else ""


def _ports(items: list[Node]) -> Iterator[tuple[str, str]]:
    """(port, what it is a port of)."""
    for item in items:
        named = item.get(_PORTS.get(_text(item, "type"), ""))
        if named is not None:
            yield from ((port.text, _text(item, "name")) for port in named.scalars)


def _physical(item: Node, path: GuestPath, ports: dict[str, str]) -> Configuration:
    """With ``mac_address``, ``name`` is what the card is called afterwards; without, it is the card's."""
    name, mac = _text(item, "name"), _text(item, "mac_address").lower()
    pin = item.get("mac_address" if mac else "name")
    subnets = item.get("subnets")
    found = [s for s in subnets.items if s.kind == "mapping"] if subnets is not None else []
    return Configuration(
        manager=Manager.CLOUD_INIT,
        name=name or mac,
        match=Match(() if mac or not name else (name,), (mac,) if mac else ()),
        place=Place(path, item.line),
        dhcp=tuple(dict.fromkeys(way for s in found for way in _DHCP.get(_text(s, "type"), ()))),
        addresses=tuple(_address(s) for s in found if _text(s, "address")),
        gateways=tuple(_text(s, "gateway") for s in found if _text(s, "gateway")),
        part_of=ports.get(name, ""),
        at_boot=not found or any(_text(s, "control") in {"", "auto", "hotplug"} for s in found),
        pins=(Place(path, pin.line),) if pin is not None else (),
    )


def _address(subnet: Node) -> str:
    address, mask = _text(subnet, "address"), _text(subnet, "netmask") or _text(subnet, "prefix")
    return f"{address}/{mask}" if mask and "/" not in address else address

"""What netplan refuses in a definition: unknown keys, values that are none, names that nothing defines.

Source: netplan(5), and the messages of netplan 0.106 on the configurations of the oracle test. Only keys
of which no release knows anything are refused here: newer releases know more than older ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from guestrepair.formats.yaml_nodes import Node
from guestrepair.model import GuestPath
from guestrepair.system.network.addresses import interface, is_address
from guestrepair.system.network.model import Place

CARDS = ("ethernets",)
VIRTUAL = ("bonds", "bridges", "vlans", "vrfs")
SECTIONS = (
    "ethernets", "wifis", "modems", "bonds", "bridges", "vlans", "vrfs", "tunnels", "dummy-devices",
    "virtual-ethernets", "nm-devices", "openvswitch",
)  # fmt: skip
"""The sections below ``network``, those of cards first."""

_COMMON = frozenset(
    {
        "accept-ra", "activation-mode", "addresses", "critical", "dhcp-identifier", "dhcp4",
        "dhcp4-overrides", "dhcp6", "dhcp6-overrides", "gateway4", "gateway6", "hairpin",
        "ignore-carrier", "ipv6-address-generation", "ipv6-address-token", "ipv6-mtu", "ipv6-privacy",
        "link-local", "macaddress", "mtu", "nameservers", "neigh-suppress", "networkmanager",
        "openvswitch", "optional", "optional-addresses", "port-mac-learning", "ra-overrides",
        "regulatory-domain", "renderer", "routes", "routing-policy"
    }
)  # fmt: skip
_PHYSICAL = frozenset(
    {
        "emit-lldp", "generic-receive-offload", "generic-segmentation-offload",
        "large-receive-offload", "match", "receive-checksum-offload", "set-name",
        "tcp-segmentation-offload",
        "tcp6-segmentation-offload", "transmit-checksum-offload", "wakeonlan"
    }
)  # fmt: skip
_ETHERNET = frozenset(
    {
        "auth", "delay-virtual-functions-rebind", "embedded-switch-mode", "infiniband-mode", "link",
        "virtual-function-count"
    }
)  # fmt: skip
_OWN: Mapping[str, frozenset[str]] = {
    "ethernets": _PHYSICAL | _ETHERNET,
    "bonds": frozenset({"interfaces", "parameters"}),
    "bridges": frozenset({"interfaces", "parameters"}),
    "vlans": frozenset({"id", "link"}),
}
"""Sections whose keys are all known; what stands in others is not judged."""

_MATCH = frozenset({"name", "macaddress", "driver"})
_TRUTHS = frozenset(
    {"dhcp4", "dhcp6", "accept-ra", "optional", "critical", "wakeonlan", "ipv6-privacy", "ignore-carrier"}
)
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}(?:(?::[0-9a-fA-F]{2}){14})?$")
_TRUE_OR_FALSE = frozenset({"true", "on", "yes", "y", "1", "false", "off", "no", "n", "0"})

Refusal = tuple[Place, str]


def check_definition(
    section: str, nodes: Sequence[tuple[GuestPath, Node, Node]], known: AbstractSet[str]
) -> Iterator[Refusal]:
    """(place, what is refused) of one definition, over all files that have a part of it."""
    has_match = any(node.get("match") is not None for _, _, node in nodes)
    for path, _, node in nodes:
        for key, value in node.pairs:
            place = Place(path, key.line)
            if section in _OWN and key.text not in _COMMON | _OWN[section]:
                yield place, f"unknown key {key.text!r}"
            if key.text == "set-name" and not has_match:
                yield place, "set-name: needs match: beside it"
            check = _CHECKS.get(key.text)
            if check is not None:
                yield from ((Place(path, line), what) for line, what in check(value))
            if key.text == "interfaces" and section in {"bonds", "bridges"}:
                yield from _undefined(path, value, known)
            if (section, key.text) == ("vlans", "link"):
                yield from _undefined(path, value, known)
    if section == "vlans":
        yield from _vlan(nodes)


def _vlan(nodes: Sequence[tuple[GuestPath, Node, Node]]) -> Iterator[Refusal]:
    path, name, _ = nodes[0]
    keys = {key.text for _, _, node in nodes for key, _ in node.pairs}
    for needed in ("id", "link"):
        if needed not in keys:
            yield Place(path, name.line), f"{name.text}: missing {needed!r} property"


def _undefined(path: GuestPath, value: Node, known: AbstractSet[str]) -> Iterator[Refusal]:
    for name in value.scalars:
        if name.text and name.text not in known:
            yield Place(path, name.line), f"interface {name.text!r} is not defined"


def _truth(value: Node) -> Iterator[tuple[int, str]]:
    if value.kind != "scalar" or value.text.lower() not in _TRUE_OR_FALSE:
        yield value.line, f"{value.text!r} is neither true nor false"


def _addresses(value: Node) -> Iterator[tuple[int, str]]:
    if value.kind != "sequence":
        yield value.line, "addresses: is no list"
        return
    for item in value.items:
        texts = (
            [(item.line, item.text)] if item.kind == "scalar" else [(k.line, k.text) for k, _ in item.pairs]
        )
        for line, text in texts:
            if "/" not in text:
                yield line, f"address {text!r} is missing /prefixlength"
            elif interface(text) is None or not text.partition("/")[2].isdigit():
                yield line, f"{text!r} is no address"


def _gateway(version: int) -> Callable[[Node], Iterator[tuple[int, str]]]:
    def check(value: Node) -> Iterator[tuple[int, str]]:
        right = is_address(value.text) and (":" in value.text) == (version == 6)
        if value.kind != "scalar" or not right:
            yield value.line, f"{value.text!r} is no IPv{version} address"

    return check


def _routes(value: Node) -> Iterator[tuple[int, str]]:
    if value.kind != "sequence":
        yield value.line, "routes: is no list"
        return
    for item in value.items:
        if item.kind != "mapping":
            yield item.line, "a route is a mapping with to: and via:"
            continue
        via, to = item.get("via"), item.get("to")
        kind, scope = item.get("type"), item.get("scope")
        if via is not None and not is_address(via.text):
            yield via.line, f"{via.text!r} is no address"
        if to is not None and to.text != "default" and interface(to.text) is None:
            yield to.line, f"{to.text!r} is no address"
        if to is None and kind is None and scope is None:
            yield item.line, "a route needs to:"


def _nameservers(value: Node) -> Iterator[tuple[int, str]]:
    if value.kind != "mapping":
        yield value.line, "nameservers: is no mapping"
    for key, node in value.pairs:
        if key.text not in {"addresses", "search"}:
            yield key.line, f"unknown key {key.text!r}"
        elif key.text == "addresses":
            for item in node.items:
                if not is_address(item.text.partition("#")[0]):
                    yield item.line, f"{item.text!r} is no address"


def _match(value: Node) -> Iterator[tuple[int, str]]:
    if value.kind != "mapping":
        yield value.line, "match: is no mapping"
        return
    for key, node in value.pairs:
        if key.text not in _MATCH:
            yield key.line, f"unknown key {key.text!r}"
        elif key.text == "macaddress" and _MAC.match(node.text) is None:
            yield node.line, f"{node.text!r} is no MAC address"


def _renderer(value: Node) -> Iterator[tuple[int, str]]:
    if value.text not in {"networkd", "NetworkManager", "sriov"}:
        yield value.line, f"unknown renderer {value.text!r}"


_CHECKS: Mapping[str, Callable[[Node], Iterator[tuple[int, str]]]] = {
    **dict.fromkeys(_TRUTHS, _truth),
    "addresses": _addresses,
    "gateway4": _gateway(4),
    "gateway6": _gateway(6),
    "match": _match,
    "nameservers": _nameservers,
    "renderer": _renderer,
    "routes": _routes,
}

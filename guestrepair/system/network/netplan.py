"""netplan: its YAML files, merged as it merges them, and what it refuses.

Sources: netplan(5), netplan-generate(8) and the behaviour of netplan 0.106. Files of one name are laid over
each other (/etc over /lib), all are read in the order of their names, and later settings win. When one is
refused, nothing at all is generated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from guestrepair.formats.yaml_nodes import Node, YamlError, parse_yaml
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.network.addresses import is_out_of_reach
from guestrepair.system.network.directories import merged_files
from guestrepair.system.network.model import Configuration, Manager, Match, Parsed, Place, Problem
from guestrepair.system.network.naming import may_be_a_card
from guestrepair.system.network.netplan_checks import CARDS, SECTIONS, VIRTUAL, check_definition

DIRECTORIES = tuple(GuestPath(p) for p in ("/etc/netplan", "/usr/lib/netplan", "/lib/netplan"))
REFUSES = "netplan then configures no card at all"


@dataclass(slots=True)
class Definition:
    """One ID of a section: its settings, later files over earlier ones, each with where it stands."""

    section: str
    name: str
    place: Place
    settings: dict[str, tuple[Place, Node]] = field(default_factory=dict)
    match: dict[str, tuple[Place, Node]] = field(default_factory=dict)
    addresses: list[tuple[Place, str]] = field(default_factory=list)
    routes: list[tuple[Place, Node]] = field(default_factory=list)
    nodes: list[tuple[GuestPath, Node, Node]] = field(default_factory=list)
    by_id: bool = False
    """A file had it without match: it is for the card of its ID, whatever later files ask besides."""

    def text(self, key: str) -> str:
        """A scalar setting; "" where there is none."""
        found = self.settings.get(key)
        return "" if found is None else found[1].text

    def truth(self, key: str, *, default: bool = False) -> bool:
        """A yes or no."""
        found = self.settings.get(key)
        truth = None if found is None else found[1].truth
        return default if truth is None else truth


@dataclass(slots=True)
class Netplan:
    """All files together: definitions by ID, the global renderer, and what is refused."""

    definitions: dict[str, Definition] = field(default_factory=dict)
    renderer: str = ""
    problems: list[Problem] = field(default_factory=list)
    files: list[tuple[GuestPath, bytes]] = field(default_factory=list)

    def refuse(self, place: Place, what: str) -> None:
        """Note something for which netplan generates nothing."""
        self.problems.append(Problem(Manager.NETPLAN, place, what, REFUSES))


def read_netplan(guest: Guest) -> Netplan:
    """What the files say.

    Raises:
        GuestReadError: one of them cannot be read, or is larger than any real one.
    """
    plan = Netplan()
    for path in merged_files(guest, DIRECTORIES, ".yaml"):
        data = guest.read(path)
        plan.files.append((path, data))
        add_file(plan, path, data)
    for definition in plan.definitions.values():
        for place, what in check_definition(definition.section, definition.nodes, set(plan.definitions)):
            plan.refuse(place, what)
        _check_overrides(plan, definition)
    return plan


def add_file(plan: Netplan, path: GuestPath, data: bytes) -> None:
    """Lay one more file over what is known."""
    try:
        top = parsed_yaml(data, path)
    except YamlError as error:
        plan.refuse(Place(path, error.line), f"no YAML: {error.message}")
        return
    if top is None:
        return
    if top.kind != "mapping":
        plan.refuse(Place(path, top.line), "a mapping is expected")
        return
    for key, node in top.pairs:
        if key.text != "network":
            plan.refuse(Place(path, key.line), f"unknown key {key.text!r}")
        elif node.kind == "mapping":
            add_network(plan, path, node)
        else:
            plan.refuse(Place(path, node.line), "network: is no mapping")


def parsed_yaml(data: bytes, path: GuestPath) -> Node | None:
    """The tree of a file; a YamlError stays what it is.

    Raises:
        YamlError: no YAML.
        GuestReadError: larger or deeper than any real one.
    """
    failed: list[YamlError] = []

    def parse(content: bytes) -> Node | None:
        try:
            return parse_yaml(content)
        except YamlError as error:
            failed.append(error)
            return None

    top = parsed(parse, data, path)
    if failed:
        raise failed[0]
    return top


def add_network(plan: Netplan, path: GuestPath, network: Node) -> None:
    """Lay what stands below ``network:`` over what is known."""
    for key, node in network.pairs:
        place = Place(path, key.line)
        if key.text == "version":
            if node.text != "2":
                plan.refuse(place, f"only version 2 is supported, this says {node.text!r}")
        elif key.text == "renderer":
            if node.text not in {"networkd", "NetworkManager"}:
                plan.refuse(place, f"unknown renderer {node.text!r}")
            plan.renderer = node.text
        elif key.text in SECTIONS:
            _section(plan, path, key, node)
        else:
            plan.refuse(place, f"unknown key {key.text!r}")


def _section(plan: Netplan, path: GuestPath, key: Node, section: Node) -> None:
    if section.kind != "mapping":
        plan.refuse(Place(path, section.line), f"{key.text}: is no mapping")
        return
    for name, node in section.pairs:
        place = Place(path, name.line)
        if key.text == "ethernets" or key.text in SECTIONS[1:]:
            if name.text == "renderer" and node.kind == "scalar":
                continue
            if node.kind != "mapping":
                plan.refuse(Place(path, node.line), f"{name.text}: is no mapping")
                continue
            known = plan.definitions.get(name.text)
            if known is not None and known.section != key.text:
                plan.refuse(place, f"updated definition {name.text!r} changes its type")
                continue
            definition = known or Definition(key.text, name.text, place)
            plan.definitions[name.text] = definition
            definition.nodes.append((path, name, node))
            _lay(definition, path, node)
            definition.by_id |= "match" not in definition.settings


def _lay(definition: Definition, path: GuestPath, node: Node) -> None:
    for key, value in node.pairs:
        place = Place(path, key.line)
        if key.text == "match":
            definition.match |= {k.text: (Place(path, k.line), v) for k, v in value.pairs}
            definition.settings["match"] = (place, value)
        elif key.text == "addresses":
            definition.addresses += [(Place(path, at), text) for at, text in _addresses(value)]
        elif key.text == "routes":
            definition.routes += [(Place(path, item.line), item) for item in value.items]
        else:
            definition.settings[key.text] = (place, value)


def _addresses(node: Node) -> Iterator[tuple[int, str]]:
    """An item is an address, or a mapping whose key is one (with its label or lifetime)."""
    for item in node.items:
        if item.kind == "scalar":
            yield item.line, item.text
        else:
            yield from ((key.line, key.text) for key, _ in item.pairs)


def _check_overrides(plan: Netplan, definition: Definition) -> None:
    """systemd-networkd has one set of DHCP's settings: netplan refuses two that differ."""
    if (definition.text("renderer") or plan.renderer) == "NetworkManager":
        return
    if not (definition.truth("dhcp4") and definition.truth("dhcp6")):
        return
    four, six = (definition.settings.get(f"dhcp{n}-overrides") for n in "46")
    for _, node in filter(None, (four, six)):
        for key, value in node.pairs:
            others = [o[1].get(key.text) for o in (four, six) if o is not None]
            if len(others) < 2 or any(o is None or o.text != value.text for o in others):
                place = (four or six or (definition.place,))[0]
                plan.refuse(place, f"{key.text} must be the same in dhcp4-overrides and dhcp6-overrides")
                return


# --- what cards get ---------------------------------------------------------------------


def configurations(plan: Netplan) -> Parsed:
    """What the definitions mean for Ethernet cards."""
    ports = _ports(plan)
    found = [
        _configuration(plan, d, ports)
        for d in plan.definitions.values()
        if d.section in CARDS and (d.match or may_be_a_card(d.name))
    ]
    problems = [*plan.problems, *_gateways(plan)]
    return Parsed(tuple(found), tuple(problems))


def _ports(plan: Netplan) -> dict[str, str]:
    """(port, what it is a port of), by ID."""
    found: dict[str, str] = {}
    for definition in plan.definitions.values():
        if definition.section not in VIRTUAL:
            continue
        for key in ("interfaces", "link"):
            _, node = definition.settings.get(key, (None, None))
            if node is not None:
                found |= {n.text: definition.name for n in node.scalars}
    return found


def _configuration(plan: Netplan, definition: Definition, ports: dict[str, str]) -> Configuration:
    names = tuple(n.text for n in definition.match["name"][1].scalars) if "name" in definition.match else ()
    _, mac = definition.match.get("macaddress", (None, None))
    if definition.by_id and not names:
        names = (definition.name,)
    pins = [place for key, (place, _) in definition.match.items() if key in {"macaddress", "name"}]
    dhcp = [key for key in ("dhcp4", "dhcp6") if definition.truth(key)]
    dhcp += ["ra"] if definition.truth("accept-ra") and not dhcp else []
    renderer = definition.text("renderer") or plan.renderer or "networkd"
    return Configuration(
        manager=Manager.NETPLAN,
        name=definition.name,
        match=Match(
            names,
            () if mac is None else (mac.text.lower(),),
            ("driver",) if "driver" in definition.match else (),
        ),
        place=definition.place,
        dhcp=tuple(dhcp),
        addresses=tuple(dict.fromkeys(text for _, text in definition.addresses)),
        gateways=tuple(text for _, text in _defaults(definition)),
        part_of=ports.get(definition.name, ""),
        at_boot=definition.text("activation-mode") not in {"manual", "off"},
        pins=tuple(pins) or (definition.place,),
        backend=Manager.NETWORK_MANAGER if renderer == "NetworkManager" else Manager.NETWORKD,
        files=tuple(dict.fromkeys(path for path, _, _ in definition.nodes)),
    )


def _defaults(definition: Definition) -> Iterator[tuple[Place, str]]:
    for key in ("gateway4", "gateway6"):
        if key in definition.settings:
            place, node = definition.settings[key]
            yield place, node.text
    for place, route in definition.routes:
        to, via, on_link = route.get("to"), route.get("via"), route.get("on-link")
        is_default = to is not None and to.text in {"default", "0.0.0.0/0", "::/0", "0/0"}
        if is_default and via is not None and not (on_link is not None and on_link.truth):
            yield place, via.text


def _gateways(plan: Netplan) -> Iterator[Problem]:
    for definition in plan.definitions.values():
        addresses = [text for _, text in definition.addresses]
        if any(route.get("scope") is not None or _is_no_default(route) for _, route in definition.routes):
            continue  # a route of its own may lead to the gateway
        for place, gateway in _defaults(definition):
            if is_out_of_reach(gateway, addresses):
                what = f"the gateway {gateway} is in no network of {', '.join(addresses)}"
                yield Problem(Manager.NETPLAN, place, what, "no default route", stops=False)


def _is_no_default(route: Node) -> bool:
    to = route.get("to")
    return to is not None and to.text not in {"default", "0.0.0.0/0", "::/0", "0/0"}

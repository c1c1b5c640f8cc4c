"""systemd-networkd: .network files and their drop-ins, in the order in which they are tried.

Sources: systemd.network(5), systemd-networkd.service(8). The first file that matches a card has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.formats.systemd_unit import FALSE, TRUE, Unit
from guestrepair.formats.words import word_set
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.network.addresses import interface, is_address, is_out_of_reach
from guestrepair.system.network.directories import merged_files
from guestrepair.system.network.drop_ins import Layered, read_layered
from guestrepair.system.network.model import Configuration, Manager, Match, Parsed, Place, Problem, Reach
from guestrepair.system.network.naming import Naming, may_be_a_card
from guestrepair.system.strange import Strange

DIRECTORIES = tuple(
    GuestPath(p)
    for p in (
        "/etc/systemd/network",
        "/usr/local/lib/systemd/network",
        "/usr/lib/systemd/network",
        "/lib/systemd/network",
    )
)
_CONDITIONS = ("Driver", "Path", "Property", "Host", "KernelCommandLine", "Firmware", "Credential", "SSID")
_MATCH_KEYS = word_set(
    """MACAddress PermanentMACAddress Path Driver Type Kind Property Name WLANInterfaceType SSID BSSID Host
    Virtualization KernelCommandLine KernelVersion Version Credential Architecture Firmware"""
)
_SECTIONS = word_set(
    """Match Link SR-IOV Network Address Neighbor IPv6AddressLabel RoutingPolicyRule NextHop Route DHCP
    DHCPv4 DHCPv6 DHCPPrefixDelegation DHCPv6PrefixDelegation IPv6PrefixDelegation IPv6AcceptRA
    DHCPServer DHCPServerStaticLease IPv6SendRA IPv6Prefix IPv6RoutePrefix IPv6PREF64Prefix Bridge
    BridgeFDB BridgeMDB BridgeVLAN LLDP CAN IPoIB MobileNetwork QDisc NetworkEmulator TokenBucketFilter
    PIE FlowQueuePIE StochasticFairBlue StochasticFairnessQueueing BFIFO PFIFO PFIFOHeadDrop PFIFOFast
    CAKE ControlledDelay DeficitRoundRobinScheduler DeficitRoundRobinSchedulerClass
    EnhancedTransmissionSelection GenericRandomEarlyDetection FairQueueingControlledDelay FairQueueing
    FairQueueTrafficPolicing TrivialLinkEqualizer HierarchyTokenBucket HierarchyTokenBucketClass
    ClassfulMultiQueueing BandMultiQueueing HeavyHitterFilter QuickFairQueueing QuickFairQueueingClass
    TrafficControlQueueingDiscipline ModemManager"""
)
_PORT_OF = ("Bridge", "Bond", "VRF", "VLAN", "MACVLAN", "IPVLAN", "Tunnel")
_MACS = ("MACAddress", "PermanentMACAddress")
_DHCP = {"yes": ("dhcp4", "dhcp6"), "both": ("dhcp4", "dhcp6"), "ipv4": ("dhcp4",), "ipv6": ("dhcp6",),
         "v4": ("dhcp4",), "v6": ("dhcp6",)}  # fmt: skip

_DHCP_WORDS = {*_DHCP, *TRUE, *FALSE, "none", ""}


def read_networkd(guest: Guest, naming: Naming) -> Parsed:
    """What the .network files say of Ethernet cards.

    Raises:
        GuestReadError: one of them cannot be read.
    """
    found: list[Configuration] = []
    problems: list[Problem] = []
    strange: list[Strange] = []
    for path in merged_files(guest, DIRECTORIES, ".network"):
        file = read_layered(guest, DIRECTORIES, path)
        strange += _strange(path, file.unit)
        if _is_for_something_else(file.unit):
            continue
        configuration = configuration_of(file)
        unreadable = next((p for f in file.files if (p := _unreadable(guest, f, path)) is not None), None)
        if unreadable is not None:
            problems.append(unreadable)
            continue
        problems += _problems(file, configuration)
        if file.unit.last("Link", "Unmanaged").lower() not in TRUE:
            found.append(configuration)
        if naming.reach(configuration.match) is Reach.ANY:
            break  # it has every card that is left
    return Parsed(tuple(found), tuple(problems), strange=tuple(strange))


def _strange(path: GuestPath, unit: Unit) -> Iterator[Strange]:
    """Sections, conditions and ways of asking for an address that networkd is not known to have."""
    sections = set()
    for a in unit.assignments:
        if a.section not in _SECTIONS and not a.section.startswith("X-") and a.section not in sections:
            sections.add(a.section)
            yield Strange(path, a.line, f"[{a.section}]", "a section of systemd.network(5)")
        elif a.section == "Match" and a.key not in _MATCH_KEYS:
            yield Strange(path, a.line, f"{a.key}=", "a condition of [Match]")
        elif (a.section, a.key) == ("Network", "DHCP") and a.value.lower() not in _DHCP_WORDS:
            yield Strange(path, a.line, a.value, "a value of DHCP=")


def _unreadable(guest: Guest, path: GuestPath, fragment: GuestPath) -> Problem | None:
    """networkd is the user systemd-network: a file that is root's alone, it cannot open.

    A drop-in that cannot be opened takes its fragment with it (systemd's conf-parser.c, config_parse_many).
    """
    found = guest.stat(path)
    if found is None or found.permissions & 0o004 or (found.gid and found.permissions & 0o040):
        return None
    what = f"its mode is {found.permissions:04o}: the user systemd-network cannot read it"
    consequence = "it is ignored" if path == fragment else f"{fragment} is ignored"
    return Problem(Manager.NETWORKD, Place(path), what, consequence, mode=True)


def _is_for_something_else(unit: Unit) -> bool:
    types = unit.words("Match", "Type")
    if types and not any(t in {"ether", "*"} or t.startswith("!") for t in types):
        return True
    if unit.words("Match", "WLANInterfaceType") or unit.words("Match", "Kind"):
        return True
    if unit.last("Match", "Virtualization") in {"container", "no", "!vm", "false"}:
        return True
    names = unit.words("Match", "Name")
    return bool(names) and not any(may_be_a_card(name) for name in names)


def configuration_of(file: Layered) -> Configuration:
    """What a .network file means for a card; each pin is where it stands, be it in a drop-in."""
    unit = file.unit
    macs = tuple(m.lower() for key in _MACS for m in unit.words("Match", key))
    others = tuple(k for k in _CONDITIONS if unit.words("Match", k))
    names = unit.words("Match", "Name")
    network = [a for a in unit.assignments if a.section == "Network"]
    dhcp = unit.last("Network", "DHCP").lower()
    policy = unit.last("Link", "ActivationPolicy")
    return Configuration(
        manager=Manager.NETWORKD,
        name=file.path.name,
        match=Match(names, macs, others),
        place=file.begin("Match"),
        dhcp=_DHCP.get("yes" if dhcp in TRUE else dhcp, ()) or _accepts_ra(unit),
        addresses=(*unit.values("Network", "Address"), *unit.values("Address", "Address")),
        gateways=(*unit.values("Network", "Gateway"), *unit.values("Route", "Gateway")),
        part_of=next((a.value for a in network if a.key in _PORT_OF and a.value), ""),
        at_boot=policy not in {"manual", "always-down", "down"},
        pins=tuple(s.place for s in file.living("Match", (*_MACS, "Name"))),
        files=file.files,
    )


def _accepts_ra(unit: Unit) -> tuple[str, ...]:
    return ("ra",) if unit.last("Network", "IPv6AcceptRA").lower() in TRUE else ()


def _problems(file: Layered, configuration: Configuration) -> Iterator[Problem]:
    for section, key in (("Network", "Address"), ("Address", "Address")):
        for s in file.living(section, (key,)):
            if interface(s.value) is None:
                yield _problem(s.place, f"{s.value!r} is no address")
    for section, key in (("Network", "Gateway"), ("Route", "Gateway")):
        for s in file.living(section, (key,)):
            if not s.value.startswith("_") and not is_address(s.value):
                yield _problem(s.place, f"{s.value!r} is no gateway's address")
    yield from _out_of_reach(file, configuration.addresses)


def _out_of_reach(file: Layered, addresses: Sequence[str]) -> Iterator[Problem]:
    unit = file.unit
    on_link = any(v.lower() in TRUE for v in unit.values("Route", "GatewayOnLink"))
    routed = unit.values("Route", "Destination")  # a route of its own may lead to the gateway
    if on_link or routed or any(a.section == "Address" and a.key == "Peer" for a in unit.assignments):
        return
    where = ", ".join(addresses)
    for section in ("Network", "Route"):
        for s in file.living(section, ("Gateway",)):
            if is_out_of_reach(s.value, addresses):
                yield _problem(
                    s.place, f"the gateway {s.value} is in no network of {where}", "no default route"
                )


def _problem(place: Place, what: str, consequence: str = "it is ignored") -> Problem:
    return Problem(Manager.NETWORKD, place, what, consequence)

"""systemd-networkd: .network files and their drop-ins, in the order in which they are tried.

Sources: systemd.network(5), systemd-networkd.service(8). The first file that matches a card has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.formats.systemd_unit import FALSE, TRUE, Unit, merge_units, parse_unit
from guestrepair.formats.words import word_set
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.network.addresses import interface, is_address, is_out_of_reach
from guestrepair.system.network.directories import merged_files
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
        unit = _with_drop_ins(guest, path)
        strange += _strange(path, unit)
        if _is_for_something_else(unit):
            continue
        configuration = _configuration(path, unit)
        unreadable = _unreadable(guest, path)
        if unreadable is not None:
            problems.append(unreadable)
            continue
        problems += _problems(path, unit, configuration)
        if unit.last("Link", "Unmanaged").lower() not in TRUE:
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


def _unreadable(guest: Guest, path: GuestPath) -> Problem | None:
    """networkd is the user systemd-network: a file that is root's alone, it cannot open."""
    found = guest.stat(path)
    if found is None or found.permissions & 0o004 or (found.gid and found.permissions & 0o040):
        return None
    what = f"its mode is {found.permissions:04o}: the user systemd-network cannot read it"
    return Problem(Manager.NETWORKD, Place(path), what, "it is ignored", mode=True)


def _with_drop_ins(guest: Guest, path: GuestPath) -> Unit:
    directories = [d / f"{path.name}.d" for d in DIRECTORIES]
    files = (path, *merged_files(guest, directories, ".conf"))
    return merge_units(parsed(parse_unit, guest.read(file), file) for file in files)


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


def _configuration(path: GuestPath, unit: Unit) -> Configuration:
    macs = tuple(m.lower() for key in _MACS for m in unit.words("Match", key))
    others = tuple(k for k in _CONDITIONS if unit.words("Match", k))
    names = unit.words("Match", "Name")
    network = [a for a in unit.assignments if a.section == "Network"]
    dhcp = unit.last("Network", "DHCP").lower()
    policy = unit.last("Link", "ActivationPolicy")
    pins = [
        a.line for a in unit.assignments if a.section == "Match" and a.key in {*_MACS, "Name"} and a.value
    ]
    first = min((a.line for a in unit.assignments if a.section == "Match"), default=1)
    return Configuration(
        manager=Manager.NETWORKD,
        name=path.name,
        match=Match(names, macs, others),
        place=Place(path, first),
        dhcp=_DHCP.get("yes" if dhcp in TRUE else dhcp, ()) or _accepts_ra(unit),
        addresses=(*unit.values("Network", "Address"), *unit.values("Address", "Address")),
        gateways=(*unit.values("Network", "Gateway"), *unit.values("Route", "Gateway")),
        part_of=next((a.value for a in network if a.key in _PORT_OF and a.value), ""),
        at_boot=policy not in {"manual", "always-down", "down"},
        pins=tuple(Place(path, line) for line in pins),
    )


def _accepts_ra(unit: Unit) -> tuple[str, ...]:
    return ("ra",) if unit.last("Network", "IPv6AcceptRA").lower() in TRUE else ()


def _problems(path: GuestPath, unit: Unit, configuration: Configuration) -> Iterator[Problem]:
    for a in unit.assignments:
        is_own = (a.section, a.key) in {("Network", "Address"), ("Address", "Address")}
        if is_own and a.value and interface(a.value) is None:
            yield _problem(path, a.line, f"{a.value!r} is no address")
        is_gateway = (a.section, a.key) in {("Network", "Gateway"), ("Route", "Gateway")}
        if is_gateway and a.value and not a.value.startswith("_") and not is_address(a.value):
            yield _problem(path, a.line, f"{a.value!r} is no gateway's address")
    yield from _out_of_reach(path, unit, configuration.addresses)


def _out_of_reach(path: GuestPath, unit: Unit, addresses: Sequence[str]) -> Iterator[Problem]:
    on_link = any(v.lower() in TRUE for v in unit.values("Route", "GatewayOnLink"))
    routed = unit.values("Route", "Destination")  # a route of its own may lead to the gateway
    if on_link or routed or any(a.section == "Address" and a.key == "Peer" for a in unit.assignments):
        return
    for a in unit.assignments:
        if a.key == "Gateway" and a.section in {"Network", "Route"} and is_out_of_reach(a.value, addresses):
            where = ", ".join(addresses)
            yield _problem(
                path, a.line, f"the gateway {a.value} is in no network of {where}", "no default route"
            )


def _problem(path: GuestPath, line: int, what: str, consequence: str = "it is ignored") -> Problem:
    return Problem(Manager.NETWORKD, Place(path, line), what, consequence)

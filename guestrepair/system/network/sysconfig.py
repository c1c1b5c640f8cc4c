"""ifcfg files: the network scripts and NetworkManager's plugin of the Red Hat family, wicked of SUSE.

Sources: sysconfig.txt of initscripts, nm-settings-ifcfg-rh(5); ifcfg(5) of wicked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from guestrepair.formats.ifcfg import Variable, parse_ifcfg
from guestrepair.formats.words import word_set
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.network.addresses import interface, is_address, is_out_of_reach
from guestrepair.system.network.directories import bounded
from guestrepair.system.network.model import Configuration, Manager, Match, Parsed, Place, Problem
from guestrepair.system.network.naming import may_be_a_card
from guestrepair.system.strange import Strange

SCRIPTS = GuestPath("/etc/sysconfig/network-scripts")
SUSE = GuestPath("/etc/sysconfig/network")
PLUGIN = "libnm-settings-plugin-ifcfg-rh.so"
_LEFTOVERS = (
    ".bak", ".orig", ".old", ".rpmnew", ".rpmsave", ".rpmorig", ".swp", "~", ".scpmbackup", ".template",
    ".cfsaved", ".cpa", ".depmod-new", ".disabled", ".off",
)  # fmt: skip
_NO = frozenset({"no", "n", "false", "f", "0"})
_CARD_TYPES = frozenset({"", "ethernet"})
_RED_HAT_WORDS = {
    "BOOTPROTO": frozenset({"", "none", "static", "dhcp", "bootp", "ibft", "autoip", "shared", "auto"}),
    "TYPE": word_set(
        """ethernet wireless infiniband bridge bond vlan team teamport tap tun gre gretap ipip sit ip6tnl
    tunnel ipsec ovsport ovsbridge ovsintport ovsbond ovstunnel ovspatchport modem ppp xdsl token fddi
    can ctc loopback dummy qeth iucv alias x25 wireguard vxlan macvlan ipvlan"""
    )
    | {""},
    "ONBOOT": frozenset({"", "yes", "y", "true", "t", "1", "no", "n", "false", "f", "0"}),
}
_SUSE_WORDS = {
    "BOOTPROTO": word_set(
        """static none ibft dhcp dhcp4 dhcp6 autoip auto auto4 auto6 shared 6to4 dhcp+autoip"""
    )
    | {""},
    "STARTMODE": word_set("""auto boot onboot on hotplug ifplugd nfsroot manual off never""") | {""},
}
"""What each variable may be (sysconfig.txt of initscripts, nm-settings-ifcfg-rh(5); ifcfg(5) of wicked)."""

_DHCP = {
    "auto": ("dhcp4",),
    "auto4": ("dhcp4",),
    "auto6": ("dhcp6",),
    "bootp": ("dhcp4",),
    "dhcp": ("dhcp4",),
    "dhcp+autoip": ("dhcp4",),
    "dhcp4": ("dhcp4",),
    "dhcp6": ("dhcp6",),
}


def ifcfg_files(guest: Guest, directory: GuestPath) -> tuple[GuestPath, ...]:
    """The ifcfg files that count: copies that editors and rpm leave do not."""
    found = guest.glob(directory, "ifcfg-*")
    return bounded(tuple(p for p in found if not p.name.endswith(_LEFTOVERS) and p.name != "ifcfg-lo"))


def plugin(guest: Guest) -> GuestPath | None:
    """NetworkManager's plugin that reads ifcfg files; None where it has none."""
    for top in ("/usr/lib64/NetworkManager", "/usr/lib/NetworkManager"):
        direct = GuestPath(top) / PLUGIN
        if guest.is_file(direct):
            return direct
        for name in guest.glob(GuestPath(top), "*"):
            if guest.is_directory(name) and guest.is_file(name / PLUGIN):
                return name / PLUGIN
    return None


def read_sysconfig(guest: Guest, manager: Manager) -> Parsed:
    """What the ifcfg files of a manager say of Ethernet cards.

    Raises:
        GuestReadError: one of them cannot be read.
    """
    suse = manager is Manager.WICKED
    found: list[Configuration] = []
    problems: list[Problem] = []
    strange: list[Strange] = []
    files = {}
    for path in ifcfg_files(guest, SUSE if suse else SCRIPTS):
        if guest.is_file(path):
            files[path] = parsed(parse_ifcfg, guest.read(path), path)
    ports = _ports(files) if suse else {}
    for path, variables in files.items():
        configuration = _suse(path, variables, ports) if suse else _red_hat(path, variables)
        if configuration is not None:
            found.append(configuration)
        problems += _problems(manager, path, variables)
        strange += _strange(path, variables, _SUSE_WORDS if suse else _RED_HAT_WORDS)
    return Parsed(tuple(found), tuple(problems), strange=tuple(strange))


def _strange(
    path: GuestPath, variables: Mapping[str, Variable], words: Mapping[str, frozenset[str]]
) -> Iterator[Strange]:
    """Words of an ifcfg file that its reader is not known to take."""
    for name, known in words.items():
        variable = variables.get(name)
        if variable is not None and variable.value.lower() not in known and "$" not in variable.value:
            yield Strange(path, variable.line, variable.value, f"a value of {name}=")


def _red_hat(path: GuestPath, variables: Mapping[str, Variable]) -> Configuration | None:
    def value(name: str) -> str:
        return variables[name].value if name in variables else ""

    device, mac = value("DEVICE"), value("HWADDR").lower()
    if value("TYPE").lower() not in _CARD_TYPES or value("VLAN").lower() in {"yes", "true"}:
        return None
    names = (device,) if device else ()
    if (device and not may_be_a_card(device)) or ":" in path.name:
        return None
    port = next(
        (value(k) for k in ("BRIDGE", "MASTER", "TEAM_MASTER", "BRIDGE_UUID", "MASTER_UUID") if value(k)), ""
    )
    pins = [Place(path, variables[k].line) for k in ("HWADDR", "DEVICE") if value(k)]
    dhcp = _DHCP.get(value("BOOTPROTO").lower(), ())
    if value("DHCPV6C").lower() == "yes":
        dhcp = (*dhcp, "dhcp6")
    first = min((v.line for v in variables.values()), default=1)
    return Configuration(
        manager=Manager.INITSCRIPTS,
        name=path.name,
        match=Match(names, (mac,) if mac else ()),
        place=pins[0] if pins else Place(path, first),
        dhcp=dhcp,
        addresses=tuple(_addresses(variables)),
        gateways=(value("GATEWAY"),) if value("GATEWAY") else (),
        part_of=port,
        at_boot=value("ONBOOT").lower() not in _NO,
        pins=tuple(pins),
        # Without a word of NM_CONTROLLED=no, whoever of the two runs takes it: Network decides.
        backend=Manager.INITSCRIPTS if value("NM_CONTROLLED").lower() in _NO else None,
    )


def _suse(
    path: GuestPath, variables: Mapping[str, Variable], ports: Mapping[str, str]
) -> Configuration | None:
    name = path.name.removeprefix("ifcfg-")
    virtual = any(variables.get(k) for k in ("BRIDGE", "BONDING_MASTER", "ETHERDEVICE", "TUNNEL", "WIRELESS"))
    if virtual or not may_be_a_card(name):
        return None
    mode = variables["STARTMODE"].value.lower() if "STARTMODE" in variables else "manual"
    protocol = variables["BOOTPROTO"].value.lower() if "BOOTPROTO" in variables else "static"
    dhcp = tuple(
        d
        for word in protocol.split("+")
        for d in (("dhcp4", "dhcp6") if word == "dhcp" else _DHCP.get(word, ()))
    )
    return Configuration(
        manager=Manager.WICKED,
        name=path.name,
        match=Match((name,)),
        place=Place(path, min((v.line for v in variables.values()), default=1)),
        dhcp=dhcp,
        addresses=tuple(_addresses(variables)),
        part_of=ports.get(name, ""),
        at_boot=mode in {"auto", "boot", "onboot", "on", "hotplug", "nfsroot", "ifplugd"} or name in ports,
        pins=(Place(path),),
    )


def _ports(files: Mapping[GuestPath, Mapping[str, Variable]]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for path, variables in files.items():
        upper = path.name.removeprefix("ifcfg-")
        for key, variable in variables.items():
            if key == "BRIDGE_PORTS" or key.startswith("BONDING_SLAVE") or key == "ETHERDEVICE":
                found |= dict.fromkeys(variable.value.split(), upper)
    return found


def _addresses(variables: Mapping[str, Variable]) -> Iterator[str]:
    for name, variable in variables.items():
        if name.startswith("IPADDR") and variable.value:
            tail = name.removeprefix("IPADDR")
            size = next(
                (
                    variables[k].value
                    for k in (f"PREFIX{tail}", f"PREFIXLEN{tail}", f"NETMASK{tail}")
                    if k in variables
                ),
                "",
            )
            text = variable.value
            yield text if "/" in text or not size else f"{text}/{size}"
        elif name == "IPV6ADDR" and variable.value:
            yield variable.value


def _problems(manager: Manager, path: GuestPath, variables: Mapping[str, Variable]) -> Iterator[Problem]:
    addresses = tuple(_addresses(variables))
    for name, variable in variables.items():
        if name.startswith("IPADDR") and variable.value and not variable.value.startswith("$"):
            tail = name.removeprefix("IPADDR")
            whole = next(
                (a for a in addresses if a.partition("/")[0] == variable.value.partition("/")[0]), ""
            )
            if interface(whole) is None and not (tail and not tail.strip("_").isalnum()):
                yield Problem(
                    manager, Place(path, variable.line), f"{whole!r} is no address", "it is not set"
                )
    gateway = variables.get("GATEWAY")
    if gateway is None or not gateway.value or gateway.value.startswith("$"):
        return
    at = Place(path, gateway.line)
    if not is_address(gateway.value):
        yield Problem(
            manager, at, f"{gateway.value!r} is no gateway's address", "no default route", stops=False
        )
    elif all("/" in a for a in addresses) and is_out_of_reach(gateway.value, addresses):
        what = f"the gateway {gateway.value} is in no network of {', '.join(addresses)}"
        yield Problem(manager, at, what, "no default route", stops=False)


def served_by(found: Parsed, manager: Manager) -> Parsed:
    """The same files in the hands of another manager, except those that keep it out."""
    taken = tuple(c if c.backend is not None else replace(c, backend=manager) for c in found.configurations)
    return Parsed(taken, found.problems, found.unknown, found.strange)

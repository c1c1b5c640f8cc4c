"""NetworkManager: connection profiles in key files, and its own configuration.

Sources: nm-settings-keyfile(5), NetworkManager.conf(5), NetworkManager(8). A key file that others can read,
or that is not root's, is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from guestrepair.formats.keyfile import KeyFile, Setting, parse_keyfile
from guestrepair.formats.words import word_set
from guestrepair.guest.view import Guest, Stat
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.network.addresses import interface, is_address
from guestrepair.system.network.directories import bounded, merged_files
from guestrepair.system.network.model import Configuration, Manager, Match, Parsed, Place, Problem
from guestrepair.system.network.naming import may_be_a_card
from guestrepair.system.strange import Strange

OWN = GuestPath("/etc/NetworkManager/system-connections")
PROFILES = (OWN, GuestPath("/usr/lib/NetworkManager/system-connections"))
MAIN = GuestPath("/etc/NetworkManager/NetworkManager.conf")
_CONF = tuple(GuestPath(p) for p in ("/etc/NetworkManager/conf.d", "/usr/lib/NetworkManager/conf.d"))
_LEFTOVERS = (
    "~",
    ".rpmsave",
    ".rpmorig",
    ".rpmnew",
    ".swp",
    ".bak",
    ".tmp",
    ".augnew",
    ".augtmp",
    ".dpkg-dist",
)
_TYPES = word_set(
    """802-11-olpc-mesh 802-11-wireless 802-3-ethernet 6lowpan adsl bluetooth bond bridge cdma dummy
    ethernet generic gsm hsr infiniband ip-tunnel ipvlan loopback macsec macvlan olpc-mesh ovs-bridge
    ovs-dpdk ovs-external-ids ovs-interface ovs-other-config ovs-patch ovs-port pppoe serial team tun
    veth vlan vpn vrf vxlan wifi wifi-p2p wimax wireguard wpan bond-slave bridge-slave team-slave"""
)
_METHODS = frozenset({"auto", "dhcp", "link-local", "manual", "shared", "disabled", "ignore"})
_CARDS = frozenset({"ethernet", "802-3-ethernet"})
_CARD_GROUPS = ("ethernet", "802-3-ethernet")
_GETS = {"auto": "dhcp", "shared": "shared", "dhcp": "dhcp"}
_MIN_READABLE = 0o077


@dataclass(frozen=True, slots=True)
class Profile:
    """A key file: where it lies, its bytes, what it says.

    ``refused`` is why NetworkManager does not read it; "" where it does.
    """

    path: GuestPath
    stat: Stat
    data: bytes
    content: KeyFile
    refused: str = ""

    @property
    def is_for_cards(self) -> bool:
        """True for a profile of Ethernet cards."""
        kind = self.content.get("connection", "type")
        return kind in _CARDS or (not kind and any(g in self.content.groups for g in _CARD_GROUPS))


@dataclass(frozen=True, slots=True)
class Settings:
    """NetworkManager's own configuration, put together; each value with where it stands."""

    values: dict[tuple[str, str], tuple[str, Place]] = field(default_factory=dict)

    def get(self, group: str, key: str) -> str:
        """A value; "" where there is none."""
        return self.values.get((group, key), ("", Place(MAIN)))[0]

    def place(self, group: str, key: str) -> Place:
        """Where it stands."""
        return self.values.get((group, key), ("", Place(MAIN)))[1]

    def items(self, group: str, key: str) -> tuple[str, ...]:
        """A value as a list."""
        return Setting(group, key, self.get(group, key), 0).items

    @property
    def makes_default(self) -> bool:
        """True where a card without a profile gets a connection of its own, by DHCP."""
        return not any(item in {"*", "type:ethernet"} for item in self.items("main", "no-auto-default"))

    @property
    def leaves_cards_alone(self) -> bool | None:
        """True where every Ethernet card is unmanaged; None where that depends on the card."""
        listed = self.items("keyfile", "unmanaged-devices")
        excepted = [i.removeprefix("except:") for i in listed if i.startswith("except:")]
        plain = [i for i in listed if not i.startswith("except:")]
        if not any(i in {"*", "type:ethernet", "interface-name:*", "interface-name:e*"} for i in plain):
            return (
                None if any(i.startswith(("interface-name:e", "mac:", "driver:")) for i in plain) else False
            )
        if any(i in {"type:ethernet", "interface-name:e*", "*"} for i in excepted):
            return False
        return None if any(not i.startswith("type:") for i in excepted) else True


def read_settings(guest: Guest) -> Settings:
    """NetworkManager.conf and conf.d, later ones over earlier ones.

    Raises:
        GuestReadError: one of them cannot be read.
    """
    files = [*merged_files(guest, _CONF, ".conf")]
    if guest.is_file(MAIN):
        files.insert(0, MAIN)
    values: dict[tuple[str, str], tuple[str, Place]] = {}
    for file in files:
        for setting in parsed(parse_keyfile, guest.read(file), file).settings:
            key = setting.key.rstrip("+-")
            value = setting.value
            old = values.get((setting.group, key), ("", Place(MAIN)))[0]
            if setting.key.endswith("+"):
                value = f"{old};{value}"
            elif setting.key.endswith("-"):
                gone = set(setting.items)
                value = ";".join(i for i in Setting("", "", old, 0).items if i not in gone)
            values[setting.group, key] = (value, Place(file, setting.line))
    return Settings(values)


def read_profiles(guest: Guest) -> tuple[Profile, ...]:
    """The connection profiles on the disk; one of /etc hides another of that name in /usr/lib.

    Raises:
        GuestReadError: one of them cannot be read.
    """
    chosen: dict[str, GuestPath] = {}
    for directory in PROFILES:
        for path in bounded(guest.glob(directory, "*")):
            if not path.name.endswith(_LEFTOVERS) and (directory == OWN or path.suffix == ".nmconnection"):
                chosen.setdefault(path.name, path)
    return tuple(found for path in chosen.values() for found in _profile(guest, path))


def _profile(guest: Guest, path: GuestPath) -> Iterator[Profile]:
    found = guest.stat(path)
    if found is None or not found.is_file or not found.size_bytes:
        return
    data = guest.read(path)
    refused = ""
    if path.parent == OWN and found.uid:
        refused = f"it belongs to user {found.uid}"
    elif path.parent == OWN and found.permissions & _MIN_READABLE:
        refused = f"its mode is {found.permissions:04o}"
    yield Profile(path, found, data, parsed(parse_keyfile, data, path), refused)


def configurations(profiles: tuple[Profile, ...]) -> Parsed:
    """What the profiles mean for Ethernet cards."""
    found = []
    problems: list[Problem] = []
    strange: list[Strange] = []
    for profile in profiles:
        strange += _strange(profile)
        if not profile.is_for_cards:
            continue
        refusals = tuple(_problems(profile))
        problems += refusals
        configuration = _configuration(profile)
        names = [n for n in configuration.match.names if not n.startswith("!")]
        if not any(p.stops for p in refusals) and (not names or any(map(may_be_a_card, names))):
            found.append(configuration)
    return Parsed(tuple(found), tuple(problems), strange=tuple(strange))


def _strange(profile: Profile) -> Iterator[Strange]:
    """Types and methods that NetworkManager is not known to have: it ignores such a profile."""
    words = (("connection", "type", _TYPES), ("ipv4", "method", _METHODS), ("ipv6", "method", _METHODS))
    for group, key, known in words:
        setting = profile.content.find(group, key)
        if setting is not None and setting.value and setting.value not in known:
            yield Strange(profile.path, setting.line, setting.value, f"{key}= of [{group}]")


def _configuration(profile: Profile) -> Configuration:
    content, path = profile.content, profile.path
    mac = next((s for g in _CARD_GROUPS if (s := content.find(g, "mac-address")) is not None), None)
    own = content.find("connection", "interface-name")
    match = content.find("match", "interface-name")
    names = [own.value] if own is not None and own.value else []
    names += [n.lstrip("&|") for n in match.items] if match is not None and not names else []
    others = [k for k in ("driver", "path", "kernel-command-line") if content.get("match", k)]
    methods = [content.get(group, "method") for group in ("ipv4", "ipv6")]
    pins = [s for s in (mac, own, match) if s is not None and s.value]
    upper = content.get("connection", "master") or content.get("connection", "controller")
    return Configuration(
        manager=Manager.NETWORK_MANAGER,
        name=content.get("connection", "id") or path.name,
        match=Match(
            tuple(names), (mac.value.lower(),) if mac is not None and mac.value else (), tuple(others)
        ),
        place=Place(path, pins[0].line if pins else 0),
        dhcp=tuple(f"{_GETS[m]}{n}" for m, n in zip(methods, ("4", "6"), strict=True) if m in _GETS)
        or (() if any(methods) else ("dhcp4",)),
        addresses=tuple(a for a, _ in _addresses(content)),
        gateways=tuple(g for _, g in _addresses(content) if g),
        part_of=upper,
        at_boot=content.truth("connection", "autoconnect", default=True),
        pins=tuple(Place(path, s.line) for s in pins),
    )


def _addresses(content: KeyFile) -> Iterator[tuple[str, str]]:
    """(address, gateway): ``address1=10.0.0.5/24,10.0.0.1``, or ``addresses=`` and ``gateway=``."""
    for setting in content.settings:
        if setting.group not in {"ipv4", "ipv6"}:
            continue
        if (
            setting.key.startswith("address")
            and setting.key != "address-data"
            and not setting.key.startswith("addr-")
        ):
            first, _, gateway = setting.value.partition(",")
            if first.strip():
                yield first.strip().rstrip(";"), gateway.strip().rstrip(";")


def _problems(profile: Profile) -> Iterator[Problem]:
    content, path = profile.content, profile.path
    ignores = "NetworkManager ignores the profile"
    if profile.refused:
        yield _problem(Place(path), f"{profile.refused}: it must be root's alone (0600)", ignores, mode=True)
    for line, what in content.problems[:1]:
        yield _problem(Place(path, line), f"the line {what}", ignores)
    for family in ("4", "6"):
        group = f"ipv{family}"
        method = content.find(group, "method")
        addresses = [
            s
            for s in content.settings
            if s.group == group and s.key.startswith("address") and s.key != "address-data"
        ]
        usable = [s for s in addresses if _first(s) is not None]
        if method is not None and method.value == "manual" and not usable:
            place = Place(path, addresses[0].line if addresses else method.line)
            yield _problem(place, "method=manual without an address that is one", ignores)
            continue
        for setting in addresses:
            yield from _address_problems(path, setting)


def _first(setting: Setting) -> str | None:
    """The address of an ``address1=10.0.0.5/24,10.0.0.1``, or of the old lists; None for what is none."""
    first = setting.items[0] if setting.items else ""
    return first if is_address(first.partition("/")[0]) else None


def _address_problems(path: GuestPath, setting: Setting) -> Iterator[Problem]:
    first, _, gateway = setting.value.partition(",")
    first, gateway = first.strip().rstrip(";"), gateway.strip().rstrip(";")
    place = Place(path, setting.line)
    if _first(setting) is None:
        yield _problem(place, f"{first!r} is no address", "the address is ignored", stops=False)
    elif interface(first) is None and first.count(";") < 2:
        what = f"{first!r} has an impossible prefix length"
        yield replace(_problem(place, what, "another one is taken", stops=False), works=True)
    elif gateway and "/" not in gateway and not is_address(gateway):
        yield _problem(place, f"{gateway!r} is no gateway's address", "it is ignored", stops=False)


def _problem(place: Place, what: str, consequence: str, *, mode: bool = False, stops: bool = True) -> Problem:
    return Problem(Manager.NETWORK_MANAGER, place, what, consequence, stops=stops, mode=mode)

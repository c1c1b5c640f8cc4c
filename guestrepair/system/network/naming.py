"""How network cards get their names: predictable ones, the kernel's, or those that a rule gives.

Sources: systemd.net-naming-scheme(7), systemd.link(5), udev's net_id builtin; biosdevname(1).
Predictable names came with udev 197; without systemd's udev (Alpine, Devuan, CentOS 6) the kernel's stay.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.formats.systemd_unit import Unit
from guestrepair.formats.udev_rules import NameRule, parse_name_rules
from guestrepair.guest.masks import leads_to_null
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.fact import fact, parsed
from guestrepair.system.network.directories import merged_files
from guestrepair.system.network.drop_ins import Layered, read_layered
from guestrepair.system.network.model import Match, Place, Reach

RULES = GuestPath("/etc/udev/rules.d")
_SLOT_NAME = re.compile(r"(?:en|sl|ib)(?:[posPb]|[ax]|X\d|v\d|c|i)[0-9a-zA-Z]*$|p\d+p\d+(?:_\d+)?$|em\d+$")
_KERNEL_NAME = re.compile(r"eth\d+$")
_NO_CARD = re.compile(
    r"lo$|br[-\d]|(?:wl|ww|tun|tap|wg|ppp|docker|veth|virbr|vnet|dummy|vxlan|gre|sit|ip6tnl|tailscale|can|usb|bnep"
    r"|slip|bond|vmbr|vlan|team|lxc|lxd|ovs|kube|cni|flannel|cali|host0|ve-|vt-|vb-|vz-)"
)
_LINKS = tuple(
    GuestPath(p)
    for p in (
        "/etc/systemd/network",
        "/usr/local/lib/systemd/network",
        "/usr/lib/systemd/network",
        "/lib/systemd/network",
    )
)
_NAME_POLICY_RULES = tuple(
    GuestPath(p) / n
    for p in ("/usr/lib/udev/rules.d", "/lib/udev/rules.d")
    for n in ("80-net-setup-link.rules", "80-net-name-slot.rules")
)
SLOT_SAMPLES = ("ens3", "enp1s0")
KERNEL_SAMPLES = ("eth0",)


@dataclass(frozen=True, slots=True)
class GivenName:
    """A name that a rule or a .link file gives to cards: ``match`` says to which."""

    name: str
    match: Match
    place: Place


def is_slot_name(name: str) -> bool:
    """True for a name that a card's slot, firmware index or MAC makes (``ens192``, ``enp1s0``, ``em1``)."""
    return _SLOT_NAME.match(name) is not None


def is_kernel_name(name: str) -> bool:
    """True for ``eth0`` and its like."""
    return _KERNEL_NAME.match(name) is not None


def may_be_a_card(name: str) -> bool:
    """False for loopback, wireless, tunnels, VLANs and other things that are no Ethernet card."""
    return _NO_CARD.match(name) is None and not any(c in name for c in ".:@")


class Naming:
    """The names that cards of one guest get."""

    def __init__(self, guest: Guest, boot_loader: BootLoader) -> None:
        self._guest = guest
        self._boot_loader = boot_loader

    @fact
    def kernel_names(self) -> str:
        """What has cards keep the kernel's names (``eth0``); "" where they get predictable ones."""
        if not any(map(self._guest.is_file, _NAME_POLICY_RULES)):
            return "there is no udev that gives others"
        for line in self._boot_loader.lines:
            if not line.is_rescue and line.cmdline.get("net.ifnames") == "0":
                return f"net.ifnames=0 in {line.place}"
        for name in ("80-net-setup-link.rules", "80-net-name-slot.rules"):
            if self._is_off(RULES / name):
                return str(RULES / name)
        for name in ("99-default.link", "98-default.link"):
            if leads_to_null(self._guest, _LINKS[0] / name):
                return str(_LINKS[0] / name)
        return next((str(g.place) for g in self._policies), "")

    @fact
    def surely_kernel_names(self) -> str:
        """The same where every boot has it so, by what the administrator says; "" elsewhere."""
        usual = [line for line in self._boot_loader.lines if not line.is_rescue]
        if not self.kernel_names or not any(map(self._guest.is_file, _NAME_POLICY_RULES)):
            return ""
        if usual and all(line.cmdline.get("net.ifnames") == "0" for line in usual):
            return self.kernel_names
        return "" if self.kernel_names.startswith("net.ifnames") else self.kernel_names

    def _is_off(self, path: GuestPath) -> bool:
        found = self._guest.stat(path)
        return leads_to_null(self._guest, path) or (
            found is not None and found.is_file and not found.size_bytes
        )

    @fact
    def rules(self) -> tuple[tuple[GuestPath, bytes, NameRule], ...]:
        """The udev rules of the administrator that name network cards: file, its bytes, rule."""
        found = []
        for path in self._guest.glob(RULES, "*.rules"):
            if self._guest.is_file(path):
                data = self._guest.read(path)
                if b"NAME" in data:
                    found += [(path, data, rule) for rule in parsed(parse_name_rules, data, path)]
        return tuple(found)

    @fact
    def has_generator(self) -> bool:
        """True where an old udev writes the next free ``ethN`` for each card that it has not seen before."""
        places = ("/lib/udev", "/usr/lib/udev")
        return any(self._guest.is_file(GuestPath(p) / "write_net_rules") for p in places)

    @fact
    def links(self) -> tuple[Layered, ...]:
        """The administrator's .link files, and those of packages that have drop-ins of the administrator.

        Raises:
            GuestReadError: one of them cannot be read.
        """
        found = []
        for path in merged_files(self._guest, _LINKS, ".link"):
            own = _LINKS[0] / f"{path.name}.d"
            if path.parent == _LINKS[0] or self._guest.is_directory(own):
                found.append(read_layered(self._guest, _LINKS, path))
        return tuple(found)

    @fact
    def _policies(self) -> tuple[GivenName, ...]:
        """.link files that have every card keep the kernel's name."""
        found = []
        for file in self.links:
            unit = file.unit
            policy = unit.words("Link", "NamePolicy")
            match = self._match(unit)
            every = not match.macs and not match.others and set(match.names) <= {"*", "e*", "eth*", "en*"}
            if every and policy[:1] == ("kernel",):
                found.append(GivenName("", match, Place(file.path)))
        return tuple(found)

    @staticmethod
    def _match(unit: Unit) -> Match:
        words = unit.words
        macs = (*words("Match", "MACAddress"), *words("Match", "PermanentMACAddress"))
        others = [k for k in ("Path", "Driver", "Property", "Host", "Firmware") if words("Match", k)]
        return Match(words("Match", "OriginalName"), tuple(m.lower() for m in macs), tuple(others))

    @fact
    def given(self) -> tuple[GivenName, ...]:
        """Names that the administrator gives: udev rules, .link files, nothing else."""
        found = [
            GivenName(
                rule.name,
                Match(macs=(rule.mac,) if rule.mac else (), others=tuple(k for k, _ in rule.others)),
                Place(path, rule.line),
            )
            for path, _, rule in self.rules
            if "%" not in rule.name and "$" not in rule.name
        ]
        for file in self.links:
            names = [*file.living("Link", ("Name",))][-1:]  # the last one counts
            found += [GivenName(name.value, self._match(file.unit), name.place) for name in names]
        return tuple(found)

    def giver(self, name: str) -> GivenName | None:
        """What gives a card that name; None where nothing does."""
        return next((g for g in self.given if g.name == name), None)

    @property
    def samples(self) -> tuple[str, ...]:
        """Names that a card in a new machine gets."""
        return KERNEL_SAMPLES if self.kernel_names else SLOT_SAMPLES

    def reach(self, match: Match) -> Reach:
        """Which card is meant by a match, seen from a new machine."""
        if match.macs:
            return Reach.MAC
        if match.others:
            return Reach.OTHER
        if not match.names or any(match.has_name(sample) for sample in self.samples):
            return self._of_sample(match)
        literal = [n for n in match.names if not n.startswith("!")]
        givers = [self.giver(name) for name in literal]
        if any(g is not None and g.match.macs for g in givers):
            return Reach.MAC
        if any(g is not None for g in givers):
            return Reach.OTHER
        if any(is_slot_name(name) or _begins(name, "en") for name in literal):
            return Reach.NAME
        if any(is_kernel_name(name) or _begins(name, "eth") for name in literal):
            return Reach.KERNEL_NAME
        return Reach.OTHER

    def _of_sample(self, match: Match) -> Reach:
        """A name that a new card may have by chance is pinned all the same: ``ens3`` is not any card."""
        literal = [n for n in match.names if not n.startswith("!")]
        wild = [n for n in literal if "*" in n or "?" in n or "[" in n]
        if not literal or wild:
            return Reach.ANY
        if not self.kernel_names:
            return Reach.NAME
        # The old generator gives eth0 to the card that its file names: a new one becomes eth1.
        taken = self.giver(literal[0])
        if taken is not None and taken.match.macs and self.has_generator:
            return Reach.MAC
        return Reach.ANY


def _begins(pattern: str, prefix: str) -> bool:
    """True for a pattern whose names all begin so."""
    return pattern.startswith(prefix) and any(c in pattern for c in "*?[")

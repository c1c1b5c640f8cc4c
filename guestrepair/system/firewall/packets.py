"""The packets of a login, as far as they are known before the guest runs, and which of them match a test.

A login needs three: the first one in, the answer out, and what follows in. Their source is any address that
can be routed, the card any Ethernet card, of a name that is known only where cards surely keep the kernel's.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from guestrepair.formats.firewall import names
from guestrepair.formats.firewall.intervals import Intervals
from guestrepair.formats.firewall.rules import (
    Always,
    AnyOf,
    Condition,
    FlagTest,
    NameTest,
    Test,
    Weight,
)
from guestrepair.system.network.naming import is_kernel_name, is_slot_name

IN_HOOKS = ("ingress", "prerouting", "input")
OUT_HOOKS = ("output", "postrouting", "egress")

_V4 = Intervals.of(((1 << 24, (127 << 24) - 1), (128 << 24, (224 << 24) - 1)))
_V6 = Intervals.of(s for n in ("2000::/3", "fc00::/7", "fe80::/10") for s in Intervals.network(n).spans)
_CLIENT_PORTS = Intervals.of(((1024, 65535),))
_CLIENT = frozenset({"saddr4", "saddr6"})
VIRTUAL = re.compile(
    r"lo|(docker|virbr|veth|tun|tap|wg|tailscale|zt|cni|flannel|cali|vxlan|lxcbr|lxdbr|podman|ppp|vnet|ipsec"
    r"|nordlynx|incusbr|cilium)[\w.*-]*|br-[0-9a-f*]+"
)
"""Names that no Ethernet card gets: what comes through them comes another way."""

ANY_CARD = ("eth0", "eno1", "ens3", "enp1s0", "enx0123456789ab")
"""One name of each kind that a card can get: a pattern that fits all of them means any card."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What is known of one packet: the numbers that each field can have, its TCP flags, its hooks."""

    what: str
    family: int
    hooks: tuple[str, ...]
    fields: Mapping[str, Intervals]
    flags: tuple[int, ...]
    client: frozenset[str]
    untracked: bool = False
    marked: bool = False
    cards: tuple[str, ...] = ()
    """The names that the card may have; empty where nothing is known of them."""

    def after(self, *, untracked: bool = False, marked: bool = False) -> Packet:
        """The packet once a rule may have changed it."""
        return replace(self, untracked=self.untracked or untracked, marked=self.marked or marked)

    def before_tracking(self) -> Packet:
        """The packet as hooks see it that are asked before its connection is looked up."""
        unknown = {"direction", "ctmark"}
        fields = {name: value for name, value in self.fields.items() if name not in unknown}
        return replace(self, fields=fields | {"state": Intervals.one(names.STATES["invalid"])})

    @property
    def is_new(self) -> bool:
        """True for the first packet of a connection: address translation sees no other."""
        return self.fields["state"] == Intervals.one(names.STATES["new"])


def packets_of_a_login(port: int, family: int, cards: tuple[str, ...] = ()) -> tuple[Packet, ...]:
    """The first packet, the answer and what follows, for sshd on a port; ``family`` is 4 or 6.

    ``cards`` are the names of the cards with an address, where they are known.
    """
    proto = names.IPV4 if family == 4 else names.IPV6
    addresses = _V4 if family == 4 else _V6
    common = {
        "l4proto": Intervals.one(names.TCP),
        "nfproto": Intervals.one(proto),
        "version": Intervals.one(family),
        "ethertype": Intervals.one(0x0800 if family == 4 else 0x86DD),
        "pkttype": Intervals.one(0),
        "mark": Intervals.one(0),
        "ctmark": Intervals.one(0),
        f"saddr{family}": addresses,
        f"daddr{family}": addresses,
    }
    server, client = Intervals.one(port), _CLIENT_PORTS
    inward = common | {
        "dport": server,
        "sport": client,
        "direction": Intervals.one(0),
        "daddrtype": Intervals.one(names.ADDRESS_KINDS["local"]),
        "saddrtype": Intervals.one(names.ADDRESS_KINDS["unicast"]),
        "route back": Intervals.one(1),
    }
    outward = common | {
        "dport": client,
        "sport": server,
        "direction": Intervals.one(1),
        "daddrtype": Intervals.one(names.ADDRESS_KINDS["unicast"]),
        "saddrtype": Intervals.one(names.ADDRESS_KINDS["local"]),
    }
    new, established = (Intervals.one(names.STATES[s]) for s in ("new", "established"))
    syn, ack, push = (names.FLAGS[f] for f in ("syn", "ack", "psh"))
    here, there = frozenset({f"saddr{family}"}), frozenset({f"daddr{family}"})
    found = (
        Packet("new connections", family, IN_HOOKS, inward | {"state": new}, (syn,), here),
        Packet(
            "its answers",
            family,
            OUT_HOOKS,
            outward | {"state": established},
            (syn | ack, ack, ack | push),
            there,
        ),
        Packet(
            "what follows on a connection",
            family,
            IN_HOOKS,
            inward | {"state": established},
            (ack, ack | push),
            here,
        ),
    )
    return tuple(replace(packet, cards=cards) for packet in found)


def weight_of(test: Condition, packet: Packet) -> Weight:
    """Which of these packets match."""
    if isinstance(test, Always):
        return test.weight
    if isinstance(test, Test):
        return _number(test, packet)
    if isinstance(test, NameTest):
        return _card(test, packet)
    if isinstance(test, FlagTest):
        return _flags(test, packet)
    return _any_of(test, packet)


def weight_of_all(tests: tuple[Condition, ...], packet: Packet) -> Weight:
    """Which of these packets match every one of the tests."""
    weight = Weight.YES
    for test in tests:
        weight = weight.both(weight_of(test, packet))
        if weight is Weight.NO:
            break
    return weight


def _number(test: Test, packet: Packet) -> Weight:
    known = packet.fields.get(test.field)
    if known is None:
        return (
            Weight.NO if test.field[:5] in {"saddr", "daddr"} and test.field[5:].isdigit() else Weight.UNKNOWN
        )
    if (test.field == "state" and packet.untracked) or (test.field in {"mark", "ctmark"} and packet.marked):
        return Weight.UNKNOWN
    common = known & test.wanted
    weight = Weight.UNKNOWN
    if common == known:
        weight = Weight.YES
    elif not common.spans:
        weight = Weight.NO
    elif test.field in packet.client:
        weight = Weight.MOST if common.size * 2 > known.size else Weight.FEW
    if test.filled_later and weight is Weight.NO:
        weight = Weight.FEW if test.field in packet.client else Weight.UNKNOWN
    if test.field in {"mark", "ctmark"} and weight is Weight.NO:  # others may be marked
        return Weight.UNKNOWN if test.negated else Weight.OTHER
    return weight.rest if test.negated else weight


def _card(test: NameTest, packet: Packet) -> Weight:
    if (test.field == "iifname") is not (packet.hooks == IN_HOOKS):
        return Weight.YES if test.negated else Weight.NO
    cards = packet.cards or ANY_CARD
    weights = [_card_name(name, packet.cards) for name in test.names]
    fitting = {card for card in cards for name in test.names if fnmatch.fnmatchcase(card, name)}
    if len(fitting) == len(cards):
        weight = Weight.YES
    elif Weight.UNKNOWN in weights:
        weight = Weight.UNKNOWN
    else:
        weight = max(weights, default=Weight.NO)
    return weight.rest if test.negated else weight


def _card_name(name: str, cards: tuple[str, ...]) -> Weight:
    if name == "lo":
        return Weight.NO
    if VIRTUAL.fullmatch(name):
        return Weight.OTHER
    of_a_card = is_slot_name(name) or is_kernel_name(name) or name.startswith("en")
    if cards and of_a_card and not any(fnmatch.fnmatchcase(card, name) for card in cards):
        return Weight.NO
    return Weight.UNKNOWN


def _flags(test: FlagTest, packet: Packet) -> Weight:
    if test.any_of:
        matches = [bool(flags & test.mask) for flags in packet.flags]
    else:
        matches = [flags & test.mask in test.values for flags in packet.flags]
    some = Weight.UNKNOWN if any(matches) else Weight.NO
    weight = Weight.YES if all(matches) else some
    return weight.rest if test.negated else weight


def _any_of(test: AnyOf, packet: Packet) -> Weight:
    found = [weight_of_all(row, packet) for row in test.rows]
    weight = max(found, default=Weight.NO)
    if Weight.UNKNOWN in found and weight is not Weight.YES:
        weight = Weight.UNKNOWN
    if test.filled_later and weight is Weight.NO:
        weight = Weight.FEW
    return weight.rest if test.negated else weight

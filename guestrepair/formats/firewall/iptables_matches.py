"""The matches of iptables, by module and option: what each asks of a packet.

Source: iptables-extensions(8).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from guestrepair.formats.firewall import names
from guestrepair.formats.firewall.intervals import Intervals
from guestrepair.formats.firewall.rules import Always, Condition, FlagTest, NameTest, Test, Weight


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meaning of a rule's words depends on: the family, and the guest's names of services."""

    family: str
    services: Mapping[str, int]

    def module(self, name: str) -> Iterator[Condition]:
        """What naming a module asks by itself."""
        protocol = {"tcp": "tcp", "udp": "udp", "icmp": "icmp", "icmp6": "icmpv6", "icmpv6": "icmpv6"}.get(
            name
        )
        if protocol is not None:
            yield Test("l4proto", Intervals.one(names.PROTOCOLS[protocol]))
        elif name in {"socket", "statistic", "time", "geoip", "u32", "bpf", "string"}:
            yield Always(Weight.UNKNOWN, f"-m {name}")

    @property
    def suffix(self) -> str:
        """That of the fields of addresses."""
        return "6" if self.family == "ip6" else "4"


Matcher: TypeAlias = Callable[[Reading, list[str], bool], Condition]


def _unknown(values: list[str]) -> Condition:
    return Always(Weight.UNKNOWN, " ".join(values))


def _address(field: str) -> Matcher:
    def match(reading: Reading, values: list[str], negated: bool) -> Condition:
        try:
            networks = [Intervals.network(text) for text in values[0].split(",")]
        except (ValueError, IndexError):
            return _unknown(values)  # a name, which is looked up when the rules are loaded
        return Test(field + reading.suffix, Intervals.of(s for n in networks for s in n.spans), negated)

    return match


def _address_range(field: str) -> Matcher:
    def match(reading: Reading, values: list[str], negated: bool) -> Condition:
        first, _, last = (values[0] if values else "").partition("-")
        try:
            span = int(ipaddress.ip_address(first)), int(ipaddress.ip_address(last or first))
        except ValueError:
            return _unknown(values)
        return Test(field + reading.suffix, Intervals.of((span,)), negated)

    return match


def _port(text: str, reading: Reading) -> int | None:
    if text.isascii() and text.isdigit() and len(text) < 6:
        return int(text)
    return reading.services.get(text)


def _ports(field: str) -> Matcher:
    def match(reading: Reading, values: list[str], negated: bool) -> Condition:
        spans = []
        for text in (values[0] if values else "?").split(","):
            first, colon, last = text.partition(":")
            ends = (
                _port(first, reading) if first else 0,
                _port(last, reading) if last else 65535 if colon else _port(first, reading),
            )
            if ends[0] is None or ends[1] is None or (not first and not colon):
                return _unknown(values)
            spans.append((ends[0], ends[1]))
        return Test(field, Intervals.of(spans), negated)

    return match


def _either_port(reading: Reading, values: list[str], negated: bool) -> Condition:
    """``--ports``: source or destination; only what the destination says is certain."""
    found = _ports("dport")(reading, values, negated)
    return _unknown(values) if negated else found


def _card(field: str) -> Matcher:
    def match(_reading: Reading, values: list[str], negated: bool) -> Condition:
        name = values[0] if values else ""
        return NameTest(field, (name[:-1] + "*" if name.endswith("+") else name,), negated)

    return match


def _states(_reading: Reading, values: list[str], negated: bool) -> Condition:
    wanted = (values[0] if values else "").lower().split(",")
    translated = {"snat", "dnat"} & set(wanted)
    known = [names.STATES[w] for w in wanted if w in names.STATES]
    if len(known) + len(translated) != len(wanted) or (translated and not known):
        return _unknown(values)
    return Test("state", Intervals.of((n, n) for n in known), negated)


def _syn(_reading: Reading, _values: list[str], negated: bool) -> Condition:
    mask = sum(names.FLAGS[f] for f in ("fin", "syn", "rst", "ack"))
    return FlagTest(mask, (names.FLAGS["syn"],), negated=negated)


def _tcp_flags(_reading: Reading, values: list[str], negated: bool) -> Condition:
    if len(values) != 2:
        return _unknown(values)
    bits = []
    for text in values:
        flags = text.lower().split(",")
        known = {"all": 63, "none": 0} | dict(names.FLAGS)
        if any(flag not in known for flag in flags):
            return _unknown(values)
        bits.append(sum(known[flag] for flag in set(flags)))
    return FlagTest(bits[0], (bits[1],), negated=negated)


def _fixed(weight: Weight, words: str = "") -> Matcher:
    """The same answer whatever is asked for; the other packets match when it is negated."""

    def match(_reading: Reading, values: list[str], negated: bool) -> Condition:
        return Always(weight.rest if negated else weight, " ".join((words, *values)).strip())

    return match


def _ignored(_reading: Reading, _values: list[str], _negated: bool) -> Condition:
    return Always(Weight.YES)


def _kind(field: str, table: Mapping[str, int]) -> Matcher:
    def match(_reading: Reading, values: list[str], negated: bool) -> Condition:
        wanted = (values[0] if values else "").lower().split(",")
        if any(word not in table for word in wanted):
            return _unknown(values)
        return Test(field, Intervals.of((table[w], table[w]) for w in wanted), negated)

    return match


def _mark(field: str) -> Matcher:
    def match(_reading: Reading, values: list[str], negated: bool) -> Condition:
        value, _, mask = (values[0] if values else "").partition("/")
        try:
            number = int(value, 0)
            masked = int(mask, 0) if mask else 0xFFFFFFFF
        except ValueError:
            return _unknown(values)
        if masked != 0xFFFFFFFF and number == 0:
            return _unknown(values)
        return Test(field, Intervals.one(number), negated)

    return match


def _set(_reading: Reading, values: list[str], negated: bool) -> Condition:
    """An ipset: what is in it is not known here; of addresses it is some, of ports nobody can say."""
    if len(values) == 2 and values[1] == "src":
        return Always(Weight.MOST if negated else Weight.FEW, " ".join(("set", *values)))
    return _unknown(["set", *values])


MATCHES: Mapping[tuple[str, str], Matcher] = {
    **{("", o): _address("saddr") for o in ("-s", "--source", "--src")},
    **{("", o): _address("daddr") for o in ("-d", "--destination", "--dst")},
    **{("", o): _card("iifname") for o in ("-i", "--in-interface")},
    **{("", o): _card("oifname") for o in ("-o", "--out-interface")},
    **{("", o): _fixed(Weight.NO, "fragment") for o in ("-f", "--fragment")},
    **{
        (module, option): _ports(field)
        for module in ("tcp", "udp", "multiport", "sctp", "dccp", "udplite")
        for options, field in (
            (("--dport", "--dports", "--destination-port", "--destination-ports"), "dport"),
            (("--sport", "--sports", "--source-port", "--source-ports"), "sport"),
        )
        for option in options
    },
    ("multiport", "--ports"): _either_port,
    ("tcp", "--syn"): _syn,
    ("tcp", "--tcp-flags"): _tcp_flags,
    ("tcp", "--tcp-option"): _fixed(Weight.UNKNOWN, "--tcp-option"),
    ("state", "--state"): _states,
    ("conntrack", "--ctstate"): _states,
    ("conntrack", "--ctproto"): _kind("l4proto", {**names.PROTOCOLS, "6": 6}),
    ("conntrack", "--ctdir"): _kind("direction", names.DIRECTIONS),
    ("comment", "--comment"): _ignored,
    ("limit", "--limit"): _fixed(Weight.MOST, "limit"),
    ("limit", "--limit-burst"): _ignored,
    **{("hashlimit", o): _fixed(Weight.MOST, "hashlimit") for o in ("--hashlimit", "--hashlimit-upto")},
    ("hashlimit", "--hashlimit-above"): _fixed(Weight.FEW, "hashlimit"),
    **{
        ("hashlimit", f"--hashlimit-{o}"): _ignored
        for o in (
            "burst",
            "mode",
            "name",
            "htable-size",
            "htable-max",
            "htable-expire",
            "htable-gcinterval",
            "srcmask",
            "dstmask",
        )
    },
    ("connlimit", "--connlimit-above"): _fixed(Weight.FEW, "connlimit"),
    ("connlimit", "--connlimit-upto"): _fixed(Weight.MOST, "connlimit"),
    **{("connlimit", f"--connlimit-{o}"): _ignored for o in ("mask", "saddr", "daddr")},
    **{("recent", f"--{o}"): _fixed(Weight.FEW, "recent") for o in ("update", "rcheck", "remove")},
    **{
        ("recent", f"--{o}"): _ignored
        for o in ("set", "name", "rsource", "rdest", "seconds", "hitcount", "mask", "rttl", "reap")
    },
    ("addrtype", "--dst-type"): _kind("daddrtype", names.ADDRESS_KINDS),
    ("addrtype", "--src-type"): _kind("saddrtype", names.ADDRESS_KINDS),
    ("pkttype", "--pkt-type"): _kind("pkttype", names.PACKET_KINDS),
    ("iprange", "--src-range"): _address_range("saddr"),
    ("iprange", "--dst-range"): _address_range("daddr"),
    ("mac", "--mac-source"): _fixed(Weight.FEW, "--mac-source"),
    ("mark", "--mark"): _mark("mark"),
    ("connmark", "--mark"): _mark("ctmark"),
    ("set", "--match-set"): _set,
    ("rpfilter", "--invert"): _fixed(Weight.NO, "rpfilter --invert"),
    **{("rpfilter", f"--{o}"): _ignored for o in ("loose", "validmark", "accept-local")},
    **{("rt", f"--rt-{o}"): _fixed(Weight.NO, "a routing header") for o in ("type", "segsleft", "len")},
    ("policy", "--dir"): _ignored,
    ("policy", "--pol"): lambda _r, v, negated: Always(
        Weight.OTHER if (v[:1] == ["ipsec"]) is not negated else Weight.YES, "--pol ipsec"
    ),
    **{("icmp", o): _fixed(Weight.NO) for o in ("--icmp-type",)},
    **{(m, "--icmpv6-type"): _fixed(Weight.NO) for m in ("icmp6", "icmpv6", "ipv6-icmp")},
}
"""(module, option) to what it asks; options without a module are those of iptables itself."""

NEEDS_NO_VALUE = frozenset(
    {"-f", "--fragment", "--syn", "--set", "--update", "--rcheck", "--remove", "--rsource", "--rdest"}
)

"""What nft's expressions look at, and the values that they are compared with.

Source: nft(8), *Primary expressions*, *Payload expressions*, *Conntrack expressions*, *Fib expressions*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guestrepair.formats.firewall import names
from guestrepair.formats.firewall.intervals import Intervals
from guestrepair.formats.firewall.nft_tokens import Token
from guestrepair.formats.firewall.rules import Test


@dataclass(frozen=True, slots=True)
class Key:
    """An expression: the field, the kind of its values, and what a packet must be to have it at all."""

    field: str
    type: str
    needs: tuple[Test, ...] = ()


def _is(field: str, value: int) -> tuple[Test, ...]:
    return (Test(field, Intervals.one(value)),)


_V4, _V6, _TCP = _is("nfproto", names.IPV4), _is("nfproto", names.IPV6), _is("l4proto", names.TCP)
_ANY_PORTS = (
    Test("l4proto", Intervals.of((names.PROTOCOLS[p],) * 2 for p in ("tcp", "udp", "sctp", "dccp"))),
)

KEYS: Mapping[tuple[str, ...], Key] = {
    ("tcp", "dport"): Key("dport", "port", _TCP),
    ("tcp", "sport"): Key("sport", "port", _TCP),
    ("tcp", "flags"): Key("flags", "flags", _TCP),
    ("th", "dport"): Key("dport", "port", _ANY_PORTS),
    ("th", "sport"): Key("sport", "port", _ANY_PORTS),
    ("ip", "saddr"): Key("saddr4", "address", _V4),
    ("ip", "daddr"): Key("daddr4", "address", _V4),
    ("ip", "protocol"): Key("l4proto", "protocol", _V4),
    ("ip", "version"): Key("version", "number", _V4),
    ("ip6", "saddr"): Key("saddr6", "address", _V6),
    ("ip6", "daddr"): Key("daddr6", "address", _V6),
    ("ip6", "nexthdr"): Key("l4proto", "protocol", _V6),
    ("ip6", "version"): Key("version", "number", _V6),
    ("ct", "state"): Key("state", "state"),
    ("ct", "direction"): Key("direction", "direction"),
    ("ct", "mark"): Key("ctmark", "number"),
    ("meta", "l4proto"): Key("l4proto", "protocol"),
    ("meta", "nfproto"): Key("nfproto", "family"),
    ("meta", "protocol"): Key("ethertype", "ethertype"),
    ("ether", "type"): Key("ethertype", "ethertype"),
    ("meta", "mark"): Key("mark", "number"),
    ("meta", "pkttype"): Key("pkttype", "packet kind"),
    ("meta", "iifname"): Key("iifname", "name"),
    ("meta", "oifname"): Key("oifname", "name"),
    ("meta", "iif"): Key("iifname", "card"),
    ("meta", "oif"): Key("oifname", "card"),
    ("fib", "daddr", "type"): Key("daddrtype", "address kind"),
    ("fib", "daddr", ".", "iif", "type"): Key("daddrtype", "address kind"),
    ("fib", "saddr", "type"): Key("saddrtype", "address kind"),
    ("fib", "saddr", ".", "iif", "oif"): Key("route back", "route"),
    ("fib", "saddr", "oif"): Key("route back", "route"),
    **{
        (protocol, port): Key(port, "port", _is("l4proto", names.PROTOCOLS[protocol]))
        for protocol in ("udp", "udplite", "sctp", "dccp")
        for port in ("dport", "sport")
    },
    **{
        (protocol, word): Key(f"{protocol} {word}", "other", _is("l4proto", names.PROTOCOLS[protocol]))
        for protocol in ("icmp", "icmpv6", "igmp", "esp", "ah", "comp", "udp", "sctp", "dccp", "udplite")
        for word in ("type", "code", "id", "sequence", "mtu", "spi", "length", "cpi", "chunk", "checksum")
    },
}
LONGEST_KEY = max(map(len, KEYS))
WITHOUT_META = frozenset(
    {"iif", "iifname", "oif", "oifname", "mark", "pkttype", "l4proto", "protocol", "nfproto"}
)
NAMES: Mapping[str, Mapping[str, int]] = {
    "protocol": names.PROTOCOLS,
    "state": names.STATES,
    "direction": names.DIRECTIONS,
    "family": names.FAMILIES,
    "ethertype": names.ETHERTYPES,
    "packet kind": names.PACKET_KINDS,
    "address kind": names.ADDRESS_KINDS,
    "route": {"missing": 0, "exists": 1},
}
_HIGHEST: Mapping[str, int] = {"port": 65535, "protocol": 255}


def key_at(words: Sequence[Token]) -> tuple[Key, int] | None:
    """The expression that these words begin with, and how many of them it takes."""
    texts = [token.text for token in words[:LONGEST_KEY]]
    if texts and texts[0] in WITHOUT_META:
        key = KEYS.get(("meta", texts[0]))
        return None if key is None else (key, 1)
    for length in range(len(texts), 1, -1):
        if (key := KEYS.get(tuple(texts[:length]))) is not None:
            return key, length
    return None


def value_of(kind: str, words: Sequence[Token], services: Mapping[str, int]) -> Intervals | None:
    """The numbers that one value means (``22``, ``ssh``, ``10.0.0.0/8``); None: not understood."""
    texts = [token.value for token in words]
    if len(texts) == 3 and texts[1] == "-":
        first, last = (_single(kind, text, services) for text in (texts[0], texts[2]))
        if first is None or last is None or first.size != 1 or last.size != 1:
            return None
        return Intervals.of(((first.spans[0][0], last.spans[0][0]),))
    if len(texts) == 3 and texts[1] == "/" and kind == "address":
        return _single(kind, "/".join((texts[0], texts[2])), services)
    if len(texts) != 1:
        return None
    found = _single(kind, texts[0], services)
    if found is None and kind == "port" and texts[0].count("-") == 1:
        ends = [_single(kind, text, services) for text in texts[0].split("-")]
        if ends[0] is not None and ends[1] is not None:
            return Intervals.of(((ends[0].spans[0][0], ends[1].spans[0][0]),))
    return found


def _single(kind: str, text: str, services: Mapping[str, int]) -> Intervals | None:
    if text == "*":
        return None
    if kind == "address":
        try:
            return Intervals.network(text)
        except ValueError:
            return None
    table = services if kind == "port" else NAMES.get(kind, {})
    if text in table:
        return Intervals.one(table[text])
    if kind == "state":
        return None
    try:
        number = int(text, 0) if not text.startswith("0") or text.startswith("0x") else int(text)
    except ValueError:
        return None
    return Intervals.one(number) if 0 <= number <= _HIGHEST.get(kind, 2**32 - 1) else None

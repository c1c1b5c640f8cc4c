"""The names that packet filters have for numbers: protocols, states, kinds of packet, TCP flags."""

from __future__ import annotations

from collections.abc import Mapping

IPV4, IPV6 = 2, 10
TCP, UDP = 6, 17

PROTOCOLS: Mapping[str, int] = {
    "ip": 0, "hopopt": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 4, "tcp": TCP, "udp": UDP, "dccp": 33,
    "ipv6": 41, "rsvp": 46, "gre": 47, "esp": 50, "ipsec-esp": 50, "ah": 51, "ipsec-ah": 51, "icmpv6": 58,
    "ipv6-icmp": 58, "ospf": 89, "ospfigp": 89, "pim": 103, "ipcomp": 108, "comp": 108, "vrrp": 112,
    "l2tp": 115, "sctp": 132, "mobility-header": 135, "udplite": 136,
}  # fmt: skip

STATES: Mapping[str, int] = {"invalid": 0, "established": 1, "related": 2, "new": 3, "untracked": 4}
"""Connection states, each with a number of our own: they are compared by name only."""

DIRECTIONS: Mapping[str, int] = {"original": 0, "reply": 1}
FAMILIES: Mapping[str, int] = {"ipv4": IPV4, "ipv6": IPV6}
ETHERTYPES: Mapping[str, int] = {"ip": 0x0800, "ip6": 0x86DD, "arp": 0x0806, "vlan": 0x8100, "8021q": 0x8100}
PACKET_KINDS: Mapping[str, int] = {"host": 0, "unicast": 0, "broadcast": 1, "multicast": 2, "other": 3}
ADDRESS_KINDS: Mapping[str, int] = {
    "unspec": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
    "unreachable": 7, "prohibit": 8,
}  # fmt: skip

FLAGS: Mapping[str, int] = {
    "fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128,
}  # fmt: skip

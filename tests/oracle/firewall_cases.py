"""Rulesets for the oracle of firewalls: varied by hand, and put together at random from a fixed seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

NFT_HEAD = "flush ruleset\n"
LOOPBACK = 'iif "lo" accept'
RELATED = "ct state established,related accept"

NFT_PARTS = (
    # what accepts the port
    "tcp dport 22 accept",
    "tcp dport ssh accept",
    "tcp dport { 22, 80, 443 } accept",
    "tcp dport { ssh, http, https } counter accept",
    "tcp dport 20-25 accept",
    "tcp dport { 1-1023 } ct state new accept",
    "meta l4proto tcp th dport 22 accept",
    "ip protocol tcp tcp dport 22 accept",
    'ct state new tcp dport 22 log prefix "ssh: " level info accept',
    'ct state { new, established } tcp dport 22 counter packets 0 bytes 0 accept comment "login"',
    "tcp dport 22 ct state new limit rate 15/minute burst 5 packets accept",
    "tcp flags & (fin | syn | rst | ack) == syn tcp dport 22 accept",
    "tcp flags syn / fin,syn,rst,ack tcp dport 22 ct state new accept",
    "meta nfproto ipv4 tcp dport 22 accept",
    "meta nfproto ipv6 tcp dport 22 accept",
    "ip saddr 0.0.0.0/0 tcp dport 22 accept",
    "ip saddr 93.184.216.0/24 tcp dport 22 accept",
    "ip saddr 10.0.0.0/8 tcp dport 22 accept",
    "ip saddr != 10.0.0.0/8 tcp dport 22 accept",
    "ip saddr { 192.168.0.0/16, 172.16.0.0/12 } accept",
    'iifname != "lo" tcp dport 22 accept',
    'iifname "wg0" accept',
    'iifname "e*" tcp dport 22 accept',
    'iifname "eth0" tcp dport 22 accept',
    'meta iifname { "lo", "docker0" } accept',
    "fib daddr type local tcp dport 22 accept",
    "meta pkttype host tcp dport 22 accept",
    "tcp dport >= 20 tcp dport <= 30 accept",
    "tcp dport != { 80, 443 } accept",
    "tcp sport 1024-65535 tcp dport 22 ct state new,established accept",
    'iifname . tcp dport { "eth0" . 22 } accept',
    "ip protocol . th dport { tcp . 22, udp . 53 } accept",
    "meta l4proto { tcp, udp } th dport { 22, 53 } accept",
    "tcp dport vmap { 22 : accept, 80 : accept, 23 : drop }",
    "tcp dport vmap { 0-21 : drop, 22 : jump allowed }",
    "jump allowed",
    "goto allowed",
    "tcp dport 22 jump allowed",
    "ct state new jump allowed",
    "tcp dport @ports accept",
    "tcp dport @others accept",
    "ip saddr @admins tcp dport 22 accept",
    "tcp dport vmap @services",
    "meta mark 0 tcp dport 22 accept",
    "meta mark set 1 tcp dport 22 accept",
    # what lets answers, or other things, through
    RELATED,
    LOOPBACK,
    "ct state vmap { established : accept, related : accept, invalid : drop }",
    "ct state vmap { established : accept, related : accept, new : jump allowed }",
    "ct state established accept",
    "ct state related,established counter accept",
    "ct direction reply accept",
    "icmp type echo-request accept",
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept",
    "meta l4proto icmp accept",
    "ip6 nexthdr icmpv6 accept",
    "udp dport 53 accept",
    "tcp dport 80 accept",
    "tcp dport { 80, 443 } accept",
    "udp dport { 53, 123 } accept",
    "counter",
    'log prefix "in: " flags all',
    'limit rate 5/second burst 10 packets counter log prefix "drop: "',
    "accept",
    # what drops
    "ct state invalid drop",
    "ct state invalid counter drop",
    "drop",
    "counter drop",
    "reject",
    "reject with icmpx type admin-prohibited",
    "reject with tcp reset",
    "tcp dport 22 drop",
    "tcp dport 22 reject with tcp reset",
    "tcp dport { 22, 2222 } ct state new drop",
    "tcp dport 1-1023 drop",
    "tcp dport != 80 drop",
    "udp dport != 53 drop",
    "ct state new drop",
    "ct state != { established, related } drop",
    "tcp flags & (syn | fin) == syn | fin drop",
    "tcp flags syn tcp option maxseg size 1-500 drop",
    "tcp flags & (fin|syn|rst|ack) != syn ct state new drop",
    "ip saddr 127.0.0.0/8 drop",
    "ip saddr { 10.0.0.0/8, 192.168.0.0/16 } drop",
    "ip saddr != 10.0.0.0/8 drop",
    'iifname != "lo" ip saddr 127.0.0.0/8 drop',
    'iifname "eth0" drop',
    'iifname != "lo" drop',
    'iif != "lo" tcp dport 22 drop',
    "ip saddr @blocked drop",
    "ip protocol udp drop",
    "meta l4proto tcp drop",
    "meta l4proto != tcp drop",
    "fib saddr . iif oif missing drop",
    "fib daddr type { broadcast, anycast, multicast } drop",
    "meta pkttype != host drop",
    "ct count over 50 drop",
    "limit rate over 400/second burst 50 packets drop",
    "tcp dport 22 limit rate over 400/second burst 50 packets drop",
    "tcp dport 22 ct state new limit rate 4/minute drop",
    "ip6 saddr fe80::/10 drop",
    "ip6 saddr ::/0 drop",
    "tcp dport vmap { 22 : drop, 80 : accept }",
    "jump refused",
    "return",
    "tcp dport 22 return",
    "ip ttl < 5 drop",
    "meta length > 10000 drop",
)
"""Statements of an input chain, in every order."""

NFT_SETS = """
	set ports { type inet_service; flags interval; elements = { 22, 80-90 }; }
	set others { type inet_service
		elements = { 80, 443,
			8080 }
	}
	set admins { type ipv4_addr; flags interval; elements = { 10.1.0.0/16, 192.168.7.1 }; }
	set blocked { type ipv4_addr; flags dynamic, timeout; timeout 1h; }
	map services { type inet_service : verdict; elements = { 80 : accept, 22 : goto allowed }; }
"""

OTHER_CHAINS = (
    ("allowed", ("tcp dport 22 accept", "tcp dport 80 accept", "udp dport 53 accept", "return")),
    ("allowed", ("tcp dport { 80, 443 } accept", "counter")),
    ("allowed", ("ip saddr 10.0.0.0/8 return", "tcp dport 22 accept")),
    ("allowed", ("tcp dport != 22 return", "ct state new accept")),
)
REFUSED = (
    ("counter drop",),
    ("udp dport 53 return", "drop"),
    ("tcp dport 22 return", "drop"),
    ("icmp type echo-request drop",),
)


def _chain(name: str, rules: tuple[str, ...] | list[str], head: str = "") -> str:
    body = "".join(f"\t\t{rule}\n" for rule in ([head] if head else []) + list(rules))
    return f"\tchain {name} {{\n{body}\t}}\n"


def nft_random(count: int, seed: int = 20) -> Iterator[str]:
    """Input chains of random statements, with random policies, families and other hooks."""
    pick = random.Random(seed)
    for _ in range(count):
        family = pick.choices(("inet", "ip", "ip6"), (8, 3, 1))[0]
        other: dict[str, tuple[str, ...]] = {
            "ip": ("ip6 ", "icmpv6", "nfproto", "icmpx"),
            "ip6": ("ip ", "icmp ", "@admins", "@blocked", "nfproto", "icmpx"),
        }
        fitting = [p for p in NFT_PARTS if not any(word in p for word in other.get(family, ()))]
        chosen = pick.sample(fitting, pick.randint(1, 7))
        if pick.random() < 0.6:
            chosen = [LOOPBACK, RELATED, *chosen]
        policy = pick.choice(("drop", "drop", "accept"))
        name, some = pick.choice(OTHER_CHAINS)
        allowed = tuple(r for r in some if family != "ip6" or not r.startswith("ip "))
        text = NFT_HEAD + f"table {family} filter {{{NFT_SETS if family != 'ip6' else SETS_OF_IP6}"
        text += _chain(name, allowed) + _chain(
            "refused", pick.choice(REFUSED) if family != "ip6" else ("counter drop",)
        )
        text += _chain(
            "input",
            chosen,
            f"type filter hook input priority {pick.choice(('0', 'filter', '-5', 'filter - 10'))}; policy {policy};",
        )
        if pick.random() < 0.25:
            out = pick.choice(
                (
                    (RELATED,),
                    ("ct state new drop",),
                    ('oif "lo" accept', "tcp sport 22 ct state established accept"),
                    ("tcp dport { 80, 443 } accept",),
                )
            )
            text += _chain(
                "output",
                out,
                f"type filter hook output priority 0; policy {pick.choice(('drop', 'accept', 'accept'))};",
            )
        if pick.random() < 0.2:
            early = pick.choice(
                (
                    ("tcp dport 22 drop",),
                    ("tcp dport 80 drop",),
                    ("fib saddr . iif oif missing drop",),
                    ("ct state invalid drop",),
                    ("tcp dport 22 notrack",),
                )
            )
            text += _chain(
                "early",
                early,
                f"type filter hook prerouting priority {pick.choice(('raw', 'mangle', '-300'))}; policy accept;",
            )
        text += "}\n"
        if pick.random() < 0.15:
            second = pick.choice((("tcp dport 22 drop",), ("accept",), ("tcp dport 80 accept", "counter")))
            head = f"type filter hook input priority 10; policy {pick.choice(('accept', 'drop'))};"
            text += f"table inet second {{\n{_chain('late', second, head)}}}\n"
        yield text


SETS_OF_IP6 = """
	set ports { type inet_service; flags interval; elements = { 22, 80-90 }; }
	set others { type inet_service; elements = { 80, 443, 8080 }; }
	map services { type inet_service : verdict; elements = { 80 : accept, 22 : goto allowed }; }
"""


def nft_by_hand() -> Iterator[str]:
    """Each statement alone, with what nearly every real file has around it, under both policies."""
    for part in NFT_PARTS:
        yield (
            NFT_HEAD
            + f"table inet filter {{{NFT_SETS}"
            + _chain("allowed", OTHER_CHAINS[0][1])
            + _chain("refused", REFUSED[0])
            + _chain("input", (LOOPBACK, RELATED, part), "type filter hook input priority 0; policy drop;")
            + "}\n"
        )
        yield (
            NFT_HEAD
            + f"table inet filter {{{NFT_SETS}"
            + _chain("allowed", OTHER_CHAINS[1][1])
            + _chain("refused", REFUSED[2])
            + _chain("input", (part,), "type filter hook input priority 0; policy accept;")
            + "}\n"
        )
    yield from NFT_WHOLE


NFT_WHOLE = (
    # variables, statement forms, several tables
    """define ssh_ports = { 22, 2222 }
define lan = 10.0.0.0/8
add table inet f
add chain inet f in { type filter hook input priority 0 ; policy drop ; }
add rule inet f in ct state established,related accept
add rule inet f in tcp dport $ssh_ports accept
add rule inet f in ip saddr $lan accept
""",
    """add table ip f
add chain ip f in { type filter hook input priority 0; policy accept; }
add rule ip f in tcp dport 22 accept
insert rule ip f in tcp dport 22 drop
""",
    """table inet f
delete table inet f
table inet f {
	chain in { type filter hook input priority 0; policy drop; }
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy drop; }
}
flush ruleset
table inet g {
	chain in { type filter hook input priority 0; policy accept; tcp dport 23 drop; }
}
""",
    """table inet f {
	flags dormant
	chain in { type filter hook input priority 0; policy drop; }
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy accept; }
	chain in { tcp dport 22 drop; }
}
""",
    """table ip a { chain in { type filter hook input priority -10; policy accept; tcp dport 22 accept; }; }
table ip b { chain in { type filter hook input priority 10; policy drop; }; }
""",
    """table ip nat {
	chain pre { type nat hook prerouting priority dstnat; tcp dport 22 redirect to :2222; }
}
table ip f {
	chain in { type filter hook input priority 0; policy drop; tcp dport 2222 accept; ct state established accept; }
}
""",
    """table ip nat {
	chain pre { type nat hook prerouting priority dstnat; tcp dport 8022 redirect to :22; }
	chain post { type nat hook postrouting priority srcnat; masquerade; }
}
""",
    """table ip nat { chain pre { type nat hook prerouting priority dstnat; policy accept; tcp dport 443 dnat to 10.0.0.1:443; }; }
""",
    """table inet raw {
	chain pre { type filter hook prerouting priority raw; policy accept; tcp dport 22 notrack; }
	chain out { type filter hook output priority raw; policy accept; tcp sport 22 notrack; }
}
table inet f {
	chain in { type filter hook input priority 0; policy drop; ct state established,related accept; tcp dport 22 ct state new accept; }
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy drop; ct state new tcp dport 22 accept; }
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; }
	chain out { type filter hook output priority 0; policy drop; }
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; }
	chain out { type filter hook output priority 0; policy drop; tcp sport 22 accept; }
}
""",
    """table inet f {
	chain out { type filter hook output priority 0; policy drop; ct state new accept; }
}
""",
    """table inet f {
	chain out { type filter hook postrouting priority 0; policy accept; tcp sport 22 drop; }
}
""",
    """table inet f {
	chain a { tcp dport 22 accept; }
	chain b { goto a; }
	chain in { type filter hook input priority 0; policy drop; ct state established accept; jump b; tcp dport 22 drop; }
}
""",
    """table inet f {
	chain a { tcp dport 23 accept; }
	chain b { goto a; accept; }
	chain in { type filter hook input priority 0; policy drop; ct state established accept; jump b; }
}
""",
    """table inet f {
	chain a { return; }
	chain in { type filter hook input priority 0; policy accept; goto a; drop; }
}
""",
    """table inet f {
	chain a { drop; }
	chain in { type filter hook input priority 0; policy accept; ip saddr 10.0.0.0/8 goto a; }
}
""",
    """table inet f {
	set s { type ipv4_addr . inet_service; elements = { 93.184.216.7 . 22, 10.0.0.1 . 22 }; }
	chain in { type filter hook input priority 0; policy drop; ct state established accept; ip saddr . tcp dport @s accept; }
}
""",
    """table inet f {
	map m { type ipv4_addr . inet_service : verdict; flags interval; elements = { 0.0.0.0/0 . 22 : accept }; }
	chain in { type filter hook input priority 0; policy drop; ct state established accept; ip saddr . tcp dport vmap @m; }
}
""",
    """table inet f {
	set late { type inet_service; }
	chain in { type filter hook input priority 0; policy drop; ct state established accept; tcp dport @late accept; }
}
add element inet f late { 22 }
""",
    """table inet f {
	set seen { type ipv4_addr; size 65535; flags dynamic, timeout; timeout 60s; }
	chain in { type filter hook input priority 0; policy drop; ct state established accept
		tcp dport 22 ct state new add @seen { ip saddr limit rate over 10/minute } drop
		tcp dport 22 accept
	}
}
""",
    """table inet f {
	set seen { type ipv4_addr; size 65535; flags dynamic, timeout; timeout 60s; }
	chain in { type filter hook input priority 0; policy drop; ct state established accept
		tcp dport 22 ct state new update @seen { ip saddr limit rate 10/minute burst 5 packets } accept
	}
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy drop; ct state established accept; tcp dport . ct state vmap { 22 . new : accept }; }
}
""",
    """table netdev f {
	chain in { type filter hook ingress device eth0 priority 0; policy accept; tcp dport 22 drop; }
}
""",
    """table netdev f {
	chain in { type filter hook ingress device lo priority 0; policy drop; }
}
""",
    """table inet f {
	chain in {
		type filter hook input priority 0
		policy drop
		ct state established accept # comments may stand here
		tcp dport \\
			22 accept
	}
}
""",
    """table arp f {
	chain in { type filter hook input priority 0; policy accept; }
}
table bridge f {
	chain in { type filter hook input priority 0; policy drop; }
}
""",
    """table inet f {
	counter ssh { }
	ct helper ftp { type "ftp" protocol tcp; }
	chain in { type filter hook input priority 0; policy drop; ct state established accept
		tcp dport 22 counter name "ssh" accept
	}
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy drop; ct state established accept
		meta l4proto tcp ct state new meta mark set 0x1
		meta mark 0x1 tcp dport 22 accept
	}
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy accept
		tcp dport 22 meta mark != 0x2a drop
	}
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy drop
		ct state established accept
		ether saddr 02:00:00:00:00:99 drop
		tcp dport 22 accept
	}
}
""",
    """table inet f {
	chain in { type filter hook input priority 0; policy drop
		ct state established accept
		tcp dport 22 time "2000-01-01" - "2001-01-01" accept
	}
}
""",
)

IPTABLES_PARTS = (
    "-p tcp --dport 22 -j ACCEPT",
    "-p tcp -m tcp --dport 22 -j ACCEPT",
    "-p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT",
    "-p tcp -m conntrack --ctstate NEW,ESTABLISHED --dport ssh -j ACCEPT",
    "-p tcp -m multiport --dports 22,80,443 -j ACCEPT",
    '-p tcp -m multiport --dports 20:25 -m comment --comment "some ports" -j ACCEPT',
    "-p tcp --dport 22 -s 93.184.216.0/24 -j ACCEPT",
    "-s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT",
    "! -s 10.0.0.0/8 -p tcp --dport 22 -j ACCEPT",
    "-s 10.0.0.0/8,192.168.0.0/16 -j ACCEPT",
    "-i eth0 -p tcp --dport 22 -j ACCEPT",
    "! -i lo -p tcp --dport 22 -j ACCEPT",
    "-i wg0 -j ACCEPT",
    "-i e+ -p tcp --dport 22 -j ACCEPT",
    "-p tcp --syn --dport 22 -j ACCEPT",
    "-p tcp --dport 22 --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT",
    "-p tcp --sport 1024:65535 --dport 22 -j ACCEPT",
    "-p tcp --dport 22 -m limit --limit 10/min --limit-burst 5 -j ACCEPT",
    "-p tcp --dport 22 -m addrtype --dst-type LOCAL -j ACCEPT",
    "-p tcp --dport 22 -m connlimit --connlimit-upto 10 -j ACCEPT",
    "-m iprange --src-range 93.184.216.1-93.184.216.20 -p tcp --dport 22 -j ACCEPT",
    "-p tcp --dport 22 -j allowed",
    "-p tcp -j allowed",
    "-p tcp -g allowed",
    "-j allowed",
    "-m mark --mark 0x1 -j ACCEPT",
    "-i lo -j ACCEPT",
    "-m state --state ESTABLISHED,RELATED -j ACCEPT",
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-p udp --dport 53 -j ACCEPT",
    "-p tcp --dport 80 -j ACCEPT",
    "-p tcp ! --dport 80 -j ACCEPT",
    '-j LOG --log-prefix "in: " --log-level 7',
    "-m limit --limit 3/min -j LOG",
    "-j ACCEPT",
    "-m conntrack --ctstate INVALID -j DROP",
    "-j DROP",
    "-j REJECT",
    "-p tcp -j REJECT --reject-with tcp-reset",
    "-p tcp --dport 22 -j DROP",
    "-p tcp --dport 22 -j REJECT",
    "-p tcp -m multiport --dports 22,23 -j DROP",
    "-p tcp ! --dport 80 -j DROP",
    "-p tcp --dport 1:1023 -j DROP",
    "-p udp -j DROP",
    "! -p tcp -j DROP",
    "-m conntrack --ctstate NEW -j DROP",
    "-m conntrack ! --ctstate ESTABLISHED -j DROP",
    "-p tcp ! --syn -m state --state NEW -j DROP",
    "-p tcp --tcp-flags ALL NONE -j DROP",
    "-p tcp --tcp-flags SYN,FIN SYN,FIN -j DROP",
    "-p tcp --dport 22 -m recent --name ssh --update --seconds 60 --hitcount 20 -j DROP",
    "-p tcp --dport 22 -m state --state NEW -m recent --set --name ssh",
    "-p tcp --dport 22 -m connlimit --connlimit-above 20 -j REJECT",
    "-p tcp --dport 22 -m hashlimit --hashlimit-above 20/sec --hashlimit-name s --hashlimit-mode srcip -j DROP",
    "-s 127.0.0.0/8 ! -i lo -j DROP",
    "-s 10.0.0.0/8 -j DROP",
    "! -s 10.0.0.0/8 -j DROP",
    "-i eth0 -j DROP",
    "! -i lo -j DROP",
    "-d 224.0.0.0/4 -j DROP",
    "-m addrtype --dst-type BROADCAST -j DROP",
    "-m addrtype ! --dst-type LOCAL -j DROP",
    "-m pkttype --pkt-type broadcast -j DROP",
    "-j refused",
    "-p tcp --dport 22 -j refused",
    "-p tcp --dport 22 -j RETURN",
    "-m mac --mac-source 02:00:00:00:00:99 -j DROP",
    "-m string --string evil --algo bm -j DROP",
    "-m length --length 0:20 -j DROP",
)
IPTABLES_CHAINS = (
    ("-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 80 -j ACCEPT"),
    ("-p tcp --dport 80 -j ACCEPT",),
    ("-s 10.0.0.0/8 -j RETURN", "-p tcp --dport 22 -j ACCEPT"),
    ("-p tcp ! --dport 22 -j RETURN", "-j ACCEPT"),
)
IPTABLES_REFUSED = (("-j DROP",), ("-p tcp --dport 22 -j RETURN", "-j DROP"), ("-p udp -j REJECT",))


def iptables_text(
    rules: list[str], policy: str, chains: tuple[tuple[str, ...], tuple[str, ...]], out: str = "ACCEPT"
) -> str:
    """One file as iptables-save would write it."""
    lines = [
        "# made by hand",
        "*filter",
        f":INPUT {policy} [0:0]",
        ":FORWARD DROP [0:0]",
        f":OUTPUT {out} [0:0]",
    ]
    lines += [":allowed - [0:0]", ":refused - [0:0]"]
    lines += [f"-A INPUT {rule}" for rule in rules]
    lines += [f"-A allowed {rule}" for rule in chains[0]] + [f"-A refused {rule}" for rule in chains[1]]
    return "\n".join([*lines, "COMMIT", ""])


def iptables_by_hand() -> Iterator[str]:
    """Each rule alone: after the usual two under DROP, and by itself under ACCEPT."""
    usual = ["-i lo -j ACCEPT", "-m state --state ESTABLISHED,RELATED -j ACCEPT"]
    for part in IPTABLES_PARTS:
        yield iptables_text([*usual, part], "DROP", (IPTABLES_CHAINS[0], IPTABLES_REFUSED[0]))
        yield iptables_text([part], "ACCEPT", (IPTABLES_CHAINS[1], IPTABLES_REFUSED[1]))
    yield iptables_text(usual, "ACCEPT", (IPTABLES_CHAINS[0], IPTABLES_REFUSED[0]), out="DROP")
    yield "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 22 -j DROP\nCOMMIT\n"
    yield "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT DROP [0:0]\nCOMMIT\n"
    yield "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 22 -j REDIRECT --to-ports 2222\nCOMMIT\n"
    yield (
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp --dport 22 -j CT --notrack\nCOMMIT\n"
        + iptables_text(usual, "DROP", (IPTABLES_CHAINS[0], IPTABLES_REFUSED[0]))
    )


def iptables_random(count: int, seed: int = 40) -> Iterator[str]:
    """Random rules in random order."""
    pick = random.Random(seed)
    for _ in range(count):
        rules = pick.sample(IPTABLES_PARTS, pick.randint(1, 7))
        if pick.random() < 0.5:
            rules = ["-i lo -j ACCEPT", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", *rules]
        chains = (pick.choice(IPTABLES_CHAINS), pick.choice(IPTABLES_REFUSED))
        yield iptables_text(rules, pick.choice(("DROP", "DROP", "ACCEPT")), chains)

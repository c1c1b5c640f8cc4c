"""firewall/ssh-closed: each firewall closed and open, what cannot be told, and repairs that open the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Effect, GuestPath, MakeDirectory, Safety, Severity
from tests.unit.analyzers import firewall_guest as fw

ALLOW = "\t\ttcp dport 22 accept\n\t}\n\tchain output"
OPENED = fw.DROP.replace("\t}\n\tchain output", ALLOW, 1)


def with_rule(rule: str, extra: str = "") -> str:
    """The drop policy with a rule before it, and other parts of the table."""
    return fw.DROP.replace("\t}\n\tchain output", f"\t\t{rule}\n\t}}\n\tchain output", 1).replace(
        "\tchain input", f"{extra}\tchain input", 1
    )


CLOSED: dict[str, Callable[[], MemoryGuest]] = {
    "nft: drop": lambda: fw.nft(fw.DROP),
    "nft: the rule is for another port": lambda: fw.nft(OPENED, sshd_config="Port 2222\n"),
    "nft: no table but ip": lambda: fw.nft(fw.DROP.replace("inet", "ip")),
    "nft: an explicit drop": lambda: fw.nft(
        OPENED.replace('iif "lo" accept', "tcp dport 22 counter drop").replace("policy drop", "policy accept")
    ),
    "nft: rejected in a chain": lambda: fw.nft(
        with_rule("jump refused", "\tchain refused {\n\t\treject with icmpx type admin-prohibited\n\t}\n")
    ),
    "nft: the named set lacks the port": lambda: fw.nft(
        with_rule("tcp dport @p accept", "\tset p { type inet_service; elements = { 80, 443 }; }\n")
    ),
    "nft: another table drops": lambda: fw.nft(
        OPENED + "table inet late {\n chain i { type filter hook input priority 10; policy drop; }\n}\n"
    ),
    "nft: the answers are dropped": lambda: fw.nft(
        OPENED.replace("hook output priority 0; policy accept", "hook output priority 0; policy drop")
    ),
    "nft: what follows is dropped": lambda: fw.nft(
        OPENED.replace("ct state established,related accept", "").replace(
            "tcp dport 22", "ct state new tcp dport 22"
        )
    ),
    "nft: in raw": lambda: fw.nft(
        "table inet r {\n chain p {\n  type filter hook prerouting priority raw; policy accept;\n"
        "  tcp dport 22 drop\n }\n}\n"
    ),
    "nft: single commands": lambda: fw.nft(
        "add table inet f\nadd chain inet f in { type filter hook input priority 0; policy drop; }\n"
        "add rule inet f in ct state established accept\n"
    ),
    "nft: on one line": lambda: fw.nft(
        "table inet f { chain i { type filter hook input priority 0; policy drop;"
        " ct state established accept; }; }\n"
    ),
    "iptables": fw.iptables,
    "iptables: explicit": lambda: fw.iptables(
        fw.RULES_V4.replace(":INPUT DROP", ":INPUT ACCEPT").replace(
            "-A INPUT -i lo -j ACCEPT", "-A INPUT -p tcp --dport 22 -j REJECT"
        )
    ),
    "iptables: both families": lambda: fw.iptables(v6=fw.RULES_V4),
    "ufw": fw.ufw,
    "ufw: another port": lambda: fw.ufw("-A ufw{6}-user-input -p tcp --dport 80 -j ACCEPT"),
    "ufw: reject": lambda: fw.ufw(defaults=fw.UFW_DEFAULTS.replace('"DROP"', '"REJECT"')),
    "firewalld: drop": lambda: fw.firewalld("drop"),
    "firewalld: own zone": lambda: fw.firewalld(
        "public", {"public": "<zone>\n  <service name='http'/>\n</zone>\n"}
    ),
    "firewalld: on one line": lambda: fw.firewalld("public", {"public": "<zone></zone>"}),
}

OPEN: dict[str, Callable[[], MemoryGuest]] = {
    "no firewall": fw.base,
    "nft: installed and off": lambda: _off(fw.nft(fw.DROP)),
    "nft: masked": lambda: _masked(fw.nft(fw.DROP)),
    "nft: accepted": lambda: fw.nft(OPENED),
    "nft: by its name": lambda: fw.nft(OPENED.replace("dport 22", "dport ssh")),
    "nft: sshd elsewhere": lambda: fw.nft(OPENED.replace("22", "2222"), sshd_config="Port 2222\n"),
    "nft: one of two ports": lambda: fw.nft(OPENED, sshd_config="Port 2222\nPort 22\n"),
    "nft: in a named set": lambda: fw.nft(
        with_rule("tcp dport @p accept", "\tset p { type inet_service; elements = { 22, 443 }; }\n")
    ),
    "nft: in a jumped-to chain": lambda: fw.nft(
        with_rule("jump allowed", "\tchain allowed {\n\t\ttcp dport { 22, 80 } accept\n\t}\n")
    ),
    "nft: from a verdict map": lambda: fw.nft(with_rule("tcp dport vmap { 22 : accept, 23 : drop }")),
    "nft: slowed down": lambda: fw.nft(with_rule("tcp dport 22 ct state new limit rate 4/minute accept")),
    "nft: some are shut out": lambda: fw.nft(OPENED.replace('iif "lo"', "ip saddr 10.0.0.0/8 drop\niif lo")),
    "nft: flushed": lambda: fw.nft(fw.DROP + "flush ruleset\n"),
    "nft: dormant": lambda: fw.nft(fw.DROP.replace("filter {", "filter {\n\tflags dormant", 1)),
    "iptables: accepted": lambda: fw.iptables(
        fw.RULES_V4.replace("--dport 80", "--dport 22"), fw.RULES_V4.replace("--dport 80", "--dport 22")
    ),
    "iptables: multiport": lambda: fw.iptables(
        fw.RULES_V4.replace("-m tcp --dport 80", "-m multiport --dports 22,80")
    ),
    "ufw: off": lambda: fw.ufw(enabled="no"),
    "ufw: allowed": lambda: fw.ufw("-A ufw{6}-user-input -p tcp --dport 22 -j ACCEPT"),
    "ufw: limited": lambda: fw.ufw(
        "-A ufw{6}-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --set\n"
        "-A ufw{6}-user-input -p tcp --dport 22 -m conntrack --ctstate NEW -m recent --update --seconds 30"
        " --hitcount 6 -j ufw{6}-user-limit\n"
        "-A ufw{6}-user-input -p tcp --dport 22 -j ufw{6}-user-limit-accept"
    ),
    "ufw: everything": lambda: fw.ufw(defaults=fw.UFW_DEFAULTS.replace('"DROP"', '"ACCEPT"')),
    "firewalld: public": lambda: fw.firewalld("public"),
    "firewalld: trusted": lambda: fw.firewalld("trusted"),
    "firewalld: a port": lambda: fw.firewalld(
        "public", {"public": "<zone><port port='20-30' protocol='tcp'/></zone>"}
    ),
    "firewalld: a rich rule": lambda: fw.firewalld(
        "public", {"public": "<zone><rule family='ipv4'><service name='ssh'/><accept/></rule></zone>"}
    ),
}

CANNOT_TELL: dict[str, Callable[[], MemoryGuest]] = {
    "another way in": lambda: fw.nft(with_rule('iifname "wg0" accept')),
    "a card's name": lambda: fw.nft(with_rule('iifname "eth0" tcp dport 22 accept')),
    "some addresses": lambda: fw.nft(with_rule("ip saddr 10.0.0.0/8 tcp dport 22 accept")),
    "a set of networks": lambda: fw.nft(
        with_rule(
            "ip saddr @m tcp dport 22 accept",
            "\tset m { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 }; }\n",
        )
    ),
    "a set that grows": lambda: fw.nft(
        with_rule("ip saddr @k accept", "\tset k { type ipv4_addr; flags dynamic, timeout; }\n")
    ),
    "an unknown statement": lambda: fw.nft(with_rule("tcp dport 22 frobnicate 3 accept")),
    "an unknown chain": lambda: fw.nft(with_rule("jump nowhere")),
    "an include that is not there": lambda: fw.nft(fw.DROP + 'include "/etc/nft.d/x.nft"\n'),
    "a variable that is not there": lambda: fw.nft(with_rule("tcp dport $ssh accept")),
    "a file that is no nft": lambda: fw.nft(fw.DROP + "table inet {{{\n"),
    "a card that must be there": lambda: fw.nft(fw.DROP.replace('iif "lo"', "iif eth7")),
    "redirected": lambda: fw.nft(
        fw.DROP + "table ip n {\n chain p { type nat hook prerouting priority -100;"
        " tcp dport 22 redirect to :2222; }\n}\n"
    ),
    "a script of rc.local": lambda: _file(fw.nft(fw.DROP), "/etc/rc.local", "#!/bin/sh\nnft -f /root/x\n"),
    "another unit": lambda: fw.start(fw.nft(fw.DROP), "own", "[Service]\nExecStart=/usr/sbin/iptables -F\n"),
    "nothing but a script": lambda: _own_script(fw.base()),
    "an own script": lambda: _own_script(fw.nft(fw.DROP)),
    "ufw and iptables": lambda: _both(fw.ufw(), fw.iptables()),
    "iptables, flushed by nftables": lambda: _both(fw.nft(OPENED), fw.iptables()),
    "nftables in iptables' own table": lambda: _both(
        fw.nft(fw.DROP.replace("inet", "ip").replace("flush ruleset", "")), fw.iptables(fw.RULES_V4)
    ),
    "firewalld and nftables": lambda: _both(fw.nft(fw.DROP), fw.firewalld("public")),
    "firewalld: direct rules": lambda: _file(
        fw.firewalld("drop"),
        "/etc/firewalld/direct.xml",
        "<direct><rule ipv='ipv4' table='filter' chain='INPUT' priority='0'>-j ACCEPT</rule></direct>",
    ),
    "firewalld: no such zone": lambda: fw.firewalld("mine"),
    "firewalld: a card's zone": lambda: fw.firewalld(
        "public", {"public": "<zone/>", "lan": "<zone><interface name='eth1'/><service name='ssh'/></zone>"}
    ),
    "firewalld: entities": lambda: fw.firewalld(
        "public", {"public": '<!DOCTYPE z [<!ENTITY a "b">]><zone>&a;</zone>'}
    ),
    "ufw: a script of its own": lambda: _file(fw.ufw(), "/etc/ufw/before.init", "#!/bin/sh\n"),
}


def _off(guest: MemoryGuest) -> MemoryGuest:
    guest.remove("/etc/systemd/system/sysinit.target.wants/nftables.service")
    return guest


def _masked(guest: MemoryGuest) -> MemoryGuest:
    guest.link("/etc/systemd/system/nftables.service", "/dev/null")
    return guest


def _file(guest: MemoryGuest, path: str, text: str) -> MemoryGuest:
    guest.file(path, text, mode=0o755)
    return guest


def _eth0(guest: MemoryGuest, match: str = "Name=eth0", options: str = "net.ifnames=0") -> MemoryGuest:
    """With networkd, and cards that keep the kernel's names."""
    guest.file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "x")
    guest.file("/boot/vmlinuz-6.1", b"x")
    entry = f"menuentry 'Linux' {{\n linux /boot/vmlinuz-6.1 root=UUID=1 {options}\n}}\n"
    guest.file("/boot/grub/grub.cfg", entry)
    guest.file("/usr/lib/systemd/systemd-networkd", b"x", mode=0o755)
    fw.start(guest, "systemd-networkd", "[Service]\nExecStart=/usr/lib/systemd/systemd-networkd\n")
    guest.file("/etc/systemd/network/10-lan.network", f"[Match]\n{match}\n[Network]\nDHCP=yes\n")
    return guest


def _of(card: str) -> MemoryGuest:
    return fw.nft(with_rule(f'iifname "{card}" tcp dport 22 accept'))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: _eth0(_of("eth0")), "open"),
        (lambda: _eth0(_of("eth*")), "open"),
        (lambda: _eth0(_of("ens192")), "error"),
        (lambda: _eth0(_of("en*")), "error"),
        (lambda: _eth0(_of("eth1")), "error"),
        (lambda: _eth0(_of("lan0")), "note"),
        (lambda: _eth0(_of("eth0.10")), "note"),
        (lambda: _eth0(fw.nft(with_rule('iifname "eth0" drop; accept'))), "error"),
        # More cards than one may have an address.
        (lambda: _eth0(_of("eth0"), "Name=e*"), "note"),
        (lambda: _eth0(_of("eth*"), "Name=e*"), "open"),
        (lambda: _eth0(_of("ens192"), "Name=e*"), "error"),
        (lambda: _eth0(fw.nft(with_rule('iifname "eth0" drop; accept')), "Name=e*"), "note"),
        # Names by slot depend on the machine; a MAC, a bridge or a rule may give another name.
        (lambda: _eth0(_of("eth0"), "Name=e*", "quiet"), "note"),
        (lambda: _eth0(_of("ens192"), "Name=ens192", "quiet"), "note"),
        (lambda: _eth0(_of("ens192"), "MACAddress=52:54:00:00:00:01"), "note"),
        (lambda: _eth0(_of("ens192"), "Name=eth0\n[Network]\nBridge=br0"), "note"),
        (
            lambda: _file(
                _eth0(_of("ens192")), "/etc/systemd/network/10-x.link",
                "[Match]\nMACAddress=52:54:00:00:00:01\n[Link]\nName=ens192\n",
            ),
            "note",
        ),
    ],
)  # fmt: skip
def test_a_card_by_name_is_judged_where_its_name_is_known(
    make: Callable[[], MemoryGuest], expected: str
) -> None:
    assert fw.verdict(make()) == expected


def _own_script(guest: MemoryGuest) -> MemoryGuest:
    guest.file("/etc/systemd/system/own.service", "[Service]\nExecStart=/usr/local/sbin/open-door start\n")
    guest.link("/etc/systemd/system/multi-user.target.wants/own.service", "../own.service")
    guest.file("/usr/local/sbin/open-door", "#!/bin/sh\n/usr/sbin/nft add rule inet filter input accept\n")
    return guest


def _both(first: MemoryGuest, second: MemoryGuest) -> MemoryGuest:
    for path, node in second.nodes.items():
        first.nodes.setdefault(path, node)
    return first


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_one_is_an_error_and_its_repair_opens_it(name: str) -> None:
    guest = CLOSED[name]()
    (finding,) = fw.examine(guest).findings
    assert (finding.rule, finding.severity) == ("firewall/ssh-closed", Severity.ERROR)
    assert finding.effect is Effect.STOPS_LOGIN
    assert finding.evidence
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    fw.mend(guest, finding)
    assert fw.verdict(guest) == "open"


@pytest.mark.parametrize("name", OPEN)
def test_an_open_one_is_silent(name: str) -> None:
    assert fw.examine(OPEN[name]()) == ([], [])


@pytest.mark.parametrize("name", CANNOT_TELL)
def test_what_cannot_be_told_is_a_note_with_the_reason(name: str) -> None:
    findings, inconclusive = fw.examine(CANNOT_TELL[name]())
    assert not inconclusive
    (finding,) = findings
    assert finding.severity is Severity.NOTE
    assert finding.repair is None
    assert "cannot be told: " in finding.message or "only some connections" in finding.message


def test_the_finding_names_the_file_and_line() -> None:
    (finding,) = fw.examine(fw.nft(fw.DROP)).findings
    assert finding.subject == "/etc/nftables.conf:7"
    assert "port 22" in finding.message


def test_the_repair_touches_nothing_else() -> None:
    guest = fw.nft(fw.DROP)
    (finding,) = fw.examine(guest).findings
    fw.mend(guest, finding)
    assert guest.nodes[GuestPath("/etc/nftables.conf")].content.decode() == OPENED


def test_ufw_is_told_as_ufw_would_write_it() -> None:
    guest = fw.ufw()
    (finding,) = fw.examine(guest).findings
    assert finding.subject == "/etc/default/ufw:2"
    fw.mend(guest, finding)
    text = guest.nodes[GuestPath("/etc/ufw/user.rules")].content.decode()
    assert "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input" in text
    assert "allow tcp 22 ::/0 any ::/0 in" in guest.nodes[GuestPath("/etc/ufw/user6.rules")].content.decode()


def test_a_packaged_zone_is_not_written_to() -> None:
    guest = fw.firewalld("drop")
    (finding,) = fw.examine(guest).findings
    fw.mend(guest, finding)
    assert guest.nodes[GuestPath("/usr/lib/firewalld/zones/drop.xml")].content.decode() == fw.ZONES["drop"]
    assert b'<service name="ssh"/>' in guest.nodes[GuestPath("/etc/firewalld/zones/drop.xml")].content


@pytest.mark.parametrize("missing", ["/etc/firewalld/zones", "/etc/firewalld"])
def test_folders_that_are_missing_are_made_each_after_its_parent(missing: str) -> None:
    zones = {"public": "<zone>\n  <service name='http'/>\n</zone>\n"}
    guest = fw.firewalld("public")
    guest.file("/usr/lib/firewalld/zones/public.xml", zones["public"])
    guest.remove(missing)
    (finding,) = fw.examine(guest).findings
    assert finding.repair is not None
    made = [str(c.path) for c in finding.repair.changes if isinstance(c, MakeDirectory)]
    assert made == [p for p in ("/etc/firewalld", "/etc/firewalld/zones") if p.startswith(missing)]
    fw.mend(guest, finding)
    assert fw.verdict(guest) == "open"


@pytest.mark.parametrize("family", ["arp", "bridge"])
def test_tables_of_other_families_change_nothing(family: str) -> None:
    chain = "chain i { type filter hook input priority 0; policy drop; frobnicate }"
    other = f"table {family} f {{\n {chain}\n}}\n"
    assert fw.verdict(fw.nft(OPENED + other)) == "open"
    (finding,) = fw.examine(fw.nft(fw.DROP + other.replace(" frobnicate", ""))).findings
    assert (finding.severity, finding.subject) == (Severity.ERROR, "/etc/nftables.conf:7")


def test_ipv6_by_a_rule_of_its_own_makes_it_a_note() -> None:
    six = fw.RULES_V4.replace("--dport 80", "--dport 22")
    (finding,) = fw.examine(fw.iptables(v6=six)).findings
    assert finding.severity is Severity.NOTE
    (finding,) = fw.examine(fw.iptables()).findings
    assert "IPv6 is not filtered" in finding.message


def test_sshd_on_ipv6_alone_is_judged_by_ipv6() -> None:
    guest = fw.iptables()
    guest.file("/etc/ssh/sshd_config", "AddressFamily inet6\n")
    assert fw.verdict(guest) == "open"


def test_sshd_for_this_guest_alone_needs_no_way_in() -> None:
    assert fw.verdict(fw.nft(fw.DROP, sshd_config="ListenAddress 127.0.0.1\n")) == "open"


def test_a_connection_profile_decides_the_zone() -> None:
    guest = fw.firewalld("public")
    guest.file("/etc/sysconfig/network-scripts/ifcfg-eth0", "DEVICE=eth0\nZONE=drop\n")
    assert fw.verdict(guest) == "error"
    guest.file("/etc/sysconfig/network-scripts/ifcfg-eth1", "DEVICE=eth1\n")
    assert fw.verdict(guest) == "note"


def test_fedoras_unit_includes_its_file() -> None:
    guest = fw.start(fw.base(), "nftables", fw.FEDORA_NFT_UNIT, "multi-user")
    guest.file("/etc/sysconfig/nftables.conf", 'include "/etc/nftables/*.nft"\n')
    guest.file("/etc/nftables/main.nft", fw.DROP)
    (finding,) = fw.examine(guest).findings
    assert finding.subject == "/etc/nftables/main.nft:7"
    fw.mend(guest, finding)
    assert fw.verdict(guest) == "open"


def test_openrc_starts_what_its_runlevels_name() -> None:
    guest = fw.base()
    guest.remove("/usr/lib/systemd")
    guest.file("/etc/iptables/rules-save", fw.RULES_V4)
    assert fw.verdict(guest) == "open"
    guest.link("/etc/runlevels/default/iptables", "/etc/init.d/iptables")
    assert fw.verdict(guest) == "error"


@pytest.mark.parametrize("path", ["/etc/nftables.conf", "/etc/services", "/etc/ssh/sshd_config"])
def test_an_unreadable_file_is_never_healthy(path: str) -> None:
    guest = fw.nft(fw.DROP)
    guest.nodes[GuestPath(path)].unreadable = "Input/output error"
    assert fw.verdict(guest) in {"note", "inconclusive"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "table inet f {\n"
            + "".join(f" chain c{n} {{ jump c{n + 1}; jump c{n + 1}; }}\n" for n in range(60))
            + " chain c60 { counter; }\n"
            " chain i { type filter hook input priority 0; policy drop; jump c0; }\n}\n",
            id="jumps that double",
        ),
        pytest.param(
            "table inet f {\n chain a { jump a; }\n"
            " chain i { type filter hook input priority 0; policy drop; jump a; }\n}\n",
            id="a circle",
        ),
        pytest.param('include "/etc/nftables.conf"\n', id="includes itself"),
        pytest.param(
            "define a = { 1 }\n" + "".join("define a = { $a, $a }\n" for _ in range(40)), id="doubles"
        ),
    ],
)
def test_a_hostile_one_ends_as_a_note(text: str) -> None:
    assert fw.verdict(fw.nft(text)) == "note"

"""What is known of a guest's network, without any judgement."""

from __future__ import annotations

import pytest

from guestrepair.formats.ifcfg import parse_ifcfg
from guestrepair.formats.keyfile import parse_keyfile
from guestrepair.formats.udev_rules import parse_name_rules
from guestrepair.formats.yaml_nodes import YamlError, parse_yaml
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.system.guest_system import System
from guestrepair.system.network.addresses import is_out_of_reach
from guestrepair.system.network.model import Configuration, Manager, Match, Reach
from guestrepair.system.network.naming import is_slot_name, may_be_a_card
from tests.unit.analyzers import network_guest as make


@pytest.mark.parametrize(
    ("name", "slot", "card"),
    [
        ("ens192", True, True),
        ("enp1s0", True, True),
        ("enp1s0f0np0", True, True),
        ("eno1", True, True),
        ("enx525400123456", True, True),
        ("em1", True, True),
        ("p1p1", True, True),
        ("enX0", True, True),
        ("eth0", False, True),
        ("lan0", False, True),
        ("lo", False, False),
        ("wlp2s0", False, False),
        ("docker0", False, False),
        ("br0", False, False),
        ("ens3.10", True, False),
        ("any", False, True),
    ],
)
def test_names(name: str, *, slot: bool, card: bool) -> None:
    assert (is_slot_name(name.partition(".")[0]), may_be_a_card(name)) == (slot, card)


@pytest.mark.parametrize(
    ("options", "match", "reach"),
    [
        ("ro", Match(), Reach.ANY),
        ("ro", Match(("en*",)), Reach.ANY),
        ("ro", Match(("!eth0",)), Reach.ANY),
        ("ro", Match(("ens3",)), Reach.NAME),
        ("ro", Match(("eth0",)), Reach.KERNEL_NAME),
        ("ro", Match(("eth*",)), Reach.KERNEL_NAME),
        ("ro", Match(("lan",)), Reach.OTHER),
        ("ro", Match(macs=("52:54:00:00:00:01",)), Reach.MAC),
        ("ro", Match(("en*",), others=("Driver",)), Reach.OTHER),
        ("net.ifnames=0", Match(("eth0",)), Reach.ANY),
        ("net.ifnames=0", Match(("ens3",)), Reach.NAME),
        ("net.ifnames=0", Match(("en*",)), Reach.NAME),
    ],
)
def test_which_card_a_match_means_on_a_new_machine(options: str, match: Match, reach: Reach) -> None:
    assert System(make.base(options=options)).network.naming.reach(match) is reach


def only(guest: MemoryGuest) -> Configuration:
    (configuration,) = System(guest).network.configurations
    return configuration


def test_networkd_merges_drop_ins_and_the_first_match_wins() -> None:
    guest = make.networkd()
    guest.file("/etc/systemd/network/10-lan.network", "[Match]\nName=en*\n[Network]\nDHCP=no\n")
    guest.file(
        "/etc/systemd/network/10-lan.network.d/x.conf",
        "[Network]\nDHCP=ipv4\n[Address]\nAddress=10.0.0.5/24\n",
    )
    guest.file("/usr/lib/systemd/network/90-late.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n")
    found = only(guest)
    assert (found.dhcp, found.addresses, found.match.names) == (("dhcp4",), ("10.0.0.5/24",), ("en*",))


def test_a_masked_network_file_is_not_there() -> None:
    guest = make.networkd()
    guest.file("/usr/lib/systemd/network/10-lan.network", "[Match]\nName=en*\n[Network]\nDHCP=yes\n")
    guest.link("/etc/systemd/network/10-lan.network", "/dev/null")
    assert System(guest).network.configurations == ()


def test_netplan_lays_files_over_each_other_by_name() -> None:
    guest = make.with_netplan()
    text = (
        "network: {version: 2, ethernets: {a: {match: {name: 'e*'}, dhcp4: %s, addresses: [10.0.0.%d/24]}}}\n"
    )
    guest.file("/usr/lib/netplan/00.yaml", text % ("true", 1))
    guest.file("/etc/netplan/10.yaml", text % ("true", 2))
    guest.file("/etc/netplan/20.yaml", text % ("false", 3))
    guest.file("/usr/lib/netplan/20.yaml", text % ("true", 9))
    found = only(guest)
    assert (found.dhcp, found.addresses) == ((), ("10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24"))
    assert found.served_by is Manager.NETWORKD


def test_ifupdown_follows_sources_and_reads_bridges() -> None:
    guest = make.ifupdown(
        "auto vmbr0\niface vmbr0 inet static\n  address 10.0.0.5/24\n  bridge-ports ens18\n"
    )
    guest.file("/etc/network/interfaces.d/ports", "iface ens18 inet manual\n")
    found = only(guest)
    assert (found.name, found.part_of, found.at_boot, found.place.path) == (
        "ens18", "vmbr0", True, GuestPath("/etc/network/interfaces.d/ports"),
    )  # fmt: skip


def test_suse_bridges_make_their_ports_useful() -> None:
    guest = make.wicked("eth0", "STARTMODE='hotplug'\nBOOTPROTO='none'\n")
    guest.file(
        "/etc/sysconfig/network/ifcfg-br0",
        "BRIDGE='yes'\nBRIDGE_PORTS='eth0'\nIPADDR='10.0.0.5/24'\nSTARTMODE=auto\n",
    )
    found = only(guest)
    assert (found.name, found.part_of, found.is_useful) == ("ifcfg-eth0", "br0", True)


def test_settings_of_network_manager_are_put_together() -> None:
    guest = make.network_manager()
    guest.file("/etc/NetworkManager/conf.d/00-server.conf", "")
    network = System(guest).network
    assert network.makes_default  # an empty file of the same name takes the packaged one away
    guest = make.network_manager()
    guest.file(
        "/etc/NetworkManager/conf.d/10.conf",
        "[keyfile]\nunmanaged-devices=*,except:type:wifi,except:type:gsm\n",
    )
    assert System(guest).network.manager_settings.leaves_cards_alone is True


@pytest.mark.parametrize(
    ("gateway", "addresses", "out"),
    [
        ("10.0.0.1", ["10.0.0.5/24"], False),
        ("10.0.1.1", ["10.0.0.5/24"], True),
        ("10.0.1.1", ["10.0.0.5/24", "10.0.1.5/24"], False),
        ("10.0.1.1", ["10.0.0.5/32"], False),
        ("10.0.1.1", [], False),
        ("10.0.1.1", ["2001:db8::5/64"], False),
        ("2001:db8:1::1", ["2001:db8::5/64"], True),
        ("fe80::1", ["2001:db8::5/64"], False),
        ("nonsense", ["10.0.0.5/24"], False),
    ],
)
def test_gateways(gateway: str, addresses: list[str], *, out: bool) -> None:
    assert is_out_of_reach(gateway, addresses) is out


def test_the_formats() -> None:
    variables = parse_ifcfg(b'export A=\'b c\' # d\nB="e\\"f"g\nC=h;i\n')
    assert [v.value for v in variables.values()] == ["b c", 'e"fg', "h"]
    content = parse_keyfile(b"x=1\n[a]\nb=c;d;\nb = e\nnonsense\n")
    assert content.get("a", "b") == "e"
    assert [line for line, _ in content.problems] == [1, 5]
    (rule,) = parse_name_rules(
        b'# NAME="x"\nSUBSYSTEM=="net", ATTR{address}=="AA:BB:CC:00:11:22", \\\n NAME="eth0"\n'
        b'SUBSYSTEM=="block", NAME="b"\n'
    )
    assert (rule.name, rule.mac, rule.line) == ("eth0", "aa:bb:cc:00:11:22", 2)
    top = parse_yaml("a: é\nb: {c: [1, 'on']}\n".encode())
    assert top is not None
    inner = top.path("b", "c")
    assert inner is not None
    assert [(n.text, n.line, n.start) for n in inner.items] == [("1", 2, 14), ("on", 2, 17)]
    with pytest.raises(YamlError) as caught:
        parse_yaml(b"a: 1\n\tb: 2\n")
    assert caught.value.line == 2

"""network/pinned-mac and network/pinned-name: each manager, broken and healthy, and after the repair."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, Safety
from tests.unit.analyzers import network_guest as make
from tests.unit.analyzers.network_guest import findings, repaired, told

MAC = "52:54:00:12:34:56"
UDEV = (
    f'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{{address}}=="{MAC}", ATTR{{type}}=="1",'
    ' NAME="eth0"\n'
)
BLOCK = f"      match:\n        macaddress: '{MAC}'\n      set-name: eth0\n      dhcp4: true\n"
STATIC = "BOOTPROTO=none\nIPADDR=10.0.0.5\nPREFIX=24\nGATEWAY=10.0.0.1\n"
ETH0 = "auto eth0\niface eth0 inet dhcp\n"
BRIDGE = "auto br0\niface br0 inet dhcp\n  bridge_ports ens192\niface ens192 inet manual\n"


def plan(body: str) -> str:
    return f"network:\n  version: 2\n  ethernets:\n{body}"


def with_file(guest: MemoryGuest, path: str, text: str, mode: int = 0o644) -> MemoryGuest:
    guest.file(path, text, mode=mode)
    return guest


def of_networkd(text: str, **more: str) -> MemoryGuest:
    return with_file(make.networkd(**more), "/etc/systemd/network/10-lan.network", text)  # type: ignore[arg-type]


def seeded(guest: MemoryGuest) -> MemoryGuest:
    """With what NoCloud needs besides."""
    for name in ("meta-data", "user-data"):
        guest.file(f"/var/lib/cloud/seed/nocloud/{name}", "")
    return guest


def seed_volume(guest: MemoryGuest) -> MemoryGuest:
    """A disk of the machine's own, as hypervisors make them: another machine has another one."""
    device = BlockDevice("/dev/sdb", DeviceKind.DISK, 1 << 20, content="iso9660", label="cidata")
    guest.block = BlockDevices(devices=(device,))
    text = f"version: 1\nconfig:\n- {{type: physical, mac_address: '{MAC}', subnets: [{{type: dhcp}}]}}\n"
    guest.volumes["/dev/sdb"] = {"meta-data": b"", "user-data": b"", "network-config": text.encode()}
    return guest


def in_drop_in(text: str, more: str) -> MemoryGuest:
    return with_file(of_networkd(text), DROP_IN, more)


def keyfile(body: str, *, server: bool = True, method: str = "auto") -> MemoryGuest:
    text = f"[connection]\nid=lan\nuuid=1\ntype=ethernet\n{body}\n[ipv4]\nmethod={method}\n"
    return with_file(
        make.network_manager(server=server),
        "/etc/NetworkManager/system-connections/lan.nmconnection",
        text,
        0o600,
    )


def ifcfg(text: str, *, server: bool = True) -> MemoryGuest:
    guest = make.ifcfg_plugin(make.network_manager(server=server))
    return with_file(guest, "/etc/sysconfig/network-scripts/ifcfg-lan", text)


def scripts(text: str, options: str = "net.ifnames=0", name: str = "eth0") -> MemoryGuest:
    return with_file(
        make.network_scripts(options=options), f"/etc/sysconfig/network-scripts/ifcfg-{name}", text
    )


def rules_of_udev(guest: MemoryGuest, *, generator: bool = False) -> MemoryGuest:
    if generator:
        guest.file("/lib/udev/write_net_rules", b"x")
    return with_file(guest, "/etc/udev/rules.d/70-persistent-net.rules", "# old machine\n" + UDEV)


DROP_IN = "/etc/systemd/network/10-lan.network.d/50-card.conf"
NETPLAN = "/etc/netplan/01-netcfg.yaml"
NETWORK = "/etc/systemd/network/10-lan.network"
KEYFILE = "/etc/NetworkManager/system-connections/lan.nmconnection"
IFCFG = "/etc/sysconfig/network-scripts/ifcfg-lan"
DHCP = "[Network]\nDHCP=yes\n"
ADDRESS = "[Network]\nAddress=10.0.0.5/24\nGateway=10.0.0.1\n"

# guest, what is told, whether the repair is offered (review)
PINNED: dict[str, tuple[Callable[[], MemoryGuest], str, bool]] = {
    "netplan mac": (
        lambda: make.with_netplan(plan("    lan:\n" + BLOCK)),
        f"warning pinned-mac {NETPLAN}:6", True,
    ),
    "netplan mac in flow style": (
        lambda: make.with_netplan(
            plan(f"    lan:\n      match: {{macaddress: {MAC}}}\n      addresses: [10.0.0.5/24]\n")
        ),
        f"warning pinned-mac {NETPLAN}:5", True,
    ),
    "netplan mac, all on one line": (
        lambda: make.with_netplan(
            plan(f"    lan: {{match: {{macaddress: {MAC}}}, set-name: lan0, dhcp4: true}}\n")
        ),
        f"warning pinned-mac {NETPLAN}:4", True,
    ),
    "netplan name": (
        lambda: make.with_netplan(plan("    ens192:\n      dhcp4: true\n")),
        f"warning pinned-name {NETPLAN}:4", True,
    ),
    "netplan match name": (
        lambda: make.with_netplan(plan("    lan:\n      match: {name: ens192}\n      dhcp4: true\n")),
        f"warning pinned-name {NETPLAN}:5", True,
    ),
    "netplan name in flow style": (
        lambda: make.with_netplan(plan("    ens192: {dhcp4: true}\n")),
        f"warning pinned-name {NETPLAN}:4", False,
    ),
    "networkd mac": (
        lambda: of_networkd(f"[Match]\nMACAddress={MAC}\n{ADDRESS}"), f"warning pinned-mac {NETWORK}:2", True,
    ),
    "networkd permanent mac and name": (
        lambda: of_networkd(f"[Match]\nName=ens3\nPermanentMACAddress={MAC}\n{ADDRESS}"),
        f"warning pinned-mac {NETWORK}:2", True,
    ),
    "networkd name": (
        lambda: of_networkd(f"[Match]\nName=enp1s0\n{DHCP}"),
        f"warning pinned-name {NETWORK}:2", True,
    ),
    "networkd mac in a drop-in": (
        lambda: in_drop_in(f"[Match]\nType=ether\n{ADDRESS}", f"# this card\n\n[Match]\nMACAddress={MAC}\n"),
        f"warning pinned-mac {DROP_IN}:4", True,
    ),
    "networkd name that a drop-in resets": (
        lambda: in_drop_in(f"[Match]\nName=ens3\n{DHCP}", "[Match]\nName=\nName=enp1s0\n"),
        f"warning pinned-name {DROP_IN}:3", True,
    ),
    "networkd name over two lines": (
        lambda: of_networkd(f"[Match]\nName=ens3 \\\n ens4\n{DHCP}"),
        f"warning pinned-name {NETWORK}:2", False,
    ),
    "netplan mac in a second file": (
        lambda: with_file(
            make.with_netplan(plan("    lan:\n      dhcp4: true\n")), "/etc/netplan/90-mac.yaml",
            plan(f"    lan:\n      match:\n        macaddress: '{MAC}'\n"),
        ),
        "warning pinned-mac /etc/netplan/90-mac.yaml:6", True,
    ),
    "netplan mac of an id without a card's name, in a second file": (
        lambda: with_file(
            make.with_netplan(plan("    lan:\n      match: {}\n      dhcp4: true\n")),
            "/etc/netplan/90-mac.yaml",
            plan(f"    lan:\n      match:\n        macaddress: '{MAC}'\n"),
        ),
        "warning pinned-mac /etc/netplan/90-mac.yaml:6", True,
    ),
    "keyfile mac": (
        lambda: keyfile(f"[ethernet]\nmac-address={MAC}\n"), f"warning pinned-mac {KEYFILE}:6", True,
    ),
    "keyfile mac and name": (
        lambda: keyfile(f"interface-name=ens192\n[ethernet]\nmac-address={MAC.upper()}\n"),
        f"warning pinned-mac {KEYFILE}:7", True,
    ),
    "keyfile name": (
        lambda: keyfile("interface-name=ens192\n"), f"warning pinned-name {KEYFILE}:5", True,
    ),
    "keyfile name, static, although others get DHCP": (
        lambda: keyfile(
            "interface-name=ens192\n", server=False, method="manual\naddress1=10.0.0.5/24,10.0.0.1"
        ),
        f"warning pinned-name {KEYFILE}:5", True,
    ),
    "keyfile match": (
        lambda: keyfile("[match]\ninterface-name=ens192;\n"), f"warning pinned-name {KEYFILE}:6", True,
    ),
    "ifcfg HWADDR": (
        lambda: ifcfg(f'TYPE=Ethernet\nBOOTPROTO=dhcp\nNAME=lan\nDEVICE=eth0\nHWADDR="{MAC}"\nONBOOT=yes\n'),
        f"warning pinned-mac {IFCFG}:5", True,
    ),
    "ifcfg DEVICE": (
        lambda: ifcfg(f"TYPE=Ethernet\n{STATIC}DEVICE=ens192\n"),
        f"warning pinned-name {IFCFG}:6", True,
    ),
    "network scripts HWADDR": (
        lambda: scripts(f"DEVICE=eth0\nHWADDR={MAC}\nBOOTPROTO=dhcp\nONBOOT=yes\n"),
        "warning pinned-mac /etc/sysconfig/network-scripts/ifcfg-eth0:2", True,
    ),
    "network scripts slot": (
        lambda: scripts("DEVICE=ens192\nBOOTPROTO=dhcp\nONBOOT=yes\n", "quiet", "ens192"),
        "warning pinned-name /etc/sysconfig/network-scripts/ifcfg-ens192:1", False,
    ),
    "ifupdown auto": (
        lambda: make.ifupdown("auto ens192\niface ens192 inet dhcp\n"),
        "warning pinned-name /etc/network/interfaces:4", True,
    ),
    "ifupdown hotplug": (
        lambda: make.ifupdown("allow-hotplug ens192\niface ens192 inet static\n  address 10.0.0.5/24\n"),
        "warning pinned-name /etc/network/interfaces:4", True,
    ),
    "ifupdown bridge": (
        lambda: make.ifupdown(BRIDGE),
        "warning pinned-name /etc/network/interfaces:7", False,
    ),
    "wicked": (
        lambda: make.wicked("ens192", "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n"),
        "warning pinned-name /etc/sysconfig/network/ifcfg-ens192", False,
    ),
    "old udev rules with their generator": (
        lambda: rules_of_udev(make.ifupdown(ETH0, options="net.ifnames=0"), generator=True),
        "warning pinned-mac /etc/udev/rules.d/70-persistent-net.rules:2", True,
    ),
    "udev rules and predictable names": (
        lambda: rules_of_udev(make.ifupdown("auto eth0\niface eth0 inet dhcp\n")),
        "warning pinned-mac /etc/udev/rules.d/70-persistent-net.rules:2", False,
    ),
    "a .link file": (
        lambda: with_file(
            with_file(make.networkd(), NETWORK, f"[Match]\nName=lan0\n{DHCP}"),
            "/etc/systemd/network/10-lan.link", f"[Match]\nMACAddress={MAC}\n[Link]\nName=lan0\n",
        ),
        "warning pinned-mac /etc/systemd/network/10-lan.link:4", False,
    ),
    "cloud-init told to leave the network": (
        lambda: with_file(
            with_file(
                make.cloud_init(make.with_netplan()), "/etc/netplan/50-cloud-init.yaml",
                plan("    eth0:\n" + BLOCK), 0o600,
            ),
            "/etc/cloud/cloud.cfg.d/99-disable-network-config.cfg", "network: {config: disabled}\n",
        ),
        "warning pinned-mac /etc/netplan/50-cloud-init.yaml:6", True,
    ),
    "what the installer hands to cloud-init": (
        lambda: with_file(
            make.cloud_init(make.with_netplan()), "/etc/cloud/cloud.cfg.d/90-installer-network.cfg",
            plan("    ens192:\n      dhcp4: true\n"),
        ),
        "warning pinned-name /etc/cloud/cloud.cfg.d/90-installer-network.cfg:4", False,
    ),
    "version 1 with a MAC": (
        lambda: with_file(
            make.cloud_init(make.with_netplan()), "/etc/cloud/cloud.cfg.d/90-installer-network.cfg",
            "network:\n  version: 1\n  config:\n  - type: physical\n    name: eth0\n"
            f"    mac_address: '{MAC}'\n    subnets: [{{type: dhcp}}]\n",
        ),
        "warning pinned-mac /etc/cloud/cloud.cfg.d/90-installer-network.cfg:6", False,
    ),
    "version 1 with a name": (
        lambda: with_file(
            make.cloud_init(make.with_netplan()), "/etc/cloud/cloud.cfg.d/90-installer-network.cfg",
            "network:\n  version: 1\n  config:\n  - type: physical\n    name: ens192\n"
            "    subnets:\n    - {type: static, address: 10.0.0.5, netmask: 255.255.255.0}\n",
        ),
        "warning pinned-name /etc/cloud/cloud.cfg.d/90-installer-network.cfg:5", False,
    ),
    "a seed with a MAC": (
        lambda: with_file(
            seeded(make.cloud_init(make.with_netplan())), "/var/lib/cloud/seed/nocloud/network-config",
            f"version: 2\nethernets:\n  lan:\n    match: {{macaddress: '{MAC}'}}\n    dhcp4: true\n",
        ),
        "warning pinned-mac /var/lib/cloud/seed/nocloud/network-config:4", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PINNED)
def test_configuration_for_one_card_only_is_found(case: str) -> None:
    guest, expected, offered = PINNED[case]
    assert told(guest()) == [expected]
    (finding,) = findings(guest())
    assert finding.repair is not None
    assert (finding.repair.safety is Safety.REVIEW) == offered, finding.repair
    assert bool(finding.repair.changes) == offered


@pytest.mark.parametrize("case", [case for case, (_, _, offered) in PINNED.items() if offered])
def test_after_the_repair_any_card_has_it_and_addresses_are_untouched(case: str) -> None:
    guest = PINNED[case][0]()
    before = {path: node.content for path, node in guest.nodes.items()}
    repaired(guest)
    assert told(guest) == []
    (path,) = [p for p, node in guest.nodes.items() if before[p] != node.content]
    for word in (b"10.0.0.5", b"10.0.0.1", b"dhcp", b"DHCP"):
        assert before[path].count(word) == guest.nodes[path].content.count(word)


HEALTHY: dict[str, Callable[[], MemoryGuest]] = {
    "networkd any": lambda: of_networkd("[Match]\nType=ether\n" + DHCP),
    "networkd pattern": lambda: of_networkd("[Match]\nName=en* eth*\n" + DHCP),
    "networkd without a match": lambda: of_networkd("[Match]\n" + DHCP),
    "a pinned one beside one for any": lambda: with_file(
        of_networkd(f"[Match]\nMACAddress={MAC}\n{ADDRESS}"),
        "/etc/systemd/network/90-any.network", "[Match]\nName=e*\n" + DHCP,
    ),
    "netplan pattern": lambda: make.with_netplan(plan("    any: {match: {name: 'en*'}, dhcp4: true}\n")),
    "netplan empty match": lambda: make.with_netplan(plan("    any: {match: {}, dhcp4: true}\n")),
    "keyfile for any": lambda: keyfile(""),
    "keyfile pattern": lambda: keyfile("[match]\ninterface-name=en*;eth*\n"),
    "no profile, DHCP by itself": lambda: make.network_manager(server=False),
    "ifcfg for any": lambda: ifcfg("TYPE=Ethernet\nBOOTPROTO=dhcp\nNAME=lan\n"),
    "eth0 with net.ifnames=0": lambda: scripts("DEVICE=eth0\nBOOTPROTO=dhcp\nONBOOT=yes\n"),
    "eth0 with kernel names by a link": lambda: (
        _null_link(make.ifupdown("auto eth0\niface eth0 inet dhcp\n"))
    ),
    "udev rules without generator, kernel names": lambda: rules_of_udev(
        make.ifupdown("auto eth0\niface eth0 inet dhcp\n", options="net.ifnames=0")
    ),
    "ifupdown pattern": lambda: make.ifupdown("auto /en*=lan\niface lan inet dhcp\n"),
    "cloud-init writes it again": lambda: with_file(
        make.cloud_init(make.with_netplan()), "/etc/netplan/50-cloud-init.yaml",
        plan(f"    eth0: {{match: {{macaddress: '{MAC}'}}, set-name: eth0, dhcp4: true}}\n"), 0o600,
    ),
    "version 1, without a card": lambda: with_file(
        make.cloud_init(make.with_netplan()), "/etc/cloud/cloud.cfg.d/90-installer-network.cfg",
        "network:\n  version: 1\n  config:\n  - {type: physical, name: eth9, subnets: [{type: manual}]}\n",
    ),
    "version 1, any card": lambda: with_file(
        make.cloud_init(make.with_netplan()), "/etc/cloud/cloud.cfg.d/90-installer-network.cfg",
        "network:\n  version: 1\n  config:\n  - {type: nameserver}\n  - x\n  - {type: bond}\n",
    ),
    "a seed on a volume with a MAC": lambda: seed_volume(make.cloud_init(make.with_netplan())),
    "cloud-init, nothing written yet": lambda: make.cloud_init(make.with_netplan()),
}  # fmt: skip


def _null_link(guest: MemoryGuest) -> MemoryGuest:
    guest.link("/etc/systemd/network/99-default.link", "/dev/null")
    return guest


@pytest.mark.parametrize("case", HEALTHY)
def test_what_any_card_gets_is_silent(case: str) -> None:
    assert told(HEALTHY[case]()) == []


NOTED: dict[str, tuple[Callable[[], MemoryGuest], str]] = {
    "NetworkManager asks DHCP all the same": (
        lambda: keyfile("interface-name=ens192\n", server=False), f"note pinned-name {KEYFILE}:5",
    ),
    "eth0 where names are predictable": (
        lambda: make.ifupdown("auto eth0\niface eth0 inet dhcp\n"),
        "note pinned-name /etc/network/interfaces:4",
    ),
    "something else may do it": (
        lambda: _dhcpcd(make.ifupdown("auto ens192\niface ens192 inet dhcp\n")),
        "note pinned-name /etc/network/interfaces:4",
    ),
    "the kernel asks DHCP itself": (
        lambda: of_networkd(f"[Match]\nName=ens3\n{DHCP}", options="ip=dhcp"),
        f"note pinned-name {NETWORK}:2",
    ),
}  # fmt: skip


def _dhcpcd(guest: MemoryGuest) -> MemoryGuest:
    make.service(guest, "dhcpcd.service", "/usr/sbin/dhcpcd")
    return guest


@pytest.mark.parametrize("case", NOTED)
def test_where_another_card_may_have_an_address_it_is_a_note(case: str) -> None:
    guest, expected = NOTED[case]
    assert told(guest()) == [expected]


def test_what_is_not_in_force_is_pinned_all_the_same() -> None:
    guest = with_file(
        make.base(make.ROCKY), IFCFG, f"DEVICE=eth0\nHWADDR={MAC}\nBOOTPROTO=dhcp\nONBOOT=yes\n"
    )
    assert told(guest) == [f"error no-configuration {IFCFG}", f"warning pinned-mac {IFCFG}:2"]


def test_with_several_cards_a_person_decides() -> None:
    guest = make.ifupdown(
        "auto ens192 ens224\niface ens192 inet dhcp\niface ens224 inet static\n address 10.1.0.5/24\n"
    )
    found = findings(guest)
    assert [f.rule for f in found] == ["network/pinned-name"] * 2
    assert {f.repair.safety for f in found if f.repair is not None} == {Safety.MANUAL}


def test_each_edit_is_made_in_the_file_that_has_the_line() -> None:
    guest = in_drop_in(f"[Match]\nName=ens3\n{ADDRESS}", f"\n\n\n[Match]\nMACAddress={MAC}\n")
    assert told(guest) == [f"warning pinned-mac {NETWORK}:2"]
    repaired(guest)
    assert told(guest) == []
    assert guest.nodes[GuestPath(NETWORK)].content == f"[Match]\nName=en* eth*\n{ADDRESS}".encode()
    assert guest.nodes[GuestPath(DROP_IN)].content == b"\n\n\n[Match]\n"


def test_a_name_that_a_drop_in_of_a_link_file_gives() -> None:
    guest = with_file(
        of_networkd(f"[Match]\nName=lan0\n{DHCP}"), "/etc/systemd/network/10-lan.link", "[Match]\n[Link]\n"
    )
    drop_in = "/etc/systemd/network/10-lan.link.d/card.conf"
    guest.file(drop_in, f"[Match]\nMACAddress={MAC}\n[Link]\nName=lan0\n")
    assert told(guest) == [f"warning pinned-mac {drop_in}:4"]

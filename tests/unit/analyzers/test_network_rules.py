"""Rules network/no-configuration, network/bad-configuration and network/resolver, on in-memory guests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, MakeLink, RemoveFile, Safety, SetMode, SetOwner
from tests.unit.analyzers import network_guest as make
from tests.unit.analyzers.network_guest import findings, inconclusive, repaired, told

ANY = "[Match]\nType=ether\n[Network]\nDHCP=yes\n"
NETWORK = "/etc/systemd/network/10-lan.network"
KEYFILE = "/etc/NetworkManager/system-connections/lan.nmconnection"
IFCFG = "/etc/sysconfig/network-scripts/ifcfg-lan"
NETPLAN = "/etc/netplan/01-netcfg.yaml"
PLAN = "network: {version: 2, ethernets: {any: {match: {name: 'e*'}, dhcp4: true}}}\n"
PROFILE = "[connection]\nid=lan\nuuid=1\ntype=ethernet\n[ipv4]\nmethod=auto\n"


def with_file(guest: MemoryGuest, path: str, text: str, mode: int = 0o644, uid: int = 0) -> MemoryGuest:
    guest.file(path, text, mode=mode, uid=uid)
    return guest


def masked(guest: MemoryGuest, unit: str) -> MemoryGuest:
    guest.link(f"/etc/systemd/system/{unit}", "/dev/null")
    return guest


def without_kernel(guest: MemoryGuest) -> MemoryGuest:
    guest.remove("/boot")
    return guest


def profile(
    extra: str = "", *, mode: int = 0o600, uid: int = 0, server: bool = True, text: str = PROFILE
) -> MemoryGuest:
    return with_file(make.network_manager(server=server), KEYFILE, text + extra, mode, uid)


NOT_CONFIGURED: dict[str, tuple[Callable[[], MemoryGuest], str]] = {
    "networkd is not enabled": (
        lambda: with_file(make.networkd(enabled=False), NETWORK, ANY), f"error no-configuration {NETWORK}",
    ),
    "networkd is masked": (
        lambda: masked(with_file(make.networkd(), NETWORK, ANY), "systemd-networkd.service"),
        f"error no-configuration {NETWORK}",
    ),
    "networkd is not installed": (
        lambda: with_file(make.base(), NETWORK, ANY), f"error no-configuration {NETWORK}",
    ),
    "netplan's networkd is masked": (
        lambda: masked(make.with_netplan(PLAN), "systemd-networkd.service"),
        f"error no-configuration {NETPLAN}",
    ),
    "netplan is not installed": (
        lambda: with_file(make.networkd(), NETPLAN, PLAN), f"error no-configuration {NETPLAN}",
    ),
    "netplan writes for NetworkManager, which is not there": (
        lambda: make.with_netplan(
            PLAN.replace("version: 2", "version: 2, renderer: NetworkManager"), enabled=True
        ),
        f"error no-configuration {NETPLAN}",
    ),
    "NetworkManager is not enabled": (
        lambda: with_file(make.network_manager(enabled=False), KEYFILE, PROFILE, 0o600),
        f"error no-configuration {KEYFILE}",
    ),
    "a NetworkManager without the ifcfg plugin": (
        lambda: with_file(make.network_manager(), IFCFG, "DEVICE=eth0\nBOOTPROTO=dhcp\n"),
        f"error no-configuration {IFCFG}",
    ),
    "NetworkManager leaves every card alone": (
        lambda: with_file(
            profile(), "/etc/NetworkManager/conf.d/99.conf", "[keyfile]\nunmanaged-devices=*\n"
        ),
        f"error no-configuration {KEYFILE}",
    ),
    "ifupdown is not installed": (
        lambda: with_file(make.base(), "/etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n"),
        "error no-configuration /etc/network/interfaces",
    ),
    "networking is not enabled": (
        lambda: make.ifupdown("auto ens3\niface ens3 inet dhcp\n", enabled=False),
        "error no-configuration /etc/network/interfaces",
    ),
    "a pattern of slot names where cards are called eth0": (
        lambda: with_file(
            make.networkd(options="net.ifnames=0"), NETWORK, "[Match]\nName=en*\n[Network]\nDHCP=yes\n"
        ),
        f"error no-configuration {NETWORK}:2",
    ),
    "slot names where cards are called eth0": (
        lambda: make.ifupdown("auto ens192\niface ens192 inet dhcp\n", options="net.ifnames=0"),
        "error no-configuration /etc/network/interfaces:4",
    ),
    "ONBOOT=no": (
        lambda: with_file(
            make.ifcfg_plugin(make.network_manager()), IFCFG, "DEVICE=ens3\nBOOTPROTO=dhcp\nONBOOT=no\n"
        ),
        f"warning no-configuration {IFCFG}",
    ),
    "autoconnect=false": (
        lambda: profile(text=PROFILE.replace("[ipv4]", "autoconnect=false\n[ipv4]")),
        f"warning no-configuration {KEYFILE}",
    ),
    "nobody brings it up": (
        lambda: make.ifupdown("iface ens3 inet dhcp\n"), "warning no-configuration /etc/network/interfaces",
    ),
    "only the loopback, with sshd": (
        lambda: make.ifupdown(""), "warning no-configuration /etc/network/interfaces",
    ),
    "a NetworkManager that does nothing by itself, and no profile": (
        make.network_manager, "warning no-configuration /etc/NetworkManager/system-connections",
    ),
    "two managers for every card": (
        lambda: with_file(
            _with_manager(with_file(make.networkd(), NETWORK, ANY)), KEYFILE, PROFILE, 0o600
        ),
        f"warning no-configuration {KEYFILE}",
    ),
    "two managers for one name": (
        lambda: with_file(
            _with_networkd(make.ifupdown("auto ens3\niface ens3 inet dhcp\n")), NETWORK,
            "[Match]\nName=ens3\n[Network]\nDHCP=yes\n",
        ),
        "warning no-configuration /etc/network/interfaces:5",
    ),
}  # fmt: skip


def _with_manager(guest: MemoryGuest) -> MemoryGuest:
    make.service(guest, "NetworkManager.service", "/usr/sbin/NetworkManager")
    return guest


def _with_networkd(guest: MemoryGuest) -> MemoryGuest:
    make.service(guest, "systemd-networkd.service", "/usr/lib/systemd/systemd-networkd")
    return guest


@pytest.mark.parametrize("case", NOT_CONFIGURED)
def test_a_guest_whose_cards_get_nothing_is_found(case: str) -> None:
    guest, expected = NOT_CONFIGURED[case]
    assert [t for t in told(guest()) if "no-configuration" in t][:1] == [expected]


def without_sshd(guest: MemoryGuest) -> MemoryGuest:
    guest.remove(f"{make.WANTS}/sshd.service")
    return guest


NOTED: dict[str, Callable[[], MemoryGuest]] = {
    "no manager at all": make.base,
    "a container": lambda: without_kernel(with_file(make.networkd(enabled=False), NETWORK, ANY)),
    "only the loopback, nobody logs in": lambda: without_sshd(make.ifupdown("")),
    "dhcpcd": lambda: _other(make.base(), "dhcpcd.service", "/usr/sbin/dhcpcd"),
    "connman": lambda: _other(make.base(), "connman.service", "/usr/sbin/connmand"),
    "a mapping script": lambda: make.ifupdown("mapping en*\n  script /x\n"),
    "a shell that does it": lambda: with_file(
        make.base(), f"{make.WANTS}/lan.service",
        "[Service]\nExecStart=/bin/sh -c 'ip addr add 10.0.0.5/24 dev ens3'\n",
    ),
    "rc.local": lambda: with_file(make.base(), "/etc/rc.local", "#!/bin/sh\n/sbin/dhclient -1\n"),
    "ip= of the command line": lambda: make.base(options="ip=dhcp"),
    "ifcfg files that nobody reads, beside DHCP by itself": lambda: with_file(
        make.network_manager(server=False), IFCFG, "DEVICE=eth0\nBOOTPROTO=dhcp\n"
    ),
}  # fmt: skip


def _other(guest: MemoryGuest, unit: str, program: str) -> MemoryGuest:
    make.service(guest, unit, program)
    return guest


@pytest.mark.parametrize("case", NOTED)
def test_what_cannot_be_told_is_a_note(case: str) -> None:
    assert [t.split()[:2] for t in told(NOTED[case]())] == [["note", "no-configuration"]]


SILENT: dict[str, Callable[[], MemoryGuest]] = {
    "netplan starts networkd by itself": lambda: make.with_netplan(PLAN),
    "cloud-init by its generator": lambda: cloud_by_generator(),  # noqa: PLW0108
    "cloud-init": lambda: make.cloud_init(make.base()),
    "NetworkManager without a profile": lambda: make.network_manager(server=False),
    "ifcfg files of the plugin": lambda: with_file(
        make.ifcfg_plugin(make.network_manager()), IFCFG, "BOOTPROTO=dhcp\nONBOOT=yes\n"
    ),
    "NetworkManager beside ifupdown": lambda: with_file(
        _with_manager(make.ifupdown("auto /en*=lan\niface lan inet dhcp\n")), KEYFILE, PROFILE, 0o600
    ),
    "allow-hotplug without networking.service": lambda: make.ifupdown(
        "allow-hotplug /en*=lan\niface lan inet dhcp\n", enabled=False
    ),
    "Alpine": lambda: alpine(),  # noqa: PLW0108
}  # fmt: skip


def cloud_by_generator() -> MemoryGuest:
    guest = make.cloud_init(make.base())
    guest.file("/usr/lib/systemd/system-generators/cloud-init-generator", b"x")
    guest.remove(f"{make.WANTS}/cloud-init-local.service")
    unit = f"{make.UNITS}/cloud-init-local.service"
    guest.link("/etc/systemd/system/cloud-init.target.wants/cloud-init-local.service", unit)
    return guest


def alpine() -> MemoryGuest:
    guest = MemoryGuest(os=make.ALPINE)
    guest.file("/sbin/ifup", b"x")
    guest.file(
        "/etc/network/interfaces", "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n"
    )
    guest.file("/boot/vmlinuz-virt", b"x")
    guest.link("/etc/runlevels/boot/networking", "/etc/init.d/networking")
    return guest


@pytest.mark.parametrize("case", SILENT)
def test_a_configured_guest_is_silent(case: str) -> None:
    assert told(SILENT[case]()) == []


def test_the_manager_is_enabled_or_unmasked() -> None:
    unit = "systemd-networkd.service"
    wanted = MakeLink(path=GuestPath(f"{make.WANTS}/{unit}"), target=f"{make.UNITS}/{unit}")
    (finding,) = findings(with_file(make.networkd(enabled=False), NETWORK, ANY))
    assert finding.repair is not None
    assert (finding.repair.safety, finding.repair.changes) == (Safety.REVIEW, (wanted,))
    (finding,) = findings(masked(with_file(make.networkd(), NETWORK, ANY), unit))
    assert finding.repair is not None
    assert finding.repair.changes == (
        RemoveFile(path=GuestPath(f"/etc/systemd/system/{unit}"), backup=False),
    )


@pytest.mark.parametrize("case", ["ONBOOT=no", "autoconnect=false"])
def test_what_waits_is_started_at_boot(case: str) -> None:
    guest = repaired(NOT_CONFIGURED[case][0]())
    assert [t for t in told(guest) if "no-configuration" in t] == []


# --- what a manager refuses ------------------------------------------------------------------


def plan(body: str) -> str:
    return f"network:\n  version: 2\n  ethernets:\n    any:\n      match: {{name: 'e*'}}\n{body}"


def of_networkd(body: str) -> MemoryGuest:
    return with_file(make.networkd(), NETWORK, f"[Match]\nName=e*\n[Network]\n{body}")


STATIC = "auto /e*=lan\niface lan inet static\n  address 10.0.0.5/24\n"
REFUSED: dict[str, tuple[Callable[[], MemoryGuest], str]] = {
    "a tab": (lambda: make.with_netplan(plan("\tdhcp4: true\n")), f"error bad-configuration {NETPLAN}:6"),
    "bad indentation": (
        lambda: make.with_netplan(plan("      dhcp4: true\n    x: y: z\n")),
        f"error bad-configuration {NETPLAN}:7",
    ),
    "an unknown key": (
        lambda: make.with_netplan(plan("      dchp4: true\n")),
        f"error bad-configuration {NETPLAN}:6",
    ),
    "no prefix": (
        lambda: make.with_netplan(plan("      addresses: [10.0.0.5]\n")),
        f"error bad-configuration {NETPLAN}:6",
    ),
    "version 1": (
        lambda: make.with_netplan("network: {version: 1}\n"),
        f"error bad-configuration {NETPLAN}:1",
    ),
    "a port that nobody defines": (
        lambda: make.with_netplan(plan("      dhcp4: true\n  bridges:\n    br0: {interfaces: [ens9]}\n")),
        f"error bad-configuration {NETPLAN}:8",
    ),
    "netplan's gateway": (
        lambda: make.with_netplan(plan("      addresses: [10.0.0.5/24]\n      gateway4: 10.0.1.1\n")),
        f"error bad-configuration {NETPLAN}:7",
    ),
    "a key file that others can read": (lambda: profile(mode=0o644), f"error bad-configuration {KEYFILE}"),
    "a key file of somebody": (lambda: profile(uid=1000), f"error bad-configuration {KEYFILE}"),
    "a key file that others can read, with DHCP by itself": (
        lambda: profile(mode=0o644, server=False), f"warning bad-configuration {KEYFILE}",
    ),
    "a .network file that networkd cannot read": (
        lambda: with_file(make.networkd(), NETWORK, ANY, 0o600), f"error bad-configuration {NETWORK}",
    ),
    "the only configuration, of a manager that is not there": (
        lambda: with_file(make.base(make.ROCKY), KEYFILE, PROFILE, 0o644),
        f"error bad-configuration {KEYFILE}",
    ),
    "a broken key file": (lambda: profile("nonsense\n"), f"error bad-configuration {KEYFILE}:7"),
    "manual without an address": (
        lambda: profile(text=PROFILE.replace("auto", "manual")), f"error bad-configuration {KEYFILE}:6",
    ),
    "a drop-in that networkd cannot read": (
        lambda: with_file(with_file(make.networkd(), NETWORK, ANY), f"{NETWORK}.d/a.conf", "", 0o600),
        f"error bad-configuration {NETWORK}.d/a.conf",
    ),
    "networkd's address in a drop-in": (
        lambda: with_file(of_networkd(""), f"{NETWORK}.d/a.conf", "\n[Network]\nAddress=10.0.0.500/24\n"),
        f"error bad-configuration {NETWORK}.d/a.conf:3",
    ),
    "networkd's gateway in a drop-in": (
        lambda: with_file(
            of_networkd("DHCP=yes\nAddress=10.0.0.5/24\n"), f"{NETWORK}.d/a.conf",
            "[Network]\nGateway=10.0.1.1\n",
        ),
        f"warning bad-configuration {NETWORK}.d/a.conf:2",
    ),
    "networkd's address": (
        lambda: of_networkd("Address=10.0.0.500/24\n"),
        f"error bad-configuration {NETWORK}:4",
    ),
    "networkd's gateway": (
        lambda: of_networkd("Address=10.0.0.5/24\nGateway=10.0.1.1\n"),
        f"error bad-configuration {NETWORK}:5",
    ),
    "networkd's gateway, with DHCP": (
        lambda: of_networkd("DHCP=yes\nAddress=10.0.0.5/24\nGateway=10.0.1.1\n"),
        f"warning bad-configuration {NETWORK}:6",
    ),
    "ifupdown's gateway": (
        lambda: make.ifupdown(STATIC + "  gateway 10.0.1.1\n"),
        "error bad-configuration /etc/network/interfaces:7",
    ),
    "ifupdown's address": (
        lambda: make.ifupdown(STATIC.replace("10.0.0.5/24", "10.0.0")),
        "error bad-configuration /etc/network/interfaces:6",
    ),
    "ifupdown's grammar": (
        lambda: make.ifupdown(STATIC + "iface x inet\n"), "error bad-configuration /etc/network/interfaces:7",
    ),
    "a gateway in ifcfg": (
        lambda: with_file(
            make.ifcfg_plugin(make.network_manager()), IFCFG,
            "IPADDR=10.0.0.5\nNETMASK=255.255.0.0\nGATEWAY=10.1.1.1\n"
        ),
        f"error bad-configuration {IFCFG}:3",
    ),
    "a file of a manager that is not there": (
        lambda: with_file(of_networkd("DHCP=yes\n"), KEYFILE, PROFILE, 0o644),
        f"note bad-configuration {KEYFILE}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_manager_refuses_is_found_with_its_line(case: str) -> None:
    guest, expected = REFUSED[case]
    assert told(guest()) == [expected]


ACCEPTED: dict[str, Callable[[], MemoryGuest]] = {
    "an on-link gateway": lambda: make.with_netplan(
        plan("      addresses: [10.0.0.5/32]\n      routes: [{to: default, via: 10.9.0.1, on-link: true}]\n")
    ),
    "a single address": lambda: of_networkd("Address=10.0.0.5/32\nGateway=10.0.1.1\n"),
    "a link-local gateway": lambda: of_networkd("Address=2001:db8::5/64\nGateway=fe80::1\n"),
    "point to point": lambda: make.ifupdown(STATIC + "  gateway 10.0.1.1\n  pointopoint 10.0.1.1\n"),
    "keys of a newer netplan": lambda: (
        make.with_netplan(plan("      dhcp4: true\n      infiniband-mode: datagram\n"))
    ),
    "a rescue copy": lambda: with_file(profile(), f"{KEYFILE}~", "nonsense", 0o644),
    "netplan readable by all": lambda: with_file(make.with_netplan(), NETPLAN, PLAN, 0o644),
}  # fmt: skip


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_a_manager_accepts_is_silent(case: str) -> None:
    assert told(ACCEPTED[case]()) == []


def test_a_key_file_gets_its_mode_and_owner() -> None:
    (finding,) = findings(profile(mode=0o644, uid=1000))
    assert finding.repair is not None
    assert finding.repair.safety is Safety.SAFE
    assert finding.repair.changes == (
        SetOwner(path=GuestPath(KEYFILE), before=(1000, 0), after=(0, 0)),
        SetMode(path=GuestPath(KEYFILE), before=0o644, after=0o600),
    )
    (finding,) = findings(profile(mode=0o644, server=False))
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW


# --- the resolver ------------------------------------------------------------------------------


def resolved(*, enabled: bool = True) -> MemoryGuest:
    guest = of_networkd("DHCP=yes\n")
    make.service(guest, "systemd-resolved.service", "/usr/lib/systemd/systemd-resolved", enabled=enabled)
    return guest


def resolv_link(guest: MemoryGuest, target: str) -> MemoryGuest:
    guest.remove("/etc/resolv.conf")
    guest.link("/etc/resolv.conf", target)
    return guest


STUB = "../run/systemd/resolve/stub-resolv.conf"
UNRESOLVED: dict[str, tuple[Callable[[], MemoryGuest], str]] = {
    "stub, resolved is off": (
        lambda: resolv_link(resolved(enabled=False), STUB),
        "warning resolver /etc/resolv.conf",
    ),
    "stub, no resolved": (
        lambda: resolv_link(of_networkd("DHCP=yes\n"), STUB),
        "warning resolver /etc/resolv.conf",
    ),
    "stub by /var/run": (
        lambda: resolv_link(of_networkd("DHCP=yes\n"), "/var/run/systemd/resolve/resolv.conf"),
        "warning resolver /etc/resolv.conf",
    ),
    "a file that asks the stub": (
        lambda: with_file(resolved(enabled=False), "/etc/resolv.conf", "nameserver 127.0.0.53\n"),
        "warning resolver /etc/resolv.conf",
    ),
    "a link to nothing": (
        lambda: resolv_link(of_networkd("DHCP=yes\n"), "/etc/resolv.conf.static"),
        "warning resolver /etc/resolv.conf",
    ),
    "NetworkManager's file without it": (
        lambda: resolv_link(of_networkd("DHCP=yes\n"), "/run/NetworkManager/resolv.conf"),
        "warning resolver /etc/resolv.conf",
    ),
    "a maker that nobody knows": (
        lambda: resolv_link(of_networkd("DHCP=yes\n"), "/run/mine/resolv.conf"),
        "note resolver /etc/resolv.conf",
    ),
    "hosts without dns": (
        lambda: with_file(of_networkd("DHCP=yes\n"), "/etc/nsswitch.conf", "passwd: files\nhosts: files\n"),
        "warning resolver /etc/nsswitch.conf:2",
    ),
    "hosts without files": (
        lambda: with_file(of_networkd("DHCP=yes\n"), "/etc/nsswitch.conf", "hosts:   dns\n"),
        "warning resolver /etc/nsswitch.conf:1",
    ),
}  # fmt: skip
RESOLVED: dict[str, Callable[[], MemoryGuest]] = {
    "stub": lambda: resolv_link(resolved(), STUB),
    "a file that asks the stub": lambda: with_file(resolved(), "/etc/resolv.conf", "nameserver 127.0.0.53\n"),
    "a server of its own": lambda: (
        with_file(of_networkd("DHCP=yes\n"), "/etc/resolv.conf", "nameserver 127.0.0.1\n")
    ),
    "two servers": lambda: with_file(
        resolved(enabled=False), "/etc/resolv.conf", "nameserver 127.0.0.53\nnameserver 10.0.0.1\n"
    ),
    "no resolv.conf": lambda: resolv_link_gone(of_networkd("DHCP=yes\n")),
    "mdns and actions": lambda: with_file(
        of_networkd("DHCP=yes\n"), "/etc/nsswitch.conf", "hosts: files mdns4_minimal [NOTFOUND=return] dns\n"
    ),
    "Fedora": lambda: with_file(
        of_networkd("DHCP=yes\n"), "/etc/nsswitch.conf",
        "hosts: files myhostname resolve [!UNAVAIL=return] dns\n",
    ),
    "no nsswitch.conf": lambda: _without(of_networkd("DHCP=yes\n"), "/etc/nsswitch.conf"),
}  # fmt: skip


def resolv_link_gone(guest: MemoryGuest) -> MemoryGuest:
    return _without(guest, "/etc/resolv.conf")


def _without(guest: MemoryGuest, path: str) -> MemoryGuest:
    guest.remove(path)
    return guest


@pytest.mark.parametrize("case", UNRESOLVED)
def test_a_resolver_that_finds_no_name(case: str) -> None:
    guest, expected = UNRESOLVED[case]
    assert told(guest()) == [expected]


@pytest.mark.parametrize("case", RESOLVED)
def test_a_resolver_that_works_is_silent(case: str) -> None:
    assert told(RESOLVED[case]()) == []


def test_the_hosts_line_gets_its_word() -> None:
    for case, line in (
        ("hosts without dns", b"hosts: files dns\n"),
        ("hosts without files", b"hosts: files dns\n"),
    ):
        guest = repaired(UNRESOLVED[case][0]())
        assert guest.nodes[GuestPath("/etc/nsswitch.conf")].content.endswith(line)
        assert told(guest) == []


# --- unreadable and hostile --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("guest", "path"),
    [
        (lambda: of_networkd("DHCP=yes\n"), NETWORK),
        (lambda: make.with_netplan(PLAN), NETPLAN),
        (profile, KEYFILE),
        (lambda: make.ifupdown(STATIC), "/etc/network/interfaces"),
        (lambda: of_networkd("DHCP=yes\n"), "/etc/nsswitch.conf"),
    ],
)
def test_what_cannot_be_read_is_inconclusive_and_no_error(
    guest: Callable[[], MemoryGuest], path: str
) -> None:
    broken = guest()
    broken.nodes[GuestPath(path)].unreadable = "input/output error"
    assert any(path in each.reason for each in inconclusive(broken))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\n" + "b: [" + "*a," * 500 + "]\n",
        "[" * 2000,
        "network: &n {version: 2, ethernets: {ens3: *n}}\n",
        "x" * 300_000,
    ],
)
def test_yaml_bombs_end_soon_and_are_no_health(text: str) -> None:
    guest = make.with_netplan(text)
    assert inconclusive(guest) or any(t.startswith("error bad-configuration") for t in told(guest))


def test_thousands_of_files_and_lines_are_bounded() -> None:
    many = make.networkd()
    for number in range(600):
        many.file(f"/etc/systemd/network/{number}.network", "[Match]\nName=x\n")
    assert inconclusive(many)
    loop = make.ifupdown("source /etc/network/interfaces\nsource-directory /etc/network\n" + STATIC)
    assert told(loop) == []
    bad = make.ifupdown("".join(f"iface e{n} inet\n" for n in range(400)) + STATIC)
    assert len(told(bad)) == 21

"""Guests with the managers of their network, as the distributions install and enable them."""

from __future__ import annotations

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.network import ANALYZER
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, Inconclusive

UNITS = "/usr/lib/systemd/system"
WANTS = "/etc/systemd/system/multi-user.target.wants"
ROCKY = OperatingSystem(
    "rocky", "9.4", "Rocky Linux 9.4", "x86_64", "rpm", "guest", ("rhel", "centos", "fedora")
)
SUSE = OperatingSystem("sles", "15.5", "SLES 15", "x86_64", "rpm", "guest", ("suse",))
ALPINE = OperatingSystem("alpine", "3.19", "Alpine Linux", "x86_64", "apk", "guest")
UBUNTU = OperatingSystem("ubuntu", "24.04", "Ubuntu 24.04", "x86_64", "deb", "guest", ("debian",))


def base(os: OperatingSystem | None = None, *, options: str = "ro quiet") -> MemoryGuest:
    """A bootable guest with systemd, sshd enabled, and no network."""
    guest = MemoryGuest(os=os)
    guest.file("/usr/lib/systemd/systemd", b"x")
    guest.link(f"{UNITS}/default.target", "multi-user.target")
    for name in (
        "multi-user.target",
        "basic.target",
        "sysinit.target",
        "sockets.target",
        "network-online.target",
    ):
        wants = "\nWants=basic.target" if name == "multi-user.target" else ""
        guest.file(f"{UNITS}/{name}", f"[Unit]\nDescription=x{wants}\n")
    guest.file("/usr/lib/udev/rules.d/80-net-setup-link.rules", "x")
    guest.file("/boot/vmlinuz-6.1", b"x")
    guest.file(
        "/boot/grub/grub.cfg", f"menuentry 'Linux' {{\n linux /boot/vmlinuz-6.1 root=UUID=1 {options}\n}}\n"
    )
    guest.file("/etc/nsswitch.conf", "passwd: files\nhosts: files dns\n")
    guest.file("/etc/resolv.conf", "nameserver 10.0.0.1\n")
    service(guest, "sshd.service", "/usr/sbin/sshd")
    return guest


def service(guest: MemoryGuest, name: str, program: str, *, enabled: bool = True) -> None:
    """A service as its package has it, wanted by multi-user.target."""
    guest.file(program, b"x", mode=0o755)
    guest.file(
        f"{UNITS}/{name}", f"[Unit]\n[Service]\nExecStart={program}\n[Install]\nWantedBy=multi-user.target\n"
    )
    if enabled:
        guest.link(f"{WANTS}/{name}", f"{UNITS}/{name}")


def networkd(*, os: OperatingSystem | None = None, enabled: bool = True, options: str = "ro") -> MemoryGuest:
    guest = base(os, options=options)
    service(guest, "systemd-networkd.service", "/usr/lib/systemd/systemd-networkd", enabled=enabled)
    return guest


def with_netplan(text: str = "", *, enabled: bool = False, options: str = "ro") -> MemoryGuest:
    guest = networkd(os=UBUNTU, enabled=enabled, options=options)
    guest.file("/usr/sbin/netplan", b"x")
    if text:
        guest.file("/etc/netplan/01-netcfg.yaml", text, mode=0o600)
    return guest


def network_manager(
    *, os: OperatingSystem = ROCKY, server: bool = True, enabled: bool = True, options: str = "ro"
) -> MemoryGuest:
    """``server``: NetworkManager-config-server is there, no card gets DHCP by itself."""
    guest = base(os, options=options)
    service(guest, "NetworkManager.service", "/usr/sbin/NetworkManager", enabled=enabled)
    guest.file("/etc/NetworkManager/NetworkManager.conf", "[main]\n#plugins=keyfile,ifcfg-rh\n[logging]\n")
    if server:
        guest.file("/usr/lib/NetworkManager/conf.d/00-server.conf", "[main]\nno-auto-default=*\n")
    return guest


def ifcfg_plugin(guest: MemoryGuest) -> MemoryGuest:
    guest.file("/usr/lib64/NetworkManager/1.46.0-1.el9/libnm-settings-plugin-ifcfg-rh.so", b"x")
    return guest


def ifupdown(text: str, *, enabled: bool = True, options: str = "ro") -> MemoryGuest:
    guest = base(options=options)
    service(guest, "networking.service", "/usr/sbin/ifup", enabled=enabled)
    guest.directory("/etc/network/interfaces.d")
    loopback = "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n"
    guest.file("/etc/network/interfaces", loopback + text)
    return guest


def network_scripts(*, options: str = "ro") -> MemoryGuest:
    """CentOS 7 with the network service and without NetworkManager."""
    guest = base(
        OperatingSystem("centos", "7", "CentOS Linux 7", "x86_64", "rpm", "guest", ("rhel", "fedora")),
        options=options,
    )
    guest.file("/etc/sysconfig/network-scripts/ifup-eth", "x", mode=0o755)
    guest.file("/etc/rc.d/init.d/network", "x", mode=0o755)
    guest.link("/etc/rc.d/rc3.d/S10network", "../init.d/network")
    return guest


def wicked(name: str, text: str) -> MemoryGuest:
    guest = base(SUSE)
    service(guest, "wicked.service", "/usr/sbin/wicked")
    guest.file(f"/etc/sysconfig/network/ifcfg-{name}", text)
    return guest


def cloud_init(guest: MemoryGuest) -> MemoryGuest:
    guest.file("/usr/bin/cloud-init", b"x")
    service(guest, "cloud-init-local.service", "/usr/bin/cloud-init")
    guest.file("/etc/cloud/cloud.cfg", "datasource_list: [NoCloud, None]\n")
    return guest


def findings(guest: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert not inconclusive, inconclusive
    return found


def told(guest: MemoryGuest) -> list[str]:
    """``severity rule subject`` of each finding."""
    return [f"{f.severity} {f.rule.partition('/')[2]} {f.subject}" for f in findings(guest)]


def inconclusive(guest: MemoryGuest) -> list[Inconclusive]:
    return run_analyzer(ANALYZER, Context(guest)).inconclusive


def repaired(guest: MemoryGuest, *, rule: str = "") -> MemoryGuest:
    """The guest after the edits of its findings' repairs."""
    for finding in findings(guest):
        changes = finding.repair.changes if finding.repair is not None else ()
        for change in changes:
            assert isinstance(change, EditFile), change
            if not rule or finding.rule == rule:
                guest.nodes[change.path].content = change.after
    return guest

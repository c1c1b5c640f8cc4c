"""A guest with one thing that nobody understands: each analyzer has a word about it, and names its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from guestrepair.analyzers.base import Context, all_analyzers, run_analyzer
from guestrepair.errors import GuestRepairError
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Mount, OperatingSystem
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, Severity
from guestrepair.packages import open_database
from tests.unit.analyzers import boot_guest, firewall_guest, fstab_guest, network_guest, sshd_guest
from tests.unit.analyzers import test_cloud_rules as cloud_guest
from tests.unit.analyzers import test_limits_rules as limits_guest
from tests.unit.analyzers import test_pam_flow as pam_guest
from tests.unit.analyzers import test_partitions_rules as partitions_guest
from tests.unit.analyzers import test_system_rules as system_guest
from tests.unit.analyzers.test_boot_rules import VERSION
from tests.unit.packages.deb_guest import deb_guest

Builder = Callable[[], MemoryGuest]
WORDS = st.from_regex(r"zz[a-z]{3,9}q", fullmatch=True)
"""Words that no program has, and that are no slip of one that it has."""

FEW = settings(max_examples=2, deadline=None, phases=(Phase.generate,))
ANALYZERS = {a.name: a for a in all_analyzers()} | {"boot": boot_guest.CHECKED}
HOME = "/home/ann/.ssh/authorized_keys"
STATUS = "/var/lib/dpkg/status"
NETPLAN = """network:
  version: 2
  renderer: networkd
  ethernets:
    eth0:
      match: {name: "e*"}
      dhcp4: true
"""
NETWORK = "[Match]\nName=en*\n[Network]\nDHCP=yes\n"
PROFILE = "[connection]\nid=a\ntype=ethernet\n[ipv4]\nmethod=auto\n"
IFCFG = "DEVICE=eth0\nTYPE=Ethernet\nONBOOT=yes\nBOOTPROTO=dhcp\n"
WICKED = "STARTMODE=auto\nBOOTPROTO=dhcp\n"
NFT = firewall_guest.DROP.replace(
    "established,related accept", "established,related accept\ntcp dport 22 accept"
)
TABLES = firewall_guest.RULES_V4.replace("--dport 80", "--dport 22")
UFW = (
    "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw{6}-user-input -p tcp --dport 22 -j ACCEPT"
)
ZONE = firewall_guest.ZONES["public"]
DATA = f"UUID={fstab_guest.DATA} /data ext4 defaults,nofail 0 2\n"
SELINUX = "SELINUX=permissive\nSELINUXTYPE=targeted\n"


def with_file(path: str, text: str, build: Builder, *, mode: int = 0o644, uid: int = 0) -> MemoryGuest:
    made = build()
    made.file(path, text, mode=mode, uid=uid, gid=uid)
    return made


def fstab() -> MemoryGuest:
    devices = [
        *fstab_guest.usual(),
        fstab_guest.part(5, "ext4", fstab_guest.DATA, ext=fstab_guest.ext("/data")),
    ]
    return fstab_guest.guest(fstab_guest.HEALTHY + DATA, devices)


def mount_unit() -> MemoryGuest:
    made = fstab()
    made.file("/etc/systemd/system/srv.mount", "[Mount]\nWhat=/dev/sda5\nWhere=/srv\nType=ext4\n")
    made.link("/etc/systemd/system/multi-user.target.wants/srv.mount", "/etc/systemd/system/srv.mount")
    return made


def filesystem() -> MemoryGuest:
    device = BlockDevice("/dev/sda", DeviceKind.DISK, 1 << 20, content="zfoo", disk="/dev/sda")
    made = MemoryGuest(block=BlockDevices((), (device,)), mounts=(Mount("/dev/sda", "/", "xfs"),))
    made.usages = {"/": FilesystemUsage(1 << 30, 1 << 29, 1 << 29, 1000, 500)}
    return made


def keys() -> MemoryGuest:
    made = sshd_guest.debian()
    made.directory("/home/ann/.ssh", mode=0o700, uid=1000, gid=1000)
    text = b"".join(sshd_guest.key_pair(n)[1] for n in (0, 1))
    made.file(HOME, text, mode=0o600, uid=1000, gid=1000)
    return made


def two_packages() -> MemoryGuest:
    made = deb_guest()
    made.nodes[
        GuestPath(STATUS)
    ].content += b"Package: second\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
    made.file("/var/lib/dpkg/info/second.list", "/.\n")
    made.file("/var/lib/dpkg/info/second.md5sums", "")
    return made


def selinux() -> MemoryGuest:
    made = system_guest.healthy()
    made.os = OperatingSystem("rocky", "9", "Rocky Linux 9", "x86_64", "rpm", "guest", ("rhel", "fedora"))
    made.file("/etc/selinux/config", SELINUX)
    made.file("/etc/selinux/targeted/policy/policy.33", b"x")
    made.file("/etc/selinux/targeted/contexts/files/file_contexts", "")
    return made


def networkd() -> MemoryGuest:
    return with_file("/etc/systemd/network/10-a.network", NETWORK, network_guest.networkd)


def profile() -> MemoryGuest:
    path = "/etc/NetworkManager/system-connections/a.nmconnection"
    return with_file(path, PROFILE, network_guest.network_manager, mode=0o600)


def ifcfg() -> MemoryGuest:
    made = network_guest.ifcfg_plugin(network_guest.network_manager())
    made.file("/etc/sysconfig/network-scripts/ifcfg-eth0", IFCFG)
    return made


def default_target() -> MemoryGuest:
    made = system_guest.healthy()
    made.link(system_guest.DEFAULT, "/usr/lib/systemd/system/multi-user.target")
    return made


def table_of(kind: str) -> MemoryGuest:
    return partitions_guest.guest_of(
        partitions_guest.gpt_disk(partitions_guest.PARTS, code=b"..GRUB .."),
        partitions_guest.PARTS,
        table=kind,
    )


class Case(NamedTuple):
    """``old`` in ``path`` of a healthy guest becomes ``new``, with W for the unknown word."""

    analyzer: str
    build: Builder
    path: str
    old: str
    new: str

    def guest(self, word: str) -> MemoryGuest:
        made = self.build()
        node = made.nodes[GuestPath(self.path)]
        old, new = self.old.encode(), self.new.replace("W", word).encode()
        assert old in node.content
        node.content = node.content.replace(old, new, 1) if old else node.content + new
        return made


MENU, ENTRY = boot_guest.MENU, boot_guest.ENTRY
CLOUD, LIST = "/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/90_dpkg.cfg"
SEED = "/var/lib/cloud/seed/nocloud/user-data"
NFT_CONF, V4, ZONE_XML = "/etc/nftables.conf", "/etc/iptables/rules.v4", "/etc/firewalld/zones/public.xml"
FSTAB, PLAN, IFACES = "/etc/fstab", "/etc/netplan/01-netcfg.yaml", "/etc/network/interfaces"
NETWORK_FILE, NM = (
    "/etc/systemd/network/10-a.network",
    "/etc/NetworkManager/system-connections/a.nmconnection",
)
IFCFG_FILE, WICKED_FILE = "/etc/sysconfig/network-scripts/ifcfg-eth0", "/etc/sysconfig/network/ifcfg-eth0"
SSHD, SSHD_PAM, UNIT = "/etc/ssh/sshd_config", "/etc/pam.d/sshd", "/usr/lib/systemd/system/ssh.service"
LOGIN, LIMITS, SUDOERS = "/etc/pam.d/login", "/etc/security/limits.conf", "/etc/sudoers"

BUILDERS: dict[str, Builder] = {
    "menu": boot_guest.with_menu,
    "entries": boot_guest.with_entries,
    "cloud": cloud_guest.guest,
    "seed": lambda: cloud_guest.seed(cloud_guest.guest()),
    "nft": lambda: firewall_guest.nft(NFT),
    "iptables": lambda: firewall_guest.iptables(TABLES),
    "ufw": lambda: firewall_guest.ufw(UFW),
    "firewalld": lambda: firewall_guest.firewalld("public", {"public": ZONE}),
    "fstab": fstab,
    "mount unit": mount_unit,
    "crypttab": lambda: with_file("/etc/crypttab", "# none\n", fstab),
    "netplan": lambda: network_guest.with_netplan(NETPLAN),
    "networkd": networkd,
    "ifupdown": lambda: network_guest.ifupdown("auto eth0\niface eth0 inet dhcp\n"),
    "profile": profile,
    "ifcfg": ifcfg,
    "wicked": lambda: network_guest.wicked("eth0", WICKED),
    "packages": two_packages,
    "preload": lambda: with_file("/etc/ld.so.preload", "", deb_guest),
    "sshd": sshd_guest.debian,
    "keys": keys,
    "sudo": system_guest.healthy,
    "pam": pam_guest.debian,
    "limits": limits_guest.server,
    "selinux": selinux,
}
_TABLE = [
    ("boot", "menu", MENU, "\tinitrd", "\tW x\n\tinitrd"),
    ("boot", "menu", MENU, "set default", "W x; set default"),
    ("boot", "menu", MENU, "default=0", "default=W"),
    ("boot", "entries", ENTRY, "title R", "W R"),
    ("boot", "entries", ENTRY, "title R", "title R\nW=1"),
    ("cloud", "cloud", CLOUD, "users:", "users: [W"),
    ("cloud", "cloud", LIST, "NoCloud", "W"),
    ("cloud", "cloud", LIST, "[ NoCloud, ConfigDrive, None ]", "W"),
    ("cloud", "seed", SEED, "#cloud-config", "#W"),
    ("firewall", "nft", NFT_CONF, "tcp dport 22 accept", "tcp dport 22 W accept"),
    ("firewall", "nft", NFT_CONF, 'iif "lo" accept', "W drop"),
    ("firewall", "iptables", V4, "-m tcp --dport 22", "-m W --W --dport 22"),
    ("firewall", "iptables", V4, "-A INPUT -i lo -j ACCEPT", "-A INPUT -j W"),
    ("firewall", "iptables", V4, "COMMIT", "W\nCOMMIT"),
    ("firewall", "ufw", "/etc/ufw/ufw.conf", "ENABLED=yes", "ENABLED=W"),
    ("firewall", "ufw", "/etc/ufw/user.rules", "--dport 22", "--W 22"),
    ("firewall", "firewalld", ZONE_XML, "</zone>", '<W name="x"/></zone>'),
    ("firewall", "firewalld", ZONE_XML, "<zone>", '<zone target="W">'),
    ("firewall", "firewalld", ZONE_XML, 'name="ssh"', 'name="W"'),
    ("firewall", "firewalld", ZONE_XML, "</zone>", "<W></zone>"),
    ("firewall", "firewalld", "/etc/firewalld/firewalld.conf", "=public", "=W"),
    ("fstab", "fstab", FSTAB, "ext4 defaults,nofail", "W defaults,nofail"),
    ("fstab", "fstab", FSTAB, "defaults,nofail", "defaults,nofail,W"),
    ("fstab", "fstab", FSTAB, "defaults,nofail", "defaults,nofail,W=1"),
    ("fstab", "fstab", FSTAB, "errors=remount-ro", "errors=W"),
    ("fstab", "fstab", FSTAB, "none      swap sw", "none swap W"),
    ("fstab", "fstab", FSTAB, f"UUID={fstab_guest.DATA}", "W"),
    ("fstab", "fstab", FSTAB, DATA, "tmpfs /data tmpfs W 0 0\n"),
    ("fstab", "fstab", FSTAB, DATA, "W\n"),
    ("fstab", "mount unit", "/etc/systemd/system/srv.mount", "Type=ext4", "Type=W"),
    ("fstab", "crypttab", "/etc/crypttab", "# none", "W"),
    ("network", "netplan", PLAN, "renderer: networkd", "renderer: W"),
    ("network", "netplan", PLAN, "dhcp4:", "W:"),
    ("network", "netplan", PLAN, "dhcp4: true", "dhcp4: W"),
    ("network", "networkd", NETWORK_FILE, "Name=", "W="),
    ("network", "networkd", NETWORK_FILE, "", "[W]\na=b\n"),
    ("network", "networkd", NETWORK_FILE, "DHCP=yes", "DHCP=W"),
    ("network", "ifupdown", IFACES, "inet dhcp", "inet W"),
    ("network", "ifupdown", IFACES, "inet dhcp", "W dhcp"),
    ("network", "profile", NM, "type=ethernet", "type=W"),
    ("network", "profile", NM, "method=auto", "method=W"),
    ("network", "profile", NM, "", "W\n"),
    ("network", "ifcfg", IFCFG_FILE, "BOOTPROTO=dhcp", "BOOTPROTO=W"),
    ("network", "ifcfg", IFCFG_FILE, "TYPE=Ethernet", "TYPE=W"),
    ("network", "ifcfg", IFCFG_FILE, "ONBOOT=yes", "ONBOOT=W"),
    ("network", "wicked", WICKED_FILE, "BOOTPROTO=dhcp", "BOOTPROTO=W"),
    ("network", "wicked", WICKED_FILE, "STARTMODE=auto", "STARTMODE=W"),
    ("packages", "packages", STATUS, "install ok installed", "install ok W"),
    ("packages", "packages", STATUS, "install ok installed", "W ok installed"),
    ("packages", "packages", STATUS, "install ok installed", "install W installed"),
    ("packages", "packages", STATUS, "Version: 1.0-1\n", "Version: 1.0-1\nW\n"),
    ("packages", "preload", "/etc/ld.so.preload", "", "/W.so\n"),
    ("sshd", "sshd", SSHD, "", "W yes\n"),
    ("sshd", "sshd", SSHD, "", "PermitRootLogin W\n"),
    ("sshd", "sshd", SSHD, "", "Match W x\n"),
    ("sshd", "sshd", SSHD, "", "Ciphers W\n"),
    ("sshd", "sshd", SSHD_PAM, "auth required", "auth W"),
    ("sshd", "sshd", SSHD_PAM, "auth required", "W required"),
    ("sshd", "sshd", SSHD_PAM, "pam_unix.so", "pam_W.so"),
    ("sshd", "sshd", UNIT, "-D $SSHD_OPTS", "-D --W"),
    ("sshd", "keys", HOME, "", "W ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI x\n"),
    ("sshd", "keys", HOME, "", "W AAAA x\n"),
    ("system", "sudo", SUDOERS, "Defaults\tenv_reset", "Defaults\tW"),
    ("system", "sudo", SUDOERS, "", "W\n"),
    ("system", "sudo", SUDOERS, "", "@W x\n"),
    ("system", "pam", LOGIN, "auth requisite", "auth W"),
    ("system", "pam", LOGIN, "auth requisite", "W requisite"),
    ("system", "pam", LOGIN, "pam_group.so", "pam_W.so"),
    ("system", "pam", LOGIN, "@include common-auth", "@include W"),
    ("system", "limits", LIMITS, "", "* hard W 5\n"),
    ("system", "limits", LIMITS, "", "* W nofile 5\n"),
    ("system", "limits", LIMITS, "", "* hard nofile W\n"),
    ("system", "limits", LIMITS, "", "W\n"),
    ("system", "selinux", "/etc/selinux/config", "=permissive", "=W"),
    ("system", "selinux", "/etc/selinux/config", "=targeted", "=W"),
    ("system", "sudo", "/etc/passwd", "/bin/bash", "/bin/W"),
]
OF_LINES = [Case(a, BUILDERS[b], path, old, new) for a, b, path, old, new in _TABLE]


def said(analyzer: str, made: MemoryGuest) -> list[str]:
    """Everything that an analyzer has to say, one line each."""
    context = Context(made)
    if analyzer == "packages":
        try:
            context = Context(made, packages=open_database(made))
        except GuestRepairError as error:
            context = Context(made, packages_error=error.message)
    findings, inconclusive = run_analyzer(ANALYZERS[analyzer], context)
    return [
        *(f"{f.subject} {f.message} {f.evidence}" for f in findings),
        *(each.reason for each in inconclusive),
    ]


@pytest.mark.parametrize("analyzer", sorted({case.analyzer for case in OF_LINES}))
def test_a_word_that_nobody_knows(analyzer: str) -> None:
    @FEW
    @given(WORDS)
    def check(word: str) -> None:
        silent = [c for c in OF_LINES if c.analyzer == analyzer and not _is_named(c, word)]
        assert not silent

    check()


def _is_named(case: Case, word: str) -> bool:
    """The file, or the word as it stands in what its program makes of several files (ufw)."""
    return any(case.path in line or word in line for line in said(case.analyzer, case.guest(word)))


@pytest.mark.parametrize("name", BUILDERS)
def test_the_same_guests_without_it_are_understood(name: str) -> None:
    for analyzer in {a for a, b, *_ in _TABLE if b == name}:
        assert not [line for line in said(analyzer, BUILDERS[name]()) if "not known here" in line]


def odd_image(path: str, word: str) -> MemoryGuest:
    made = boot_guest.with_menu()
    made.file(path, word.encode() * 2000)
    return made


@FEW
@given(WORDS)
def test_an_image_of_another_kind(word: str) -> None:
    for name in ("initrd.img", "vmlinuz"):
        path = f"/boot/{name}-{VERSION}"
        assert any(path in line for line in said("boot", odd_image(path, word)))


@FEW
@given(WORDS)
def test_a_filesystem_and_a_table_of_another_kind(word: str) -> None:
    made = filesystem()
    assert not [line for line in said("filesystems", made) if "not known" in line]
    made.mounts = tuple(dataclasses.replace(mount, type=word) for mount in made.mounts)
    assert any("/dev/sda" in line and word in line for line in said("filesystems", made))
    assert said("partitions", table_of("gpt")) == []
    assert any("/dev/sda" in line and word in line for line in said("partitions", table_of(word)))


@FEW
@given(WORDS)
def test_a_default_target_of_another_kind(word: str) -> None:
    assert said("system", default_target()) == []
    for name in (f"{word}.service", f"{word}.target"):
        made = default_target()
        made.file(f"/usr/lib/systemd/system/{name}", "[Unit]\n")
        made.link(system_guest.DEFAULT, f"/usr/lib/systemd/system/{name}")
        assert any(system_guest.DEFAULT in line and word in line for line in said("system", made))
        if name.endswith(".target"):
            made.file(f"/usr/lib/systemd/system/{name}", "[Unit]\nRequires=multi-user.target\n")
            assert said("system", made) == []


def test_every_analyzer_is_asked() -> None:
    # The golden analyzer looks for files by name; what the others of these judge is read by others' facts.
    asked = {case.analyzer for case in OF_LINES} | {
        "filesystems",
        "partitions",
        "policy",
        "platform",
        "golden",
    }
    assert {a.name for a in all_analyzers()} <= asked


@pytest.mark.parametrize(
    "rule",
    [
        "boot/not-understood", "cloud/not-understood", "filesystems/not-understood",
        "firewall/not-understood",
        "fstab/not-understood", "network/not-understood", "partitions/not-understood", "sshd/not-understood",
        "system/not-understood",
    ],
)  # fmt: skip
def test_a_word_is_a_note(rule: str) -> None:
    (declared,) = (r for r in ANALYZERS[rule.partition("/")[0]].rules if r.name == rule)
    assert declared.severities == (Severity.NOTE,)

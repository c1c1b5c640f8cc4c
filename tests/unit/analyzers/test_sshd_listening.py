"""listen-address and port-taken: where sshd listens, and who else does."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Effect, Finding, Safety, Severity
from tests.unit.analyzers.sshd_guest import debian, findings, only, rocky9
from tests.unit.analyzers.test_sshd_instances import OWN, WANTS, add_unit

CONFIG = "/etc/ssh/sshd_config"
STATIC = "auto eth0\niface eth0 inet static\n  address 10.0.0.5/24\n"
DHCP = "auto eth0\niface eth0 inet dhcp\n"


def listening(text: str, network: str = STATIC, guest: MemoryGuest | None = None) -> MemoryGuest:
    guest = guest or debian()
    guest.file(CONFIG, f"UsePAM yes\n{text}")
    guest.file("/etc/network/interfaces", network)
    return guest


def silenced(found: Finding) -> bytes:
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    return change.after


@pytest.mark.parametrize(
    ("text", "network", "severity"),
    [
        ("ListenAddress 127.0.0.1\n", STATIC, Severity.ERROR),
        ("ListenAddress localhost\nListenAddress ::1\n", DHCP, Severity.ERROR),
        ("ListenAddress 10.9.9.9\n", STATIC, Severity.ERROR),
        ("ListenAddress 10.9.9.9:2222\nListenAddress 127.0.0.1\n", STATIC, Severity.ERROR),
        ("ListenAddress [2001:db8::9]:22\n", STATIC, Severity.ERROR),
        ("ListenAddress 10.9.9.9\n", DHCP, Severity.WARNING),
        ("ListenAddress 10.9.9.9\n", "", Severity.WARNING),
    ],
)
def test_no_address_that_can_be_reached(text: str, network: str, severity: Severity) -> None:
    guest = listening(text, network)
    found = only(guest, "listen-address")
    assert (found.severity, found.subject) == (severity, f"{CONFIG}:2")
    assert silenced(found).decode() == "UsePAM yes\n" + "".join(f"# {line}\n" for line in text.splitlines())
    guest.file(CONFIG, silenced(found))
    assert findings(guest) == []


@pytest.mark.parametrize(
    "text",
    [
        "ListenAddress 0.0.0.0\n",
        "ListenAddress ::\n",
        "ListenAddress 127.0.0.1\nListenAddress 10.0.0.5\n",
        "ListenAddress 10.0.0.5:2222\n",
        "ListenAddress host.example.org\n",
        "ListenAddress fe80::1%eth0\n",
        "Port 2222\n",
        "# ListenAddress 127.0.0.1\n",
    ],
)
def test_addresses_that_are_fine(text: str) -> None:
    assert findings(listening(text)) == []


@pytest.mark.parametrize(
    "path",
    [
        "/etc/netplan/50-a.yaml",
        "/etc/systemd/network/a.network",
        "/etc/sysconfig/network-scripts/ifcfg-eth0",
        "/etc/NetworkManager/system-connections/a.nmconnection",
        "/etc/network/interfaces.d/a",
        "/etc/keepalived/keepalived.conf",
    ],
)
def test_an_address_of_any_manager_counts(path: str) -> None:
    guest = listening("ListenAddress 10.9.9.9\n")
    guest.file(path, "x: # 1\n  address1=10.9.9.9/24\n")
    assert findings(guest) == []


def test_a_tunnel_and_another_sshd_make_loopback_fine() -> None:
    guest = listening("ListenAddress 127.0.0.1\n")
    guest.file(f"{OWN}/cloudflared.service", "[Service]\nExecStart=/usr/bin/cloudflared\n")
    guest.link(f"{WANTS}/cloudflared.service", f"{OWN}/cloudflared.service")
    assert findings(guest) == []
    guest = listening("ListenAddress 127.0.0.1\n")
    add_unit(
        guest,
        "sshd-own.service",
        "/usr/sbin/sshd -D -p 2222 -f /etc/ssh/sshd_config-mgmt",
        config="UsePAM yes\n",
    )
    assert findings(guest) == []


# --- port-taken -----------------------------------------------------------------------


def with_socket(stream: str, *, name: str = "other.socket", guest: MemoryGuest | None = None) -> MemoryGuest:
    guest = guest or debian()
    guest.file(f"{OWN}/{name}", f"[Socket]\nListenStream={stream}\n[Install]\nWantedBy=sockets.target\n")
    guest.link(f"{OWN}/sockets.target.wants/{name}", f"{OWN}/{name}")
    return guest


@pytest.mark.parametrize("stream", ["22", "0.0.0.0:22", "[::]:22", "10.0.0.5:22"])
def test_a_socket_has_the_port(stream: str) -> None:
    found = only(with_socket(stream), "port-taken")
    assert (found.severity, found.subject) == (Severity.ERROR, f"{OWN}/other.socket")
    assert found.effect is Effect.STOPS_LOGIN


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ("23", ""),
        ("/run/x", ""),
        ("@22", ""),
        ("vsock::22", ""),
        ("22", "Port 2222\n"),
        ("[2001:db8::1]:22", "AddressFamily inet\n"),
        ("10.0.0.6:22", "ListenAddress 10.0.0.5\n"),
    ],
)
def test_sockets_that_leave_it_alone(stream: str, text: str) -> None:
    assert findings(with_socket(stream, guest=listening(text))) == []


def test_another_port_is_left() -> None:
    guest = with_socket("22", guest=listening("Port 22\nPort 2222\n"))
    assert only(guest, "port-taken").severity is Severity.WARNING


def test_a_socket_that_boot_does_not_start_and_the_own_one() -> None:
    guest = with_socket("22")
    guest.remove(f"{OWN}/sockets.target.wants/other.socket")
    assert findings(guest) == []
    guest = debian()
    guest.file("/usr/lib/systemd/system/ssh.socket", "[Socket]\nListenStream=22\n")
    guest.link(f"{OWN}/sockets.target.wants/ssh.socket", "/lib/systemd/system/ssh.socket")
    assert findings(guest) == []


def test_two_of_them_on_one_port_are_said_once() -> None:
    guest = debian()
    add_unit(
        guest, "sshd-mgmt.service", "/usr/sbin/sshd -D -f /etc/ssh/sshd_config-mgmt", config="UsePAM yes\n"
    )
    found = only(guest, "port-taken")
    assert (found.severity, found.effect) == (Severity.ERROR, Effect.DEGRADES)
    guest.file("/etc/ssh/sshd_config-mgmt", "Port 2222\n")
    assert findings(guest) == []


@pytest.mark.parametrize(("options", "clash"), [("", True), ("-p 2222", False), ("-p 10.0.0.1:22", True)])
def test_dropbear_beside_it(options: str, clash: bool) -> None:
    guest = debian()
    unit = "[Service]\nEnvironmentFile=-/etc/default/dropbear\nExecStart=/usr/sbin/dropbear -EF $ARGS\n"
    guest.file("/usr/lib/systemd/system/dropbear.service", unit)
    guest.file("/etc/default/dropbear", f'ARGS="{options}"\n')
    guest.link(f"{WANTS}/dropbear.service", "/usr/lib/systemd/system/dropbear.service")
    assert [f.rule for f in findings(guest)] == ["sshd/port-taken"] * clash


def selinux(text: str, *, mode: str = "enforcing") -> MemoryGuest:
    guest = rocky9()
    guest.file("/etc/selinux/config", f"SELINUX={mode}\nSELINUXTYPE=targeted\n")
    guest.file("/etc/selinux/targeted/policy/policy.33", b"x")
    guest.file(CONFIG, f"UsePAM yes\n{text}")
    return guest


def test_a_port_that_selinux_refuses() -> None:
    guest = selinux("Port 2222\n")
    found = only(guest, "port-taken")
    assert (found.severity, found.subject) == (Severity.ERROR, f"{CONFIG}:2")
    assert silenced(found) == b"UsePAM yes\n# Port 2222\n"
    assert only(selinux("Port 22\nPort 2222\n"), "port-taken").severity is Severity.WARNING


@pytest.mark.parametrize(
    "guest",
    [
        selinux("Port 22\n"),
        selinux("Port 2222\n", mode="permissive"),
        selinux("Port 2222\n", mode="disabled"),
    ],
)
def test_selinux_lets_it_have_the_port(guest: MemoryGuest) -> None:
    assert findings(guest) == []


@pytest.mark.parametrize(
    "path",
    ["/var/lib/selinux/targeted/active/ports.local", "/etc/selinux/targeted/modules/active/ports.local"],
)
def test_ports_that_semanage_added(path: str) -> None:
    guest = selinux("Port 2222\n")
    guest.file(path, "# x\nportcon tcp 2222 system_u:object_r:ssh_port_t:s0\n")
    assert findings(guest) == []
    guest.file(path, "portcon tcp 2200-2300 system_u:object_r:ssh_port_t:s0\n")
    assert findings(guest) == []
    guest.file(path, "portcon tcp 2222 system_u:object_r:http_port_t:s0\n")
    assert len(findings(guest)) == 1


def test_a_permissive_domain() -> None:
    guest = selinux("Port 2222\n")
    guest.directory("/var/lib/selinux/targeted/active/modules/400/permissive_sshd_t")
    assert findings(guest) == []

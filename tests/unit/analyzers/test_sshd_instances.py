"""Which sshd is judged: units by other names, with their own configuration, options and programs."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Effect, Finding, GuestPath, Safety, Severity
from tests.unit.analyzers.sshd_guest import debian, findings, key_pair, only, rocky9, scan

OWN = "/etc/systemd/system"
WANTS = f"{OWN}/multi-user.target.wants"
MGMT_CONFIG = "/etc/ssh/sshd_config-mgmt"
SERVICE = "[Service]\nRuntimeDirectory=sshd\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
GOOD = "Port 22\nUsePAM yes\n"
BAD = "Port 22\nUsePAM yes\nPermitRootLogin prohibit-passwd\n"


def add_unit(guest: MemoryGuest, name: str, command: str, *, config: str = BAD, wanted: bool = True) -> None:
    guest.file(f"{OWN}/{name}", SERVICE.format(command=command))
    guest.file(MGMT_CONFIG, config)
    if wanted:
        guest.link(f"{WANTS}/{name}", f"{OWN}/{name}")


def managed(command: str = f"/usr/sbin/sshd -D -f {MGMT_CONFIG}", config: str = BAD) -> MemoryGuest:
    """The packaged unit is off, one of the site's own serves."""
    guest = debian()
    guest.remove(f"{WANTS}/ssh.service")
    guest.remove(f"{OWN}/sshd.service")
    add_unit(guest, "sshd-mgmt.service", command, config=config)
    return guest


def judged(guest: MemoryGuest) -> list[Finding]:
    """The findings, but for those on sh, env and ip, which are no real programs here."""
    return [f for f in findings(guest) if f.subject not in ("sh", "env", "ip")]


COMMANDS = [
    f"/usr/sbin/sshd -D -f {MGMT_CONFIG}",
    f"/sbin/sshd -Df{MGMT_CONFIG}",
    f"-/usr/sbin/sshd -D -o Port=2222 -f '{MGMT_CONFIG}'",
    f"/usr/bin/env LANG=C /usr/sbin/sshd -D -f {MGMT_CONFIG}",
    f"/sbin/ip netns exec mgmt /usr/sbin/sshd -D -f {MGMT_CONFIG}",
    f"/bin/sh -c 'mkdir -p /run/x && exec /usr/sbin/sshd -D -f {MGMT_CONFIG}'",
    f"/usr/sbin/sshd-mgmt -D -f {MGMT_CONFIG}",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_configuration_of_the_unit_that_serves_is_judged_and_the_packaged_one_may_be_off(
    command: str,
) -> None:
    guest = managed(command)
    guest.link("/usr/sbin/sshd-mgmt", "sshd")
    for name in ("env", "ip"):
        guest.link(f"/usr/bin/{name}", "bash")
    guest.link("/usr/sbin/ip", "/usr/bin/bash")
    found, *others = judged(guest)
    assert (found.rule, others) == ("sshd/config-syntax", [])
    assert (found.subject, found.severity) == (f"{MGMT_CONFIG}:3", Severity.ERROR)
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.path == GuestPath(MGMT_CONFIG)
    assert change.after == BAD.replace("prohibit-passwd", "prohibit-password").encode()
    guest.file(MGMT_CONFIG, GOOD)
    assert judged(guest) == []


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({f"{OWN}/sshd@.service": SERVICE.format(command="/usr/sbin/sshd -D -f /etc/ssh/sshd_config-%i")},
         f"{WANTS}/sshd@mgmt.service"),
        ({f"{OWN}/remote.service": SERVICE.format(command=f"/usr/sbin/sshd -D -f {MGMT_CONFIG}")},
         f"{WANTS}/remote.service"),
        ({f"{OWN}/mgmt.socket": "[Socket]\nListenStream=2022\nAccept=yes\n",
          f"{OWN}/mgmt@.service": SERVICE.format(command=f"-/usr/sbin/sshd -i -f {MGMT_CONFIG}")},
         f"{OWN}/sockets.target.wants/mgmt.socket"),
        ({f"{OWN}/mgmt.socket": "[Socket]\nListenStream=2022\nService=other.service\n",
          f"{OWN}/other.service": SERVICE.format(command=f"/usr/sbin/sshd -D -f {MGMT_CONFIG}")},
         f"{OWN}/sockets.target.wants/mgmt.socket"),
        ({"/usr/lib/systemd/system/site-ssh.service": SERVICE.format(
            command=f"/usr/sbin/sshd -D -f {MGMT_CONFIG}")}, f"{WANTS}/site-ssh.service"),
        ({"/usr/lib/systemd/system/remote.service": SERVICE.format(
            command=f"/usr/sbin/sshd -D -f {MGMT_CONFIG}")}, f"{WANTS}/remote.service"),
        ({f"{OWN}/remote.service": SERVICE.format(command="/usr/sbin/sshd -D $OPTIONS").replace(
            "[Service]", "[Service]\nEnvironmentFile=-/etc/sysconfig/remote"),
          "/etc/sysconfig/remote": f'# OPTIONS=x\nOPTIONS="-4 -f {MGMT_CONFIG}"\n'},
         f"{WANTS}/remote.service"),
        ({f"{OWN}/remote.service": SERVICE.format(command=f"/usr/sbin/sshd -D -f {MGMT_CONFIG}"),
          f"{OWN}/multi-user.target.d/own.conf": "[Unit]\nWants=remote.service\n",
          "/usr/lib/systemd/system/multi-user.target": "[Unit]\n"}, ""),
    ],
)  # fmt: skip
def test_units_that_start_an_sshd_in_other_ways(files: dict[str, str], wanted: str) -> None:
    guest = debian()
    guest.remove(f"{WANTS}/ssh.service")
    guest.remove(f"{OWN}/sshd.service")
    for path, text in files.items():
        guest.file(path, text)
    if wanted:
        name = wanted.rpartition("/")[2]
        template = f"{name.partition('@')[0]}@.service" if "@" in name else name
        home = next(path for path in files if path.endswith(f"/{template}"))
        guest.link(wanted, home)
    guest.file(MGMT_CONFIG, BAD)
    assert only(guest, "config-syntax").subject == f"{MGMT_CONFIG}:3"
    guest.file(MGMT_CONFIG, GOOD)
    assert findings(guest) == []


def test_several_are_judged_each_and_what_they_share_is_said_once() -> None:
    guest = debian()
    add_unit(guest, "sshd-mgmt.service", f"/usr/sbin/sshd -D -p 2222 -f {MGMT_CONFIG}", config=BAD)
    guest.nodes[GuestPath("/etc/ssh/ssh_host_rsa_key")].mode |= 0o044
    assert [f.rule for f in findings(guest)] == ["sshd/config-syntax", "sshd/host-key-unsafe"]


def test_a_unit_that_boot_does_not_start_is_not_judged() -> None:
    guest = debian()
    add_unit(guest, "sshd-mgmt.service", f"/usr/sbin/sshd -D -f {MGMT_CONFIG}", wanted=False)
    assert findings(guest) == []
    guest.link(f"{WANTS}/sshd-mgmt.service", f"{OWN}/sshd-mgmt.service")
    guest.link(f"{OWN}/sshd-mgmt.service", "/dev/null")
    assert findings(guest) == []


@pytest.mark.parametrize(
    "command",
    [
        "/usr/sbin/sshd -t",
        "/usr/libexec/openssh/sshd-keygen rsa",
        "/usr/bin/true # /usr/sbin/other",
        "/usr/sbin/sshdump",
    ],
)
def test_what_is_no_sshd_that_serves_does_not_count(command: str) -> None:
    guest = managed(command)
    assert [f.rule for f in findings(guest)] == ["sshd/unit-disabled"]


def test_options_of_the_command_line_go_before_the_file() -> None:
    command = (
        f"/usr/sbin/sshd -D -o PermitRootLogin=no -oUsePAM=yes -h /etc/ssh/own_key -p 2200 -f {MGMT_CONFIG}"
    )
    guest = managed(command, config="Port 22\nPermitRootLogin yes\n")
    private, public = key_pair(7)
    guest.file("/etc/ssh/own_key", private, mode=0o644)
    guest.file("/etc/ssh/own_key.pub", public)
    assert only(guest, "host-key-unsafe").subject == "/etc/ssh/own_key"
    guest.nodes[GuestPath("/etc/ssh/own_key")].mode &= ~0o077
    assert findings(guest) == []


def test_a_bad_option_of_the_command_line_is_found_where_it_stands() -> None:
    guest = managed(f"/usr/sbin/sshd -D -o PermitRotLogin=no -f {MGMT_CONFIG}", config=GOOD)
    found = only(guest, "config-syntax")
    assert found.subject == f"{OWN}/sshd-mgmt.service:3"
    assert found.repair is not None
    assert not found.repair.changes


def test_crypto_policy_of_the_environment_file_is_part_of_the_configuration() -> None:
    guest = rocky9()
    unit = "/usr/lib/systemd/system/sshd.service"
    guest.file(
        unit,
        "[Service]\nEnvironmentFile=-/etc/crypto-policies/back-ends/opensshserver.config\n"
        "ExecStart=/usr/sbin/sshd -D $OPTIONS $CRYPTO_POLICY\n[Install]\nWantedBy=multi-user.target\n",
    )
    guest.file(
        "/etc/crypto-policies/back-ends/opensshserver.config",
        "CRYPTO_POLICY='-oCiphers=aes256-gcm@openssh.com -oNonsense=1'\n",
    )
    found = only(guest, "config-syntax")
    assert found.subject == "/etc/crypto-policies/back-ends/opensshserver.config:1"


def test_a_unit_of_its_own_needs_the_directory_too() -> None:
    guest = managed(config=GOOD)
    guest.file(
        f"{OWN}/sshd-mgmt.service", SERVICE.replace("RuntimeDirectory=sshd\n", "").format(command=COMMANDS[0])
    )
    assert only(guest, "privsep-dir-missing").severity is Severity.ERROR


@pytest.mark.parametrize("binary", ["/usr/sbin/sshd", "/opt/ssh/sbin/sshd"])
def test_a_program_that_an_enabled_unit_starts_and_that_is_not_there(binary: str) -> None:
    guest = managed(f"{binary} -D -f {MGMT_CONFIG}", config=GOOD)
    if binary == "/usr/sbin/sshd":
        guest.remove(binary)
    found = findings(guest, "helper-missing")
    assert [(f.subject, f.severity) for f in found] == [(binary, Severity.ERROR)]


def test_removed_and_its_configuration_kept_is_no_finding() -> None:
    guest = debian()
    for path in ("/usr/sbin/sshd", "/usr/lib/systemd/system/ssh.service", "/usr/lib/openssh/sftp-server"):
        guest.remove(path)
    assert findings(guest) == []


def test_a_unit_that_cannot_be_read_is_said_and_the_others_are_judged() -> None:
    guest = debian()
    add_unit(guest, "sshd-mgmt.service", f"/usr/sbin/sshd -D -p 2222 -f {MGMT_CONFIG}")
    guest.file(f"{OWN}/a.service", "x").unreadable = "input/output error"
    guest.link(f"{WANTS}/a.service", f"{OWN}/a.service")
    found, inconclusive = scan(guest)
    assert [f.rule for f in found] == ["sshd/config-syntax"]
    assert [i.reason for i in inconclusive] == [f"{OWN}/a.service cannot be read: input/output error"]


@pytest.mark.parametrize(
    ("line", "after"),
    [
        ("PermitRootLogin prohibit-passwd", "PermitRootLogin prohibit-password"),
        ("permitrootlogin  without-pasword # x", "permitrootlogin  without-password # x"),
        ("PasswordAuthentication true", "PasswordAuthentication yes"),
        ("UsePAM Yess", "UsePAM yes"),
        ("LogLevel VERBOS", "LogLevel verbose"),
        ("AllowTcpForwarding remot", "AllowTcpForwarding remote"),
        ("PermitRootLogin sometimes", "# PermitRootLogin sometimes"),
        ("Port many", "# Port many"),
    ],
)
def test_a_word_that_is_nearly_right_becomes_the_right_one(line: str, after: str) -> None:
    guest = debian()
    guest.file("/etc/ssh/sshd_config", f"UsePAM yes\n{line}\n" if "PAM" not in line else f"\n{line}\n")
    repair = findings(guest, "config-syntax")[0].repair
    assert repair is not None
    (change,) = repair.changes
    assert isinstance(change, EditFile)
    assert change.after.decode().splitlines()[1] == after


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{OWN}/dropbear.service", "[Service]\nExecStart=/usr/sbin/dropbear -F\n"),
        (f"{OWN}/remote-ssh.service", "[Service]\nExecStart=/usr/local/bin/start-it\n"),
        ("/etc/rc.local", "#!/bin/sh\n/usr/sbin/sshd -f /etc/ssh/other\n"),
    ],
)
def test_something_else_that_may_let_people_in_makes_it_a_note(path: str, text: str) -> None:
    guest = debian()
    guest.remove(f"{WANTS}/ssh.service")
    guest.file(path, text, mode=0o755)
    if path.startswith(OWN):
        guest.link(f"{WANTS}/{path.rpartition('/')[2]}", path)
    found = only(guest, "unit-disabled")
    assert (found.severity, found.repair) == (Severity.NOTE, None)


@pytest.mark.parametrize("name", ["sshguard.service", "autossh.service", "sshd-keygen.service"])
def test_what_only_has_ssh_in_its_name_serves_nobody(name: str) -> None:
    guest = debian()
    guest.remove(f"{WANTS}/ssh.service")
    guest.file(f"{OWN}/{name}", "[Service]\nExecStart=/usr/bin/x\n")
    guest.link(f"{WANTS}/{name}", f"{OWN}/{name}")
    assert only(guest, "unit-disabled").severity is Severity.ERROR


@pytest.mark.parametrize(
    ("first", "second", "severity"),
    [
        ("Port 22\n", BAD, Severity.WARNING),
        (BAD, "Port 2222\n", Severity.WARNING),
        (BAD, "Port 2222\nListenAddress 127.0.0.1\n", Severity.ERROR),
        (BAD, "Port 2222\nAllowUsers nobody-here\n", Severity.ERROR),
    ],
)
def test_one_that_fails_beside_one_that_serves(first: str, second: str, severity: Severity) -> None:
    guest = debian()
    guest.file("/etc/ssh/sshd_config", first)
    add_unit(guest, "sshd-mgmt.service", f"/usr/sbin/sshd -D -f {MGMT_CONFIG}", config=second)
    found = next(f for f in findings(guest) if f.rule == "sshd/config-syntax")
    assert found.severity is severity
    assert found.effect is (Effect.DEGRADES if severity is Severity.WARNING else Effect.STOPS_LOGIN)
    assert ("serves all the same" in found.message) is (severity is Severity.WARNING)


def test_what_both_need_is_an_error() -> None:
    guest = debian()
    add_unit(guest, "sshd-mgmt.service", f"/usr/sbin/sshd -D -p 2222 -f {MGMT_CONFIG}", config=GOOD)
    guest.remove("/usr/sbin/sshd")
    assert all(f.severity is Severity.ERROR for f in findings(guest) if f.rule == "sshd/helper-missing")

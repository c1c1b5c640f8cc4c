"""helper-missing, library-missing, login-blocked, tcp-wrappers, unit-disabled: broken, healthy, hostile."""

from __future__ import annotations

import stat

import pytest

from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, GuestPath, MakeLink, RemoveFile, Safety, SetMode, Severity
from tests.unit.analyzers.sshd_guest import PASSWD, centos7, debian, findings, only, rocky9, scan
from tests.unit.analyzers.test_sshd_accounts import with_keys

CONFIG = "/etc/ssh/sshd_config"
SHADOW = "root:$y$x:19000:0:99999:7:::\nann:$y$z:19000:0:99999:7:::\n"


# --- helper-missing -------------------------------------------------------------------


def test_helper_missing_sftp_server() -> None:
    guest = debian()
    guest.remove("/usr/lib/openssh/sftp-server")
    found = only(guest, "helper-missing")
    assert (found.severity, found.subject) == (Severity.ERROR, "/usr/lib/openssh/sftp-server")
    guest.file("/usr/lib/openssh/sftp-server", b"\x7fELF", mode=0o644)
    repair = only(guest, "helper-missing").repair
    assert repair is not None
    path = GuestPath("/usr/lib/openssh/sftp-server")
    assert repair.changes == (SetMode(path=path, before=0o644, after=0o755),)
    guest.file(CONFIG, "UsePAM yes\nSubsystem sftp internal-sftp\n")
    assert findings(guest) == []


@pytest.mark.parametrize(
    ("binary", "missing"),
    [
        (b"OpenSSH_9.7p1\0", []),
        (b"OpenSSH_9.8p1\0/usr/lib/openssh/sshd-session\0", ["/usr/lib/openssh/sshd-session"]),
        (b"OpenSSH_10.0p2\0", ["/usr/lib/openssh/sshd-auth", "/usr/lib/openssh/sshd-session"]),
    ],
)
def test_helper_missing_by_release(binary: bytes, missing: list[str]) -> None:
    guest = debian()
    guest.file("/usr/sbin/sshd", b"\0/run/sshd\0" + binary, mode=0o755)
    assert [f.subject for f in findings(guest, "helper-missing")] == missing
    for path in missing:
        guest.file(path, b"\x7fELF", mode=0o755)
    assert findings(guest, "helper-missing") == []


def test_helper_missing_sshd_itself() -> None:
    guest = debian()
    guest.nodes[GuestPath("/usr/sbin/sshd")].mode = stat.S_IFREG | 0o644
    found = only(guest, "helper-missing")
    assert found.subject == "/usr/sbin/sshd"
    assert found.repair is not None
    assert found.repair.changes == (SetMode(path=GuestPath("/usr/sbin/sshd"), before=0o644, after=0o755),)


# --- library-missing ------------------------------------------------------------------


def test_library_missing_pam_file_and_module() -> None:
    guest = debian()
    guest.remove("/etc/pam.d/sshd")
    assert only(guest, "library-missing").subject == "/etc/pam.d/sshd"
    guest.file("/etc/pam.d/sshd", "@include common-auth\naccount required pam_unix.so\n")
    assert only(guest, "library-missing").subject == "/etc/pam.d/common-auth"
    guest.file("/etc/pam.d/common-auth", "auth substack deep\nauth required pam_gone.so\n")
    guest.file("/etc/pam.d/deep", "auth optional pam_nice.so # x\n-auth required pam_maybe.so\n")
    found = findings(guest)
    assert {(f.subject.rpartition("/")[2], f.severity) for f in found} == {
        ("pam_gone.so", Severity.ERROR),
        ("pam_nice.so", Severity.WARNING),
    }


@pytest.mark.parametrize(
    "line",
    [
        "-session optional pam_systemd.so",
        "session [success=ok ignore=ignore module_unknown=ignore default=bad] pam_selinux.so close",
        "# session required pam_x.so",
    ],
)
def test_modules_that_may_lack(line: str) -> None:
    guest = debian()
    guest.file("/etc/pam.d/sshd", f"auth required pam_unix.so\n{line}\n")
    assert findings(guest) == []


def test_modules_of_another_type_than_the_include_asks_for_are_not_called() -> None:
    guest = debian()
    guest.file("/etc/pam.d/sshd", "auth include deep\naccount required pam_unix.so\n")
    guest.file("/etc/pam.d/deep", "auth required pam_unix.so\nsession required pam_gone.so\n")
    assert findings(guest) == []
    guest.file("/etc/pam.d/sshd", "session include deep\naccount required pam_unix.so\n")
    assert only(guest, "library-missing").subject.endswith("/pam_gone.so")


def test_no_pam_no_pam_findings() -> None:
    guest = debian()
    guest.file(CONFIG, "UsePAM no\n")
    guest.remove("/etc/pam.d")
    assert findings(guest, "library-missing") == []


def test_pam_files_that_include_each_other_end() -> None:
    guest = debian()
    guest.file("/etc/pam.d/sshd", "@include a\n")
    guest.file("/etc/pam.d/a", "@include sshd\n@include a\nauth include a\n")
    assert findings(guest) == []


# --- login-blocked --------------------------------------------------------------------


def test_login_blocked_by_nologin() -> None:
    guest = debian()
    guest.file("/etc/nologin", "down\n")
    found = only(guest, "login-blocked")
    assert (found.severity, found.subject) == (Severity.ERROR, "/etc/nologin")
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    assert found.repair.changes == (RemoveFile(path=GuestPath("/etc/nologin")),)
    guest.file("/usr/lib/tmpfiles.d/etc.conf", "r! /etc/nologin\n")
    assert only(guest, "login-blocked").severity is Severity.NOTE


def test_login_blocked_by_shell() -> None:
    guest = debian()
    guest.remove("/usr/bin/bash")
    found = only(guest, "login-blocked")
    assert found.subject == "/bin/bash"
    assert "does not exist" in found.message
    assert found.severity is Severity.ERROR
    guest.file("/usr/bin/bash", b"\x7fELF", mode=0o644)
    repair = only(guest, "login-blocked").repair
    assert repair is not None
    assert repair.changes == (SetMode(path=GuestPath("/usr/bin/bash"), before=0o644, after=0o755),)


@pytest.mark.parametrize(
    "text",
    [
        "AllowUsers admn\n",
        "DenyUsers *\n",
        "AllowGroups staff\n",
        "DenyUsers ann\nPermitRootLogin no\n",
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n",
        "AllowUsers ann\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
    ],
)
def test_login_blocked_for_everyone(text: str) -> None:
    guest = debian()
    guest.file(CONFIG, text)
    found = only(guest, "login-blocked")
    assert found.severity is Severity.ERROR
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


@pytest.mark.parametrize(
    "text",
    [
        "AllowUsers ann\n",
        "PermitRootLogin no\n",
        "DenyUsers root\n",
        "AllowUsers *@10.0.0.0/8\n",
        "DenyUsers *@10.0.0.0/8\n",
        "AllowGroups sudo\n",
        "PasswordAuthentication no\nMatch Address 10.0.0.0/8\nPasswordAuthentication yes\n",
        "AllowUsers nobody\nMatch Address 10.0.0.0/8\nAllowUsers ann\n",
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nGSSAPIAuthentication yes\n",
    ],
)
def test_somebody_is_left(text: str) -> None:
    guest = debian()
    guest.file(CONFIG, text)
    assert findings(guest) == []


def test_keys_are_a_way_in_and_a_template_without_any_is_no_finding() -> None:
    guest = with_keys(debian())
    guest.file(CONFIG, "PasswordAuthentication no\nKbdInteractiveAuthentication no\n")
    assert findings(guest) == []
    guest = debian()
    guest.file("/etc/shadow", SHADOW.replace("$y$", "!$y$"))
    guest.file(CONFIG, "PasswordAuthentication no\nKbdInteractiveAuthentication no\n")
    assert findings(guest) == []


def test_a_default_that_shuts_root_out_is_no_finding() -> None:
    guest = rocky9()
    guest.file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsshd:x:74:74:::/sbin/nologin\n")
    assert findings(guest) == []


# --- tcp-wrappers ---------------------------------------------------------------------


@pytest.mark.parametrize("line", ["sshd: ALL", "ALL: ALL", "ALL : ALL : spawn x", "sshd,vsftpd: ALL"])
def test_tcp_wrappers_deny_everyone(line: str) -> None:
    guest = centos7()
    guest.file("/etc/hosts.deny", f"# comment\n{line}\n")
    found = only(guest, "tcp-wrappers")
    assert found.subject == "/etc/hosts.deny:2"
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert (change.edits[0].offset, change.edits[0].text) == (10, b"#")


@pytest.mark.parametrize(
    ("deny", "allow"),
    [
        ("sshd: ALL\n", "sshd: 10.0.0.0/8\n"),
        ("ALL: ALL EXCEPT 10.\n", ""),
        ("vsftpd: ALL\n", ""),
        ("ALL EXCEPT sshd: ALL\n", ""),
        ("# sshd: ALL\n", ""),
        ("nonsense\n", ""),
        ("sshd: 1.2.3.4\n", ""),
    ],
)
def test_tcp_wrappers_that_let_somebody_in(deny: str, allow: str) -> None:
    guest = centos7()
    guest.file("/etc/hosts.deny", deny)
    guest.file("/etc/hosts.allow", allow)
    assert findings(guest) == []


def test_without_libwrap_the_files_mean_nothing() -> None:
    guest = rocky9()
    guest.file("/etc/hosts.deny", "ALL: ALL\n")
    assert findings(guest) == []


# --- unit-disabled --------------------------------------------------------------------

WANTS = "/etc/systemd/system/multi-user.target.wants/ssh.service"


def test_unit_disabled() -> None:
    guest = debian()
    guest.remove(WANTS)
    found = only(guest, "unit-disabled")
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    assert found.repair.changes == (
        MakeLink(path=GuestPath(WANTS), target="/usr/lib/systemd/system/ssh.service"),
    )
    guest.file("/usr/lib/systemd/system/ssh.socket", "[Socket]\nListenStream=22\n")
    guest.link("/etc/systemd/system/sockets.target.wants/ssh.socket", "/lib/systemd/system/ssh.socket")
    assert findings(guest) == []


def test_unit_masked() -> None:
    guest = debian()
    guest.link("/etc/systemd/system/ssh.service", "/dev/null")
    found = only(guest, "unit-disabled")
    assert found.subject == "/etc/systemd/system/ssh.service"
    assert found.repair is not None
    mask = RemoveFile(path=GuestPath("/etc/systemd/system/ssh.service"), backup=False)
    assert found.repair.changes == (mask,)
    guest.file("/etc/systemd/system/ssh.service", "")
    assert len(findings(guest, "unit-disabled")) == 1


def test_a_file_that_forbids_the_start() -> None:
    guest = debian()
    unit = "[Unit]\nConditionPathExists=!/etc/ssh/sshd_not_to_be_run\n[Service]\nRuntimeDirectory=sshd\n"
    guest.file("/usr/lib/systemd/system/ssh.service", unit)
    assert findings(guest) == []
    guest.file("/etc/ssh/sshd_not_to_be_run", "")
    assert only(guest, "unit-disabled").subject == "/etc/ssh/sshd_not_to_be_run"


def openrc() -> MemoryGuest:
    guest = MemoryGuest(os=OperatingSystem("alpine", "3.20"))
    guest.file("/usr/sbin/sshd", b"\0/var/empty\0OpenSSH_9.7p1\0", mode=0o755)
    guest.directory("/var/empty")
    guest.file("/etc/ssh/sshd_config", "Subsystem sftp internal-sftp\n")
    guest.file("/etc/passwd", PASSWD.replace("/bin/bash", "/bin/sh"))
    guest.file("/bin/sh", b"\x7fELF", mode=0o755)
    guest.file("/etc/init.d/sshd", "#!/sbin/openrc-run\nssh-keygen -A\n", mode=0o755)
    guest.link("/etc/runlevels/default/sshd", "/etc/init.d/sshd")
    return guest


def test_openrc_and_rc_links() -> None:
    guest = openrc()
    assert findings(guest) == []
    guest.remove("/etc/runlevels/default/sshd")
    repair = only(guest, "unit-disabled").repair
    assert repair is not None
    assert repair.changes == (
        MakeLink(path=GuestPath("/etc/runlevels/default/sshd"), target="/etc/init.d/sshd"),
    )
    guest.remove("/etc/runlevels")
    guest.link("/etc/rc3.d/S02ssh", "../init.d/ssh")
    assert findings(guest) == []
    guest.remove("/etc/rc3.d/S02ssh")
    assert len(findings(guest, "unit-disabled")) == 1


def test_a_lost_link_of_a_merged_usr_is_another_finding() -> None:
    guest = debian()
    for name in ("/bin", "/sbin", "/lib"):
        guest.remove(name)
    assert findings(guest) == []


def test_unreadable_parts_do_not_silence_the_others() -> None:
    guest = debian()
    guest.nodes[GuestPath("/etc/passwd")].unreadable = "input/output error"
    guest.nodes[GuestPath("/etc/ssh/ssh_host_rsa_key")].mode = stat.S_IFREG | 0o644
    guest.remove(WANTS)
    found, inconclusive = scan(guest)
    assert {f.rule for f in found} == {"sshd/host-key-unsafe", "sshd/unit-disabled"}
    assert inconclusive


# --- what the unit starts; PAM files that cannot be read ------------------------------


def test_helper_missing_of_the_unit() -> None:
    guest = debian()
    drop_in = "/etc/systemd/system/ssh.service.d/local.conf"
    guest.file(drop_in, "[Service]\nExecStartPre=/usr/local/bin/before-sshd %i\n")
    found = only(guest, "helper-missing")
    assert (found.severity, found.subject) == (Severity.ERROR, "/usr/local/bin/before-sshd")
    guest.file(
        drop_in, "[Service]\nExecStartPre=-/usr/local/bin/before-sshd\nExecStartPre=@/sbin/sshd sshd -t\n"
    )
    assert findings(guest) == []


@pytest.mark.parametrize("line", ["auht required pam_unix.so", "account", "session requird pam_unix.so"])
def test_login_blocked_by_a_line_that_pam_cannot_read(line: str) -> None:
    guest = debian()
    service = "/etc/pam.d/sshd"
    healthy = guest.nodes[GuestPath(service)].content
    guest.file(service, healthy + f"# fine\n{line}\n".encode())
    found = only(guest, "login-blocked")
    assert (found.severity, found.subject) == (Severity.ERROR, f"{service}:4")
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    guest.file(
        service, change.before[: change.edits[0].offset] + b"# " + change.before[change.edits[0].offset :]
    )
    assert findings(guest) == []


def test_library_missing_when_the_service_has_no_line() -> None:
    guest = debian()
    guest.file("/etc/pam.d/sshd", b"# emptied\n")
    assert only(guest, "library-missing").subject == "/etc/pam.d/sshd"
    guest.file("/etc/pam.d/other", "account required pam_deny.so\n")
    assert "falls back to its service other" in only(guest, "library-missing").message
    guest.file("/etc/pam.d/other", "account required pam_unix.so\n")
    assert findings(guest) == []

"""system/limits: limits that shut people out, those that merely look so, and systemd's own."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Effect, Finding, Safety, Severity
from tests.unit.analyzers.test_pam_flow import LOGIN, debian

ERROR, WARNING = Severity.ERROR, Severity.WARNING
ROCKY = OperatingSystem("rocky", "9", "Rocky Linux 9", "x86_64", "rpm", "guest", id_like=("rhel", "fedora"))


def server(limits: str = "", *, name: str = "limits.conf", **files: str) -> MemoryGuest:
    guest = debian(**files)
    guest.file(
        "/etc/passwd",
        "root:x:0:0::/root:/bin/sh\nadm:x:1000:1000::/:/bin/sh\nann:x:1001:1001::/:/bin/sh\n",
    )
    guest.file("/etc/group", "root:x:0:\nsudo:x:27:adm\nadm:x:1000:\nstaff:x:50:ann\nann:x:1001:\n")
    guest.file("/usr/lib/x86_64-linux-gnu/security/pam_limits.so", b"\x7fELF /proc/sys/fs/nr_open")
    guest.file("/usr/lib/systemd/systemd", b"\x7fELF", mode=0o755)
    guest.file("/usr/lib/systemd/system/multi-user.target", "[Unit]\n")
    guest.link("/usr/lib/systemd/system/default.target", "multi-user.target")
    guest.file(f"/etc/security/{name}", limits)
    return guest


def findings(guest: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert inconclusive == []
    return [f for f in found if f.rule == "system/limits"]


def after(finding: Finding) -> str:
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    (change,) = finding.repair.changes
    assert isinstance(change, EditFile)
    return change.after.decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* hard nofile 1048576\n",
        "* - nofile unlimited\n",
        "* - nofile 65536\n* - memlock unlimited\nroot - core infinity\n",
        "* soft nofile 2000000\n",
        "* soft nofile 65536\n* hard nofile 1024\n",
        "#* hard nofile 2000000\n",
        "* hard nofile 2000000\n* hard nofile 65536\n",
        "@sudo hard nofile 2000000\nadm -\n",
        "ann hard nproc 0\n",
        "@staff - maxlogins 0\n",
        "ftp hard nproc 0\n",
        "@nobody-is-in-it hard nofile 2000000\n",
        "% hard nofile 2000000\n",
        "5000:6000 hard nofile 2000000\n",
        "* hard nproc 4096\n* - maxlogins -1\n",
        "* hard nofile lots\n",
    ],
)
def test_limits_that_keep_nobody_out(text: str) -> None:
    assert findings(server(text)) == []


@pytest.mark.parametrize(
    ("text", "line", "right"),
    [
        ("* hard nofile 2000000\n", 1, "* hard nofile 1048576\n"),
        ("# a\n*\t-\tnofile\t\t1048577 # b\n", 2, "# a\n*\t-\tnofile\t\t1048576 # b\n"),
        ("root - nofile 5000000\n", 1, "root - nofile 1048576\n"),
        (":1000 hard nofile 5000000\n", 1, ":1000 hard nofile 1048576\n"),
        ("@sudo hard nofile 5000000\n", 1, "@sudo hard nofile 1048576\n"),
        ("1000: hard nofile 5000000\n", 1, "1000: hard nofile 1048576\n"),
        ("* hard nproc 0\n", 1, "# * hard nproc 0\n"),
        ("* - maxlogins 0\n", 1, "# * - maxlogins 0\n"),
        ("* hard nofile 0\n", 1, "# * hard nofile 0\n"),
        ("* hard as 10\n", 1, "# * hard as 10\n"),
        ("adm hard nproc 0\n", 1, "# adm hard nproc 0\n"),
    ],
)
@pytest.mark.parametrize("name", ["limits.conf", "limits.d/90-nofile.conf"])
def test_limits_that_keep_everybody_out(text: str, line: int, right: str, name: str) -> None:
    (finding,) = findings(server(text, name=name))
    assert (finding.severity, finding.effect) == (ERROR, Effect.STOPS_LOGIN)
    assert finding.subject == f"/etc/security/{name}:{line}"
    assert after(finding) == right
    assert findings(server(right, name=name)) == []


def test_a_limit_of_a_few_that_the_kernel_refuses() -> None:
    (finding,) = findings(server("@staff hard nofile 2000000\n"))
    assert finding.severity is WARNING
    assert "ann" in finding.message


def test_only_a_session_that_needs_pam_limits_ends() -> None:
    optional = LOGIN.replace("required pam_limits", "optional pam_limits")
    assert findings(server("* hard nofile 2000000\n", login=optional)) == []
    dashed = LOGIN.replace("required pam_limits", "[default=ignore success=ok] pam_limits")
    assert findings(server("* hard nofile 2000000\n", login=dashed)) == []


def test_a_file_of_its_own() -> None:
    guest = server("* hard nofile 2000000\n", login=LOGIN.replace("limits.so", "limits.so conf=/etc/own"))
    assert findings(guest) == []
    guest.file("/etc/own", "* hard nofile 3000000\n")
    assert findings(guest)[0].subject == "/etc/own:1"


def test_what_the_kernel_takes_is_asked_of_the_guest() -> None:
    guest = server("* hard nofile 2000000\n")
    guest.file("/etc/sysctl.d/90.conf", "# c\nfs.nr_open = 3000000\n")
    assert findings(guest) == []
    guest.file("/etc/sysctl.d/95.conf", "fs/nr_open=1500000\n")
    assert after(findings(guest)[0]) == "* hard nofile 1500000\n"
    guest = server("* hard nofile 2000000\n")
    guest.file(
        "/usr/lib/systemd/systemd", b"\x7fELF Couldn't write fs.nr_open as %i, halving it.", mode=0o755
    )
    assert findings(guest) == []


def test_debians_pam_limits_goes_on_without_the_limit() -> None:
    guest = server("* hard nofile 2000000\n")
    module = b"\x7fELF nr_open Could not set limit for '%s' to soft=%d, hard=%d: %m; uid=%lu,euid=%lu"
    guest.file("/usr/lib/x86_64-linux-gnu/security/pam_limits.so", module)
    (finding,) = findings(guest)
    assert (finding.severity, finding.effect) == (WARNING, Effect.DEGRADES)
    assert "the limit is not set" in finding.message
    guest.file("/etc/security/limits.conf", "* hard nproc 0\n")
    assert findings(guest)[0].severity is ERROR


def test_an_older_pam_limits_is_refused_the_unlimited() -> None:
    guest = server("* - nofile unlimited\n")
    guest.file("/usr/lib/x86_64-linux-gnu/security/pam_limits.so", b"\x7fELF")
    (finding,) = findings(guest)
    assert after(finding) == "* - nofile 1048576\n"


def test_a_wildcard_is_for_root_too_but_on_debian() -> None:
    guest = server("* hard nofile 2000000\n")
    assert "everybody but root" in findings(guest)[0].message
    guest.os = ROCKY
    assert "logins of everybody end" in findings(guest)[0].message


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("[Manager]\nDefaultLimitNOFILE=4\n", Effect.STOPS_BOOT),
        ("[Manager]\nDefaultLimitAS=1M\n", Effect.STOPS_BOOT),
        ("[Manager]\nDefaultLimitNPROC=0\n", Effect.STOPS_LOGIN),
        ("[Manager]\nDefaultLimitNOFILE=1024:524288\nDefaultLimitCORE=0\nDefaultLimitMEMLOCK=0\n", None),
        ("[Manager]\n#DefaultLimitNOFILE=1\nDefaultLimitNOFILE=2000000\n", None),
        ("[Manager]\nDefaultLimitNOFILE=1\nDefaultLimitNOFILE=1024\n", None),
        ("[Manager]\nDefaultLimitSTACK=8M:infinity\n", None),
    ],
)
def test_limits_of_systemd(text: str, effect: Effect | None) -> None:
    guest = server()
    guest.file("/etc/systemd/system.conf.d/a.conf", text)
    assert [f.effect for f in findings(guest)] == ([effect] if effect else [])
    for finding in findings(guest):
        assert finding.subject == "/etc/systemd/system.conf.d/a.conf:2"
        assert "\n#Default" in after(finding)


def test_a_drop_in_of_a_unit() -> None:
    guest = server()
    guest.file(
        "/usr/lib/systemd/system/ssh.service", "[Service]\nExecStart=/usr/sbin/sshd -D\nLimitNOFILE=65536\n"
    )
    assert findings(guest) == []
    guest.file("/etc/systemd/system/ssh.service.d/x.conf", "[Service]\nLimitNOFILE=2\n")
    (finding,) = findings(guest)
    assert (finding.subject, finding.effect) == (
        "/etc/systemd/system/ssh.service.d/x.conf:2",
        Effect.STOPS_LOGIN,
    )


def test_what_cannot_be_read_is_said() -> None:
    guest = server("x")
    guest.file("/etc/security/limits.conf", "x").unreadable = "Input/output error"
    _, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert any("limits.conf" in item.reason for item in inconclusive)

"""system/unit-refused: services of login and network that systemd refuses, and the settings that are fine."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Finding, Safety, Severity

DROP_IN = "/etc/systemd/system/ssh.service.d/own.conf"
SERVICE = (
    "[Unit]\nDescription=OpenBSD Secure Shell server\n[Service]\nExecStart=/usr/sbin/sshd -D\nType=notify\n"
)
PASSWD = "root:x:0:0::/root:/bin/sh\nops:x:1000:1000::/:/bin/sh\n"


def guest(drop_in: str = "", *, unit: str = SERVICE, name: str = "ssh.service") -> MemoryGuest:
    made = MemoryGuest()
    made.file("/usr/lib/systemd/systemd", b"x", mode=0o755)
    made.file("/usr/lib/systemd/system/multi-user.target", "[Unit]\n")
    made.link("/usr/lib/systemd/system/default.target", "multi-user.target")
    path = f"/usr/lib/systemd/system/{name}"
    made.file(path, unit)
    made.link(f"/etc/systemd/system/multi-user.target.wants/{name}", path)
    made.file("/etc/passwd", PASSWD)
    made.file("/etc/group", "root:x:0:\nops:x:1000:\n")
    if drop_in:
        made.file(f"/etc/systemd/system/{name}.d/own.conf", drop_in)
    return made


def findings(made: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(made))
    assert inconclusive == []
    return [each for each in found if each.rule == "system/unit-refused"]


@pytest.mark.parametrize(
    ("drop_in", "subject", "said", "after"),
    [
        (
            "[Service]\nExecStart=/usr/sbin/sshd -D -p 2222\n",
            f"{DROP_IN}:2",
            "more than one ExecStart=",
            "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -p 2222\n",
        ),
        (
            "# whom\n[Service]\nUser=sshadmin\n",
            f"{DROP_IN}:3",
            "User=sshadmin, and /etc/passwd has no sshadmin",
            "# whom\n[Service]\n# User=sshadmin\n",
        ),
        (
            "[Service]\nUser=ops\nGroup=gone",
            f"{DROP_IN}:3",
            "Group=gone, and /etc/group has no gone",
            "[Service]\nUser=ops\n# Group=gone",
        ),
    ],
)
def test_a_drop_in_that_systemd_refuses(drop_in: str, subject: str, said: str, after: str) -> None:
    made = guest(drop_in)
    (found,) = findings(made)
    assert (found.subject, found.severity) == (subject, Severity.ERROR)
    assert said in found.message
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after.decode() == after
    made.file(DROP_IN, change.after)
    assert findings(made) == []


def test_an_emptied_command_is_for_a_person() -> None:
    (found,) = findings(guest("[Service]\nExecStart=\n"))
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


def test_two_commands_of_one_file_are_for_a_person() -> None:
    (found,) = findings(guest("[Service]\nExecStart=/bin/a\nExecStart=/bin/b\n"))
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


def test_a_packaged_user_that_is_gone_is_a_warning_for_the_network() -> None:
    unit = "[Service]\nExecStart=/usr/lib/systemd/systemd-networkd\nUser=systemd-network\n"
    (found,) = findings(guest(unit=unit, name="systemd-networkd.service"))
    assert found.severity is Severity.WARNING
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


@pytest.mark.parametrize(
    "drop_in",
    [
        "",
        "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -p 2222\n",
        "[Service]\nType=oneshot\nExecStart=/bin/true\n",
        "[Service]\nUser=ops\nGroup=1000\n",
        "[Service]\nUser=4711\n",
        "[Service]\nUser=%i\n",
        "[Service]\nUser=gone\nUser=\n",
        "[Service]\nDynamicUser=yes\nUser=made-up\n",
    ],
)
def test_what_systemd_takes(drop_in: str) -> None:
    assert findings(guest(drop_in)) == []


def test_users_of_a_directory_are_not_missed() -> None:
    made = guest("[Service]\nUser=sshadmin\n")
    made.file("/etc/nsswitch.conf", "passwd: files sss\n")
    assert findings(made) == []


def test_what_nothing_starts_is_nobodys_fault() -> None:
    made = guest("[Service]\nUser=sshadmin\n")
    made.remove("/etc/systemd/system/multi-user.target.wants/ssh.service")
    assert findings(made) == []


def test_a_user_that_systemd_makes_at_the_next_boot_is_no_finding() -> None:
    made = guest("[Service]\nUser=sshadmin\n")
    made.file("/usr/lib/sysusers.d/ssh.conf", 'u sshadmin - "for sshd"\n')
    assert findings(made) == []

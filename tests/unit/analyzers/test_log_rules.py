"""system/audit-halts and system/no-room-for-logs: full disks that stop the machine, and those that do not."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.guest.devices import Mount
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Effect, Finding, Safety, Severity

MIB = 1 << 20
UNITS = "/usr/lib/systemd/system"
HALT = "space_left = 75\nspace_left_action = SYSLOG\nadmin_space_left = 50\nadmin_space_left_action = HALT\n"


def server(conf: str = HALT, *, free: int = 2000 * MIB) -> MemoryGuest:
    guest = MemoryGuest(mounts=(Mount("/dev/sda1", "/", "ext4"), Mount("/dev/sda2", "/var", "ext4")))
    for name in ("/", "/var"):
        room = free if name == "/var" else 5000 * MIB
        guest.usages[name] = FilesystemUsage(10_000 * MIB, room, room, 1000, 900)
    guest.file("/usr/lib/systemd/systemd", b"x", mode=0o755)
    guest.file("/usr/sbin/auditd", b"x", mode=0o755)
    for unit in ("multi-user.target", "auditd.service", "systemd-journald.service"):
        guest.file(f"{UNITS}/{unit}", "[Unit]\n[Install]\nWantedBy=multi-user.target\n")
    guest.link(f"{UNITS}/default.target", "multi-user.target")
    guest.link("/etc/systemd/system/multi-user.target.wants/auditd.service", f"{UNITS}/auditd.service")
    guest.file("/etc/audit/auditd.conf", f"log_file = /var/log/audit/audit.log\n{conf}")
    guest.directory("/var/log/audit")
    return guest


def findings(guest: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert inconclusive == []
    return [f for f in found if f.rule in ("system/audit-halts", "system/no-room-for-logs")]


@pytest.mark.parametrize(
    ("conf", "free"),
    [
        (HALT, 2000 * MIB),
        (HALT.replace("HALT", "SUSPEND"), 0),
        (HALT.replace("HALT", "ROTATE"), 0),
        ("disk_full_action = HALT\n", 1 * MIB),
        ("#admin_space_left_action = HALT\n", 0),
        ("space_left_action = email\n", 0),
        (HALT.replace("= 50", "= 1"), 10 * MIB),
    ],
)
def test_disks_that_stop_nothing(conf: str, free: int) -> None:
    assert findings(server(conf, free=free)) == []


@pytest.mark.parametrize(
    ("conf", "free", "line", "effect"),
    [
        (HALT, 20 * MIB, 5, Effect.STOPS_BOOT),
        (HALT.replace("HALT", "single"), 20 * MIB, 5, Effect.STOPS_LOGIN),
        ("disk_full_action = HALT\n", 0, 2, Effect.STOPS_BOOT),
        ("space_left = 25%\nspace_left_action = halt\n", 2000 * MIB, 3, Effect.STOPS_BOOT),
        ("admin_space_left_action = HALT\n", 49 * MIB, 2, Effect.STOPS_BOOT),
    ],
)
def test_a_disk_that_stops_the_machine(conf: str, free: int, line: int, effect: Effect) -> None:
    guest = server(conf, free=free)
    (finding,) = findings(guest)
    assert (finding.rule, finding.severity, finding.effect) == ("system/audit-halts", Severity.ERROR, effect)
    assert finding.subject == f"/etc/audit/auditd.conf:{line}"
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    (change,) = finding.repair.changes
    assert isinstance(change, EditFile)
    guest.file("/etc/audit/auditd.conf", change.after)
    assert findings(guest) == []
    assert len(change.after.splitlines()) == len(change.before.splitlines())


def test_an_audit_daemon_that_is_not_started_stops_nothing() -> None:
    guest = server(free=0)
    guest.remove("/etc/systemd/system/multi-user.target.wants/auditd.service")
    assert findings(guest) == []


def test_room_that_cannot_be_told_is_said() -> None:
    guest = server(free=0)
    del guest.usages["/var"]
    _, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert any("/var" in item.reason for item in inconclusive)


def test_a_directory_of_logs_that_is_not_there() -> None:
    guest = server()
    guest.remove("/var/log/audit")
    (finding,) = findings(guest)
    assert (finding.severity, finding.subject) == (Severity.WARNING, "/var/log/audit")
    guest.file("/etc/pam.d/login", "session required pam_loginuid.so require_auditd\n")
    assert findings(guest)[0].severity is Severity.ERROR
    guest.remove("/var/log")
    assert [f.subject for f in findings(guest)] == ["/var/log"]
    guest.file("/usr/lib/tmpfiles.d/var.conf", "d /var/log 0755 - - -\n")
    assert findings(guest) == []
    guest.link("/var/log", "/data/log")
    assert "leads nowhere" in findings(guest)[0].message


def test_an_empty_tree_has_no_logs_to_miss() -> None:
    assert findings(MemoryGuest()) == []

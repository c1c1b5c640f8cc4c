"""System rules on an in-memory guest: units, accounts, SELinux, modes, sudoers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.formats import sudoers
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    EditFile,
    Finding,
    GuestPath,
    MakeLink,
    RemoveFile,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    WriteFile,
)

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
PASSWD = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n"
SHADOW = "root:!:1::::::\ndaemon:*:1::::::\n"
SUDOERS = (
    "Defaults\tenv_reset\nDefaults:admin !lecture, passwd_tries=5\nUser_Alias OPS = alice, \\\n\tbob\n"
    'Defaults secure_path="/bin:/sbin"\nroot ALL=(ALL:ALL) ALL\n%sudo\tALL=(ALL:ALL) ALL\n'
    "#1000 ALL=NOPASSWD: ALL\n@includedir /etc/sudoers.d\n"
)


def healthy() -> MemoryGuest:
    guest = MemoryGuest()
    for unit in ("multi-user", "graphical", "rescue", "poweroff"):
        guest.file(f"/usr/lib/systemd/system/{unit}.target", "[Unit]\n")
    guest.link("/lib", "usr/lib")
    guest.link("/usr/lib/systemd/system/default.target", "graphical.target")
    guest.file("/usr/lib/systemd/systemd", b"x", mode=0o755)
    guest.file("/boot/vmlinuz-1", b"x")
    guest.file("/etc/passwd", PASSWD)
    guest.file("/etc/passwd-", PASSWD)
    guest.file("/etc/shadow", SHADOW, mode=0o640, gid=42)
    guest.file("/etc/shadow-", SHADOW, mode=0o600)
    guest.file("/etc/group", "root:x:0:\nshadow:x:42:\n")
    guest.file("/bin/bash", b"\x7fELF", mode=0o755)
    guest.file("/usr/bin/sudo", b"x", mode=0o4755)
    guest.file("/etc/sudoers", SUDOERS, mode=0o440)
    guest.file("/etc/sudoers.d/admin", "admin ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
    guest.directory("/tmp", mode=0o1777)  # noqa: S108 - a path of the guest
    guest.directory("/var/tmp", mode=0o1777)  # noqa: S108 - a path of the guest
    guest.directory("/root", mode=0o700)
    guest.directory("/usr")
    return guest


def findings(guest: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert inconclusive == []
    return found


def brief(guest: MemoryGuest) -> list[tuple[str, Severity, str]]:
    return [(f.rule.removeprefix("system/"), f.severity, f.subject) for f in findings(guest)]


def only(guest: MemoryGuest) -> Finding:
    (found,) = findings(guest)
    assert found.evidence
    return found


def test_healthy() -> None:
    assert brief(healthy()) == []


def test_empty_tree() -> None:
    assert brief(MemoryGuest()) == []


# --- units ---------------------------------------------------------------------------

DEFAULT = "/etc/systemd/system/default.target"


@pytest.mark.parametrize(
    ("target", "severity", "safety"),
    [
        ("/usr/lib/systemd/system/gone.target", ERROR, Safety.SAFE),
        ("/dev/null", ERROR, Safety.SAFE),
        ("/lib/systemd/system/poweroff.target", ERROR, Safety.REVIEW),
        ("/lib/systemd/system/rescue.target", WARNING, Safety.REVIEW),
    ],
)
def test_default_target(target: str, severity: Severity, safety: Safety) -> None:
    guest = healthy()
    guest.link(DEFAULT, target)
    found = only(guest)
    assert (found.rule, found.severity, found.subject) == (
        "system/default-target-broken",
        severity,
        DEFAULT,
    )
    assert found.repair is not None
    assert found.repair.safety is safety
    (change,) = found.repair.changes
    assert isinstance(change, MakeLink)
    assert change.before == target
    guest.link(DEFAULT, change.target)
    assert brief(guest) == []


def test_default_target_that_is_fine() -> None:
    guest = healthy()
    guest.link(DEFAULT, "/lib/systemd/system/multi-user.target")
    assert brief(guest) == []


def test_no_default_target_at_all() -> None:
    guest = healthy()
    guest.remove("/usr/lib/systemd/system/default.target")
    assert brief(guest) == [("default-target-broken", ERROR, DEFAULT)]


def test_masked_unit() -> None:
    guest = healthy()
    guest.link("/etc/systemd/system/systemd-udevd.service", "/dev/null")
    guest.file("/etc/systemd/system/systemd-logind.service", b"")
    assert brief(guest) == [
        ("boot-unit-masked", ERROR, "/etc/systemd/system/systemd-udevd.service"),
        ("boot-unit-masked", WARNING, "/etc/systemd/system/systemd-logind.service"),
    ]
    repair = findings(guest)[0].repair
    assert repair is not None
    path = GuestPath("/etc/systemd/system/systemd-udevd.service")
    assert repair.changes == (RemoveFile(path=path, backup=False),)


def test_masked_unit_in_a_container_is_a_note() -> None:
    guest = healthy()
    guest.remove("/boot")
    guest.link("/etc/systemd/system/systemd-udevd.service", "/dev/null")
    assert [severity for _, severity, _ in brief(guest)] == [NOTE]


# --- accounts ---------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"", b"garbage\n"])
def test_passwd_gone(content: bytes | None) -> None:
    guest = healthy()
    if content is None:
        guest.remove("/etc/passwd")
    else:
        guest.file("/etc/passwd", content)
    found = next(f for f in findings(guest) if f.subject == "/etc/passwd")
    assert (found.rule, found.severity) == ("system/passwd-damaged", ERROR)
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, WriteFile)
    assert (change.before, change.after) == (content, PASSWD.encode())


def test_root_line_gone() -> None:
    guest = healthy()
    lost = PASSWD.partition("\n")[2].encode()
    guest.file("/etc/passwd", lost)
    found = only(guest)
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == PASSWD.encode()


def test_root_line_gone_from_shadow() -> None:
    guest = healthy()
    guest.file("/etc/shadow", SHADOW.partition("\n")[2], mode=0o640, gid=42)
    found = only(guest)
    assert (found.subject, found.severity) == ("/etc/shadow", ERROR)
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == SHADOW.encode()


def test_a_malformed_line_of_root_is_one_finding_and_mended_in_place() -> None:
    guest = healthy()
    guest.file("/etc/shadow", SHADOW.replace("root:!:1:", "root::!:1:"), mode=0o640, gid=42)
    found = only(guest)
    assert (found.severity, found.subject) == (ERROR, "/etc/shadow:1")
    assert "no other for root" in found.message
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after.decode() == SHADOW


@pytest.mark.parametrize(
    ("path", "severity"), [("/etc/passwd", ERROR), ("/etc/shadow", ERROR), ("/etc/group", WARNING)]
)
def test_line_ends_of_windows(path: str, severity: Severity) -> None:
    guest = healthy()
    before = guest.read(GuestPath(path))
    private = path == "/etc/shadow"
    guest.file(path, before.replace(b"\n", b"\r\n"), mode=0o640 if private else 0o644, gid=42 * private)
    found = only(guest)
    assert (found.rule, found.severity, found.subject) == ("system/passwd-damaged", severity, f"{path}:1")
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == before


def test_root_with_another_number() -> None:
    guest = healthy()
    guest.file("/etc/passwd", PASSWD.replace("root:x:0:0", "root:x:1000:0"))
    assert "root has the number 1000 instead of 0" in only(guest).message


def test_malformed_line_from_the_backup() -> None:
    guest = healthy()
    guest.file("/etc/passwd", PASSWD.replace("daemon:x:1:1::/:/usr/sbin/nologin", "daemon:x:1"))
    found = only(guest)
    assert (found.rule, found.severity, found.subject) == ("system/passwd-damaged", WARNING, "/etc/passwd:2")
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == PASSWD.encode()


def test_no_backup_means_a_person() -> None:
    guest = healthy()
    guest.remove("/etc/shadow-")
    guest.file("/etc/shadow", b"", mode=0o640, gid=42)
    found = only(guest)
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


def test_root_shell() -> None:
    guest = healthy()
    guest.file("/etc/passwd", PASSWD.replace("/bin/bash", "/usr/bin/zsh"))
    found = only(guest)
    assert (found.rule, found.severity, found.subject) == ("system/root-shell-missing", ERROR, "/usr/bin/zsh")
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == PASSWD.encode()


def test_root_shell_closed_on_purpose() -> None:
    guest = healthy()
    guest.file("/etc/passwd", PASSWD.replace("/bin/bash", "/usr/sbin/nologin"))
    assert brief(guest) == []


# --- SELinux ------------------------------------------------------------------------------


def rhel() -> MemoryGuest:
    guest = healthy()
    guest.os = OperatingSystem("rocky", "9", "Rocky", "x86_64", "rpm", "h", ("rhel", "centos", "fedora"))
    guest.file("/etc/selinux/config", "# c\nSELINUX=enforcing\nSELINUXTYPE=targeted\n")
    guest.file("/etc/selinux/targeted/policy/policy.33", b"x")
    return guest


def test_selinux_healthy() -> None:
    assert brief(rhel()) == []


def test_selinux_policy_name_wrong() -> None:
    guest = rhel()
    guest.file("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targetted\n")
    found = only(guest)
    assert (found.rule, found.severity, found.subject) == (
        "system/selinux-config",
        ERROR,
        "/etc/selinux/config:2",
    )
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == b"SELINUX=enforcing\nSELINUXTYPE=targeted\n"


def test_selinux_without_any_policy() -> None:
    guest = rhel()
    guest.remove("/etc/selinux/targeted")
    found = only(guest)
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert b"SELINUX=permissive\n" in change.after
    guest.file("/etc/selinux/config", change.after)
    assert [severity for _, severity, _ in brief(guest)] == [WARNING]


def test_selinux_unused_or_unknown_mode() -> None:
    guest = rhel()
    guest.file("/etc/selinux/config", "SELINUX=on\n")
    assert brief(guest) == [("selinux-config", WARNING, "/etc/selinux/config:1")]
    guest.os = OperatingSystem("debian", "12")
    assert brief(guest) == []


# --- modes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "mode", "after", "severity"),
    [
        ("/", 0o777, 0o755, ERROR),
        ("/etc", 0o700, 0o755, ERROR),
        ("/tmp", 0o777, 0o1777, WARNING),  # noqa: S108 - a path of the guest
        ("/etc/passwd", 0o600, 0o644, ERROR),
        ("/etc/group", 0o777, 0o644, ERROR),
        ("/etc/shadow", 0o644, 0o640, WARNING),
        ("/etc/shadow", 0o666, 0o640, ERROR),
        ("/usr/bin/sudo", 0o755, 0o4755, ERROR),
    ],
)
def test_modes(path: str, mode: int, after: int, severity: Severity) -> None:
    guest = healthy()
    node = guest.nodes[GuestPath(path)]
    node.mode = node.mode & ~0o7777 | mode
    found = only(guest)
    assert (found.rule, found.severity, found.subject) == ("system/critical-modes", severity, path)
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    assert found.repair.changes == (SetMode(path=GuestPath(path), before=mode, after=after),)


def test_owner() -> None:
    guest = healthy()
    guest.nodes[GuestPath("/etc")].uid = 1000
    found = only(guest)
    assert found.repair is not None
    assert found.repair.changes == (SetOwner(path=GuestPath("/etc"), before=(1000, 0), after=(0, 0)),)


def test_packaged_shadow_modes_are_fine() -> None:
    guest = healthy()
    for mode in (0o000, 0o400, 0o600, 0o640):
        guest.file("/etc/shadow", SHADOW, mode=mode)
        assert brief(guest) == []


# --- sudoers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "admin ALL (ALL) ALL",
        "admin ALL=",
        "=ALL",
        "ALL=(ALL) ALL",
        'Defaults badpass_message="x',
        "Defauts env_reset",
        "admin ALL=(ALL",
        "admin ALL=(ALL:ALL)",
        "admin ALL=(ALL) NOPASSWD:",
    ],
)
def test_sudoers_syntax(line: str) -> None:
    guest = healthy()
    guest.file("/etc/sudoers.d/admin", f"# fine\n{line}\n", mode=0o440)
    found = only(guest)
    assert (found.rule, found.severity, found.subject) == ("system/sudoers", ERROR, "/etc/sudoers.d/admin:2")
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, EditFile)
    assert change.after == f"# fine\n# {line}\n".encode()


@pytest.mark.parametrize(
    "line",
    [
        "admin ALL=(ALL) NOPASSWD: SETENV: ALL",
        "%wheel ALL=(root:wheel) /bin/ls, (op) /bin/kill",
        "op HOST=CWD=/tmp ROLE=unconfined_r NOPASSWD:/usr/bin/id",
        "op ALL=() ALL",
        "#1000 ALL = ALL : OTHER = (x) /bin/sh",
        "u ALL=sha224:0GomF8mNN3wlDt1HD9XldjJ3SNgpFdbjO1+NsQ== /bin/ls",
    ],
)
def test_sudoers_rules_that_sudo_takes(line: str) -> None:
    guest = healthy()
    guest.file("/etc/sudoers.d/admin", f"{line}\n", mode=0o440)
    assert findings(guest) == []


def test_sudoers_carriage_return() -> None:
    (old,) = sudoers.parse(b"admin ALL=(ALL) ALL\r\n", (1, 8, 23))
    assert "carriage return" in old.problem
    (new,) = sudoers.parse(b"admin ALL=(ALL) ALL\r\n", (1, 9, 5))
    assert new.problem == ""


def test_sudoers_files_that_are_not_read() -> None:
    guest = healthy()
    guest.file("/etc/sudoers.d/README.txt", "not a rule\n", mode=0o666)
    guest.file("/etc/sudoers.d/old~", "not a rule\n")
    assert brief(guest) == []


def test_sudoers_owner_and_mode() -> None:
    guest = healthy()
    guest.file("/etc/sudoers", SUDOERS, mode=0o666)
    guest.file("/etc/sudoers.d/admin", "a ALL=ALL\n", mode=0o644, uid=1000)
    assert brief(guest) == [
        ("sudoers", ERROR, "/etc/sudoers"),
        ("sudoers", WARNING, "/etc/sudoers.d/admin"),
    ]


def test_sudoers_missing() -> None:
    guest = healthy()
    guest.remove("/etc/sudoers")
    assert brief(guest) == [("sudoers", ERROR, "/etc/sudoers")]


def test_unreadable_file_is_inconclusive() -> None:
    guest = healthy()
    guest.file("/etc/passwd", b"").unreadable = "Input/output error"
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert [i.analyzer for i in inconclusive] == ["system"] * len(inconclusive)
    assert inconclusive
    assert all(f.rule != "system/root-shell-missing" for f in found)


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/sudoers", "/etc/sudoers.d/a"]
)
def test_what_cannot_be_read_hides_nothing_else(path: str) -> None:
    guest = healthy()
    guest.link(DEFAULT, "/dev/null")
    guest.nodes[GuestPath("/root")].mode = 0o40777
    guest.file("/etc/sudoers.d/b", "broken\n", mode=0o440)
    guest.file(path, b"x" * 5_000_000, mode=0o640)
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert {f.subject for f in found} >= {DEFAULT, "/root"} | (
        {"/etc/sudoers.d/b:1"} if path != "/etc/sudoers" else set()
    )
    assert any(path in item.reason for item in inconclusive)
    assert all(item.reason.count(path) == 1 for item in inconclusive)


def test_a_mode_that_hangs_on_an_unreadable_group_is_not_judged() -> None:
    guest = healthy()
    guest.file("/etc/shadow", SHADOW, mode=0o644, gid=42)
    guest.file("/etc/group", b"x" * 5_000_000)
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert found == []
    assert any("the mode of /etc/shadow was not judged" in item.reason for item in inconclusive)


@pytest.mark.parametrize("place", ["/etc/systemd/system.control", "/etc/systemd/system"])
def test_a_unit_that_the_administrator_masked_is_found_wherever(place: str) -> None:
    guest = healthy()
    guest.link(f"{place}/systemd-udevd.service", "/dev/null")
    assert only(guest).subject == f"{place}/systemd-udevd.service"


def test_a_unit_that_its_package_masks_is_not_the_administrators() -> None:
    guest = healthy()
    guest.link("/usr/lib/systemd/system/systemd-udevd.service", "/dev/null")
    assert brief(guest) == []


def test_a_shell_behind_a_lost_link_of_the_merged_usr_is_there() -> None:
    guest = healthy()
    for name in ("bin", "sbin"):
        guest.remove(f"/{name}")
        guest.directory(f"/usr/{name}")
    guest.file("/usr/bin/bash", b"\x7fELF", mode=0o755)
    assert brief(guest) == []
    guest.remove("/usr/bin/bash")
    assert brief(guest) == [("root-shell-missing", ERROR, "/bin/bash")]


@given(st.binary(max_size=300))
def test_sudoers_positions(data: bytes) -> None:
    for line in sudoers.parse(data):
        assert line.offset >= 0
        assert line.offset + line.length <= len(data)

"""system/selinux-labels: what lacks its label where SELinux is enforced, and what only looks like it."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.formats.file_contexts import lookup, parse_file_contexts
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Effect, Finding, GuestPath, Safety, SetLabel, Severity, WriteFile

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
ROCKY = OperatingSystem("rocky", "9", "Rocky Linux 9", "x86_64", "rpm", "guest", id_like=("rhel", "fedora"))
POLICY = "/etc/selinux/targeted"
CONTEXTS = """\
/.*	system_u:object_r:default_t:s0
/	-d	system_u:object_r:root_t:s0
/etc(/.*)?	system_u:object_r:etc_t:s0
/etc/passwd[-\\+]?	--	system_u:object_r:passwd_file_t:s0
/etc/shadow.*	--	system_u:object_r:shadow_t:s0
/etc/ssh/ssh_host.*_key	--	system_u:object_r:sshd_key_t:s0
/usr(/.*)?	system_u:object_r:usr_t:s0
/usr/(s)?bin(/.*)?	system_u:object_r:bin_t:s0
/usr/bin/bash	--	system_u:object_r:shell_exec_t:s0
/usr/lib/systemd/systemd	--	system_u:object_r:init_exec_t:s0
/usr/sbin/sshd	--	system_u:object_r:sshd_exec_t:s0
/var(/.*)?	system_u:object_r:var_t:s0
/var/log(/.*)?	system_u:object_r:var_log_t:s0
/root(/.*)?	system_u:object_r:admin_home_t:s0
/root/\\.ssh(/.*)?	system_u:object_r:ssh_home_t:s0
/home/[^/]+/\\.ssh(/.*)?	unconfined_u:object_r:ssh_home_t:s0
/tmp/.*	<<none>>
"""


def server(mode: str = "enforcing") -> MemoryGuest:
    guest = MemoryGuest(os=ROCKY)
    guest.file("/etc/selinux/config", f"SELINUX={mode}\nSELINUXTYPE=targeted\n")
    guest.file(f"{POLICY}/policy/policy.33", b"x")
    guest.file(f"{POLICY}/contexts/files/file_contexts", CONTEXTS)
    guest.file(f"{POLICY}/contexts/customizable_types", "httpd_sys_content_t\nvirt_content_t\n")
    guest.file("/etc/passwd", "root:x:0:0::/root:/usr/bin/bash\nann:x:1000:1000::/home/ann:/usr/bin/bash\n")
    guest.file("/etc/shadow", "root:$6$a$b:1::::::\nann:!:1::::::\n", mode=0)
    guest.file("/etc/group", "root:x:0:\nann:x:1000:\n")
    for name in ("sshd", "login", "other"):
        guest.file(f"/etc/pam.d/{name}", "auth required pam_unix.so\n")
    guest.file("/etc/ssh/ssh_host_ed25519_key", b"k", mode=0o600)
    guest.file("/usr/bin/bash", b"\x7fELF", mode=0o755)
    guest.file("/usr/lib/systemd/systemd", b"\x7fELF", mode=0o755)
    guest.file("/home/ann/.ssh/authorized_keys", "ssh-ed25519 AAAA\n", mode=0o600)
    guest.file("/root/.ssh/authorized_keys", "ssh-ed25519 AAAA\n", mode=0o600)
    guest.directory("/var/log")
    label_all(guest)
    return guest


def label_all(guest: MemoryGuest) -> None:
    policy = parse_file_contexts(CONTEXTS.encode())
    for path, node in guest.nodes.items():
        label(guest, str(path), lookup(policy, str(path), node.mode))


def label(guest: MemoryGuest, path: str, text: str) -> None:
    guest.nodes[GuestPath(path)].xattrs["security.selinux"] = f"{text}\0".encode() if text else b""


def findings(guest: MemoryGuest) -> list[Finding]:
    found, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert inconclusive == []
    return [f for f in found if f.rule == "system/selinux-labels"]


def test_a_tree_with_its_labels() -> None:
    assert findings(server()) == []


@pytest.mark.parametrize(
    ("path", "has", "severity", "effect"),
    [
        ("/etc/shadow", "system_u:object_r:unlabeled_t:s0", ERROR, Effect.STOPS_LOGIN),
        ("/etc/shadow", "", ERROR, Effect.STOPS_LOGIN),
        ("/etc/passwd", "unconfined_u:object_r:user_tmp_t:s0", ERROR, Effect.STOPS_LOGIN),
        ("/etc/pam.d/sshd", "unconfined_u:object_r:admin_home_t:s0", ERROR, Effect.STOPS_LOGIN),
        ("/etc/ssh/ssh_host_ed25519_key", "system_u:object_r:default_t:s0", ERROR, Effect.STOPS_LOGIN),
        ("/usr/lib/systemd/systemd", "system_u:object_r:file_t:s0", ERROR, Effect.STOPS_BOOT),
        ("/etc/shadow", "system_u:object_r:etc_t:s0", WARNING, Effect.DEGRADES),
    ],
)
def test_a_label_that_is_not_the_policys(path: str, has: str, severity: Severity, effect: Effect) -> None:
    guest = server()
    label(guest, path, has)
    (finding,) = findings(guest)
    assert (finding.severity, finding.subject, finding.effect) == (severity, path, effect)
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert isinstance(change, SetLabel)
    assert (finding.repair.safety is Safety.SAFE) is (severity is ERROR)
    label(guest, path, change.after)
    assert findings(guest) == []


@pytest.mark.parametrize(
    ("path", "has"),
    [
        ("/etc/passwd", "unconfined_u:object_r:passwd_file_t:s0-s0:c0.c1023"),
        ("/etc/ssh", "system_u:object_r:httpd_sys_content_t:s0"),
        ("/home/ann/.ssh/authorized_keys", "unconfined_u:object_r:user_home_t:s0"),
        ("/srv/x", ""),
    ],
)
def test_labels_that_do_not_matter(path: str, has: str) -> None:
    guest = server()
    if GuestPath(path) not in guest.nodes:
        guest.file(path, b"x")
    label(guest, path, has)
    assert findings(guest) == []


def test_keys_that_sshd_may_not_read() -> None:
    guest = server()
    label(guest, "/home/ann/.ssh/authorized_keys", "system_u:object_r:unlabeled_t:s0")
    (finding,) = findings(guest)
    assert (finding.severity, finding.subject) == (WARNING, "/home/ann/.ssh/authorized_keys")


def test_a_tree_that_was_copied_without_labels() -> None:
    guest = server()
    for path in guest.nodes:
        label(guest, str(path), "")
    (finding,) = findings(guest)
    assert (finding.severity, finding.subject, finding.effect) == (ERROR, "/", Effect.STOPS_BOOT)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL
    guest.file("/usr/lib/systemd/system/selinux-autorelabel.service", "[Unit]\n")
    (finding,) = findings(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    (change,) = finding.repair.changes
    assert isinstance(change, WriteFile)
    guest.file(str(change.path), change.after)
    assert [(f.severity, f.subject) for f in findings(guest)] == [(NOTE, "/.autorelabel")]


@pytest.mark.parametrize("mode", ["permissive", "disabled"])
def test_what_is_not_enforced_asks_for_no_label(mode: str) -> None:
    guest = server(mode)
    for path in guest.nodes:
        label(guest, str(path), "")
    assert findings(guest) == []


def test_another_systems_kernel_does_not_start_it() -> None:
    guest = server()
    label(guest, "/etc/shadow", "")
    guest.os = OperatingSystem("debian", "12", "Debian", "x86_64", "deb", "guest")
    assert findings(guest) == []


def test_a_policy_that_cannot_be_read_is_said() -> None:
    guest = server()
    guest.file(f"{POLICY}/contexts/files/file_contexts", CONTEXTS).unreadable = "Input/output error"
    _, inconclusive = run_analyzer(ANALYZER, Context(guest))
    assert any("file_contexts" in item.reason for item in inconclusive)

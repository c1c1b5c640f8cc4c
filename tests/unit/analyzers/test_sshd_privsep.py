"""privsep-dir-missing, privsep-dir-unsafe, privsep-user-missing: broken, healthy, unreadable, hostile."""

from __future__ import annotations

import pytest

from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    EditFile,
    GuestPath,
    MakeDirectory,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    WriteFile,
)
from tests.unit.analyzers.sshd_guest import PASSWD, centos7, debian, findings, only, rocky9, scan


@pytest.mark.parametrize("make", [debian, centos7, rocky9])
def test_a_healthy_guest_has_no_finding(make: object) -> None:
    assert callable(make)
    assert findings(make()) == []


def test_no_sshd_no_findings() -> None:
    assert scan(MemoryGuest()) == ([], [])


@pytest.mark.parametrize(("mode", "uid"), [(0o777, 0), (0o775, 0), (0o713, 0), (0o711, 1000), (0o4777, 74)])
def test_unsafe_directory(mode: int, uid: int) -> None:
    guest = centos7()
    guest.directory("/var/empty/sshd", mode=mode, uid=uid)
    found = only(guest, "privsep-dir-unsafe")
    assert (found.severity, found.subject) == (Severity.ERROR, "/var/empty/sshd")
    assert "must be owned by root and not group or world-writable" in found.message
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    path = GuestPath("/var/empty/sshd")
    owner = SetOwner(path=path, before=(uid, 0), after=(0, 0))
    permissions = SetMode(path=path, before=mode, after=0o711)
    expected = ([owner] if uid else []) + ([permissions] if mode != 0o711 else [])
    assert list(found.repair.changes) == expected


def test_missing_directory_and_where_a_file_or_link_stands() -> None:
    guest = rocky9()
    guest.remove("/usr/share/empty.sshd")
    found = only(guest, "privsep-dir-missing")
    assert found.repair is not None
    assert found.repair.changes == (MakeDirectory(path=GuestPath("/usr/share/empty.sshd"), mode=0o711),)
    guest.file("/usr/share/empty.sshd", b"")
    repair = only(guest, "privsep-dir-missing").repair
    assert repair is not None
    assert repair.changes == (
        MakeDirectory(path=GuestPath("/usr/share/empty.sshd"), mode=0o711, replace="file"),
    )
    guest.link("/usr/share/empty.sshd", "/nowhere")
    assert "a link to /nowhere" in only(guest, "privsep-dir-missing").message


def test_a_parent_that_is_a_file_goes_first() -> None:
    guest = centos7()
    guest.remove("/var/empty")
    guest.file("/var/empty", b"")
    repair = only(guest, "privsep-dir-missing").repair
    assert repair is not None
    assert [c.path for c in repair.changes if isinstance(c, MakeDirectory)] == [
        GuestPath("/var/empty"),
        GuestPath("/var/empty/sshd"),
    ]


def test_a_directory_behind_a_link_is_fine() -> None:
    guest = centos7()
    guest.remove("/var/empty/sshd")
    guest.directory("/srv/empty", mode=0o711)
    guest.link("/var/empty/sshd", "/srv/empty")
    assert findings(guest) == []


def test_run_sshd_is_made_at_boot_or_reported() -> None:
    guest = debian()
    guest.directory("/run/sshd", mode=0o777, uid=1000)  # what is left in /run at rest does not count
    assert findings(guest) == []
    guest.file("/usr/lib/systemd/system/ssh.service", "[Service]\nExecStart=/usr/sbin/sshd -D\n")
    found = only(guest, "privsep-dir-missing")
    assert found.repair is not None
    (change,) = found.repair.changes
    assert isinstance(change, WriteFile)
    assert change.after == b"d /run/sshd 0755 root root -\n"
    guest.file("/etc/tmpfiles.d/own.conf", "d /var/run/sshd 0755 root root\n")
    guest.link("/var/run", "/run")
    assert findings(guest) == []


def test_a_drop_in_that_resets_runtime_directory_is_seen_and_a_mask_is_not_this_rules_business() -> None:
    guest = debian()
    guest.file("/usr/lib/systemd/system/ssh.service", DROPPED)
    assert findings(guest, "privsep-dir-missing") != []
    guest = debian()
    guest.link("/etc/systemd/system/ssh.service", "/dev/null")
    assert findings(guest, "privsep-dir-missing") == []


DROPPED = "[Service]\nExecStart=/usr/sbin/sshd -D\nRuntimeDirectory=sshd\nRuntimeDirectory=\n"


@pytest.mark.parametrize(
    ("distro", "version", "path"),
    [
        ("centos", "7", "/var/empty/sshd"),
        ("almalinux", "8.9", "/var/empty/sshd"),
        ("rhel", "9.3", "/usr/share/empty.sshd"),
        ("fedora", "40", "/usr/share/empty.sshd"),
        ("amzn", "2", "/var/empty/sshd"),
        ("amzn", "2023", "/usr/share/empty.sshd"),
        ("opensuse-leap", "15.6", "/var/lib/empty"),
        ("alpine", "3.20", "/var/empty"),
        ("arch", "", "/usr/share/empty.sshd"),
    ],
)
def test_the_table_where_the_binary_says_nothing(distro: str, version: str, path: str) -> None:
    guest = MemoryGuest(os=OperatingSystem(distro, version))
    guest.file("/usr/sbin/sshd", b"#!/bin/sh\n", mode=0o755)
    assert [f.subject for f in scan(guest)[0] if f.rule == "sshd/privsep-dir-missing"] == [path]


def test_what_the_binary_says_beats_the_table() -> None:
    guest = rocky9()
    guest.file("/usr/sbin/sshd", b"\0OpenSSH_9.9p1\0/srv/lib/privsep\0/usr/sbin/sshd\0", mode=0o755)
    assert [f.subject for f in findings(guest, "privsep-dir-missing")] == ["/srv/lib/privsep"]


def test_an_unmounted_var_is_inconclusive() -> None:
    guest = centos7()
    guest.remove("/var/empty")
    guest.unmounted = (("/var", "no such device"),)
    found, inconclusive = scan(guest)
    assert not [f for f in found if "privsep-dir" in f.rule]
    assert any("/var is not mounted here" in i.reason for i in inconclusive)


def test_an_unreadable_directory_is_inconclusive() -> None:
    guest = centos7()
    guest.directory("/var/empty/sshd").unreadable = "input/output error"
    found, inconclusive = scan(guest)
    assert not [f for f in found if "privsep-dir" in f.rule]
    assert any("input/output error" in i.reason for i in inconclusive)


def _edited(change: EditFile) -> bytes:
    text = change.before
    for edit in sorted(change.edits, key=lambda e: -e.offset):
        text = text[: edit.offset] + edit.text + text[edit.offset + edit.length :]
    return text


def _without_user() -> str:
    return "".join(line for line in PASSWD.splitlines(keepends=True) if not line.startswith("sshd:"))


def test_user_missing_is_added_as_sysusers_says() -> None:
    guest = rocky9()
    guest.file("/etc/passwd", _without_user())
    guest.file("/etc/group", "root:x:0:\nann:x:1000:\n")
    guest.file(
        "/usr/lib/sysusers.d/openssh-server.conf",
        'u sshd 74 "Privilege-separated SSH" /usr/share/empty.sshd -\n',
    )
    found = only(guest, "privsep-user-missing")
    assert found.repair is not None
    assert found.repair.safety is Safety.SAFE
    group, passwd = (c for c in found.repair.changes if isinstance(c, EditFile))
    line = b"sshd:x:74:74:Privilege-separated SSH:/usr/share/empty.sshd:/usr/sbin/nologin\n"
    assert _edited(passwd) == _without_user().encode() + line
    assert _edited(group).endswith(b"sshd:x:74:\n")


def test_user_missing_is_added_as_the_backup_has_it() -> None:
    guest = debian()
    guest.file("/etc/passwd", _without_user())
    guest.file("/etc/passwd-", PASSWD)
    repair = only(guest, "privsep-user-missing").repair
    assert repair is not None
    (change,) = repair.changes
    assert isinstance(change, EditFile)
    assert b"\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n" in _edited(change)


def test_user_missing_with_no_source_takes_the_packages_definition_and_a_free_id() -> None:
    guest = debian()
    guest.file("/etc/passwd", _without_user() + "taken:x:999:999:::\n")
    guest.file("/etc/shadow", "root:*:::::::\n")
    repair = only(guest, "privsep-user-missing").repair
    assert repair is not None
    passwd, shadow = (c for c in repair.changes if isinstance(c, EditFile))
    assert _edited(passwd).endswith(b"sshd:x:998:65534::/run/sshd:/usr/sbin/nologin\n")
    assert _edited(shadow).endswith(b"\nsshd:!*:::::::\n")


def test_a_malformed_line_is_replaced_not_doubled() -> None:
    guest = debian()
    guest.file("/etc/passwd", PASSWD.replace("sshd:x:105:65534:", "sshd:x:105;65534:"))
    found = only(guest, "privsep-user-missing")
    assert found.subject == "/etc/passwd:3"
    assert found.repair is not None
    (change,) = (c for c in found.repair.changes if isinstance(c, EditFile))
    assert _edited(change).count(b"sshd:x:") == 1


def test_user_of_altfiles_counts() -> None:
    guest = debian()
    guest.file("/etc/passwd", _without_user())
    guest.file("/usr/lib/passwd", PASSWD)
    guest.file("/etc/nsswitch.conf", "passwd: files altfiles\n")
    assert findings(guest) == []


def test_privsep_dir_unsafe_where_what_makes_it_at_boot_has_a_loose_mode() -> None:
    guest = debian()
    override = "/etc/systemd/system/ssh.service.d/local.conf"
    guest.file(override, "[Service]\nRuntimeDirectoryMode=0775\n")
    found = only(guest, "privsep-dir-unsafe")
    assert (found.severity, found.subject) == (Severity.ERROR, "/usr/lib/systemd/system/ssh.service")
    assert "RuntimeDirectoryMode=0775" in found.message
    guest.file(override, "[Service]\nRuntimeDirectoryMode=0711\n")
    assert findings(guest) == []


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        ("d /run/sshd 0777 root root -", "/etc/tmpfiles.d/x.conf:1"),
        ("# x\nd /var/run/sshd 0755 sshd root -", "/etc/tmpfiles.d/x.conf:2"),
        ("d /run/sshd 0755 root root -", ""),
        ("d /run/sshd", ""),
    ],
)
def test_privsep_dir_unsafe_by_tmpfiles(line: str, subject: str) -> None:
    """The override takes the unit's own directory away, under the unit's name and not its alias's."""
    guest = debian()
    guest.link("/var/run", "/run")
    guest.file("/etc/systemd/system/ssh.service.d/local.conf", "[Service]\nRuntimeDirectory=\n")
    assert only(guest, "privsep-dir-missing").subject == "/run/sshd"
    guest.file("/etc/tmpfiles.d/x.conf", f"{line}\n")
    assert [(f.rule, f.subject) for f in findings(guest)] == (
        [("sshd/privsep-dir-unsafe", subject)] if subject else []
    )

"""What package managers did, by their logs and dnf's databases."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guestrepair.events import dnf
from guestrepair.events.dnf import DnfHistory
from guestrepair.events.model import Certainty, Event, Unread
from guestrepair.events.packages import DebianPackages, OtherPackageLogs
from guestrepair.formats.package_logs import parse_rpm_action
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.packages.base import Package
from guestrepair.packages.rpm_open import Installed
from guestrepair.system.accounts import Accounts
from guestrepair.system.clock import Clock
from tests.unit.events.read import in_zone, read, utc

HISTORY = """
Start-Date: 2026-11-29  10:00:00
Commandline: apt-get install vim
Requested-By: alice (1000)
Install: vim:amd64 (2:9.0-1), vim-runtime:amd64 (2:9.0-1, automatic)
Upgrade: libc6:amd64 (2.36-8, 2.36-9)
End-Date: 2026-11-29  10:00:30

Start-Date: 2026-11-29  11:00:00
Commandline: /usr/bin/unattended-upgrade
Remove: nano:amd64 (7.2-1)
Error: Sub-process /usr/bin/dpkg returned an error code (1)

Start-Date: 2026-11-29  12:00:00
Purge: ed:amd64 (1.19-1)
"""


def debian(**files: str) -> tuple[list[Event], list[Unread]]:
    guest = MemoryGuest()
    in_zone(guest, "Europe/Berlin")
    names = {"history": "apt/history.log", "dpkg": "dpkg.log", "term": "apt/term.log"}
    for name, content in files.items():
        guest.file(f"/var/log/{names[name]}", content)
    return read(DebianPackages(guest, Clock(guest)))


def test_runs_of_apt_and_what_they_did() -> None:
    events, unread = debian(history=HISTORY)
    assert not unread
    assert [(e.time_ns, e.description, e.actor, e.message, e.get("package")) for e in events[:5]] == [
        (utc("2026-11-29T09:00:00"), "Start Time", "alice", "apt-get install vim", ""),
        (utc("2026-11-29T09:00:00"), "Installation Time", "alice", "install vim 2:9.0-1", "vim"),
        (
            utc("2026-11-29T09:00:00"),
            "Installation Time",
            "alice",
            "install vim-runtime 2:9.0-1",
            "vim-runtime",
        ),
        (utc("2026-11-29T09:00:00"), "Update Time", "alice", "upgrade libc6 2.36-8 -> 2.36-9", "libc6"),
        (utc("2026-11-29T09:00:30"), "End Time", "alice", "end of apt-get install vim", ""),
    ]
    assert events[0].source == "/var/log/apt/history.log:2"
    assert {("old_version", "2.36-8"), ("version", "2.36-9"), ("command", "apt-get install vim")} <= set(
        events[3].detail
    )
    assert all(e.certainty is Certainty.INFERRED for e in events)
    unfinished = [e.message for e in events if e.get("unfinished") and e.description == "Start Time"]
    assert unfinished == [
        "/usr/bin/unattended-upgrade (its end is not on record)", "a run of apt (its end is not on record)",
    ]  # fmt: skip
    assert "error code" in events[5].get("error")


def test_dpkg_did_it_for_whom_apt_was_asked_by() -> None:
    log = """2026-11-29 09:59:00 startup archives unpack
2026-11-29 09:59:00 install ed:amd64 <none> 1.19-1
2026-11-29 10:00:10 status unpacked vim:amd64 2:9.0-1
2026-11-29 10:00:10 upgrade vim:amd64 2:8.0-1 2:9.0-1
2026-11-29 10:00:11 conffile /etc/vim/vimrc install
2026-11-29 10:00:12 conffile /etc/vim/other keep
2026-11-29 10:20:00 configure vim:amd64 2:9.0-1 <none>
nonsense
"""
    events, unread = debian(history=HISTORY, dpkg=log)
    by_dpkg = [e for e in events if "dpkg.log" in e.source]
    assert [(e.actor, e.get("package"), e.kind, e.path) for e in by_dpkg] == [
        (None, "ed", "package", None), ("alice", "vim", "package", None),
        ("alice", "", "configuration", "/etc/vim/vimrc"), ("alice", "", "configuration", None),
        (None, "vim", "package", None),
    ]  # fmt: skip
    assert by_dpkg[1].get("transaction") == "/var/log/apt/history.log:2"
    assert (by_dpkg[1].get("old_version"), by_dpkg[0].get("version")) == ("2:8.0-1", "1.19-1")
    assert [u.source for u in unread] == ["/var/log/dpkg.log:8"]


def test_what_went_wrong_in_maintainer_scripts() -> None:
    term = (
        "\nLog started: 2026-11-29  10:00:00\nSetting up x\r\n"
        "dpkg: error processing package x (--configure):\nLog ended: 2026-11-29  10:00:05\n"
    )
    events, _ = debian(term=term)
    assert [(e.time_ns, e.message, e.source) for e in events] == [
        (utc("2026-11-29T09:00:00"), "apt: dpkg: error processing package x (--configure):",
         "/var/log/apt/term.log:4"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name", "version", "arch"),
    [
        ("Installed: bash-5.1.8-6.el9.x86_64", "bash", "5.1.8-6.el9", "x86_64"),
        ("Updated: 1:net-1.18-1.el7.x86_64", "net", "1:1.18-1.el7", "x86_64"),
        ("Upgraded: perl-Errno-0:1.30-480.el9.noarch", "perl-Errno", "1.30-480.el9", "noarch"),
        ("Installed: openssl-libs-1:3.0-1.el9.i686", "openssl-libs", "1:3.0-1.el9", "i686"),
        ("Erased: odd", "odd", "", ""),
    ],
)
def test_the_name_of_an_rpm(text: str, name: str, version: str, arch: str) -> None:
    found = parse_rpm_action(text)
    assert found is not None
    assert (found.name, found.version, found.architecture) == (name, version, arch)


def others(path: str, content: str) -> list[tuple[object, ...]]:
    guest = MemoryGuest()
    in_zone(guest, "Europe/Berlin")
    guest.file(path, content).mtime = utc("2026-11-29T12:00:00") // 10**9
    events, unread = read(OtherPackageLogs(guest, Clock(guest)))
    assert not unread
    return [(e.time_ns, e.actor, e.message, e.certainty.value) for e in events]


def test_yum_has_no_year() -> None:
    log = "Dec 01 10:00:00 Installed: bash-5.1-6.el7.x86_64\nNov 28 10:00:00 Erased: nano\n"
    assert others("/var/log/yum.log", log) == [
        (utc("2025-12-01T09:00:00"), None, "install bash 5.1-6.el7", "inferred"),
        (utc("2026-11-28T09:00:00"), None, "remove nano", "inferred"),
    ]


def test_dnf_rpm_log() -> None:
    log = """2026-11-29T10:00:00+0100 INFO --- logging initialized ---
2026-11-29T10:00:01+0100 SUBDEBUG Installed: bash-5.1-6.el9.x86_64
2026-11-29T10:00:02Z SUBDEBUG Erase: nano-1-1.noarch
"""
    assert others("/var/log/dnf.rpm.log", log) == [
        (utc("2026-11-29T09:00:01"), None, "install bash 5.1-6.el9", "exact"),
        (utc("2026-11-29T10:00:02"), None, "remove nano 1-1", "exact"),
    ]


def test_zypper() -> None:
    log = """# 2026-11-29 10:00:00 x
2026-11-29 10:00:00|command|root@h|'zypper' 'in' 'vim x'|
2026-11-29 10:00:01|install|vim|9.0-1|x86_64|root@h|repo|abc|
2026-11-29 10:00:01|radd   |x|y|
2026-11-29 10:00:02|remove |nano|1-1|x86_64||
"""
    assert others("/var/log/zypp/history", log) == [
        (utc("2026-11-29T09:00:00"), "root", "zypper in 'vim x'", "inferred"),
        (utc("2026-11-29T09:00:01"), "root", "install vim 9.0-1", "inferred"),
        (utc("2026-11-29T09:00:02"), None, "remove nano 1-1", "inferred"),
    ]


def test_pacman() -> None:
    log = """[2026-11-29T10:00:00+0100] [PACMAN] Running 'pacman -Syu'
[2026-11-29T10:00:01+0100] [ALPM] upgraded vim (8-1 -> 9-1)
[2019-11-29 10:00] [ALPM] installed nano (1-1)
[2026-11-29T10:00:01+0100] [ALPM-SCRIPTLET] warning
"""
    assert others("/var/log/pacman.log", log) == [
        (utc("2026-11-29T09:00:00"), None, "pacman -Syu", "exact"),
        (utc("2026-11-29T09:00:01"), None, "upgrade vim 8-1 -> 9-1", "exact"),
        (utc("2019-11-29T09:00:00"), None, "install nano 1-1", "inferred"),
    ]


# --- dnf ------------------------------------------------------------------------------

DNF4 = """CREATE TABLE trans(id INTEGER PRIMARY KEY AUTOINCREMENT, dt_begin INTEGER NOT NULL, dt_end INTEGER,
    rpmdb_version_begin TEXT, rpmdb_version_end TEXT, releasever TEXT NOT NULL, user_id INTEGER NOT NULL,
    cmdline TEXT, {state} INTEGER NOT NULL);
CREATE TABLE item(id INTEGER PRIMARY KEY, item_type INTEGER NOT NULL);
CREATE TABLE trans_item(id INTEGER PRIMARY KEY AUTOINCREMENT, trans_id INTEGER, item_id INTEGER,
    repo_id INTEGER, action INTEGER NOT NULL, reason INTEGER NOT NULL, state INTEGER NOT NULL);
CREATE TABLE rpm(item_id INTEGER UNIQUE NOT NULL, name TEXT, epoch INTEGER, version TEXT, release TEXT,
    arch TEXT);
INSERT INTO trans VALUES(1, 1700000000, 1700000060, 'a', 'b', '9', 1000, 'install vim', 1),
    (2, 1700001000, NULL, 'a', NULL, '9', 4294967295, 'update', 0);
INSERT INTO rpm VALUES(7, 'vim', 2, '9.0', '1.el9', 'x86_64'), (8, 'bash', 0, '5.1', '6', 'x86_64');
INSERT INTO trans_item VALUES(1, 1, 7, 1, 1, 1, 1), (2, 2, 8, 1, 6, 1, 0);"""
DNF5 = """CREATE TABLE "trans"("id" INTEGER, "dt_begin" INTEGER NOT NULL, "dt_end" INTEGER, "releasever" TEXT,
    "user_id" INTEGER NOT NULL, "description" TEXT, "comment" TEXT, "state_id" INTEGER, PRIMARY KEY("id"));
CREATE TABLE "pkg_name"("id" INTEGER, "name" TEXT NOT NULL UNIQUE, PRIMARY KEY("id"));
CREATE TABLE "arch"("id" INTEGER, "name" TEXT NOT NULL UNIQUE, PRIMARY KEY("id"));
CREATE TABLE "rpm"("item_id" INTEGER NOT NULL UNIQUE, "name_id" INTEGER NOT NULL, "epoch" INTEGER NOT NULL,
    "version" TEXT NOT NULL, "release" TEXT NOT NULL, "arch_id" INTEGER NOT NULL);
CREATE TABLE "trans_item"("id" INTEGER, "trans_id" INTEGER, "item_id" INTEGER, "action_id" INTEGER,
    "state_id" INTEGER, PRIMARY KEY("id"));
INSERT INTO trans VALUES(1, 1700000000, 1700000060, '41', 1000, 'dnf5 install vim', NULL, 2),
    (2, 1700001000, NULL, '41', 4294967295, 'dnf5 upgrade', NULL, 1);
INSERT INTO pkg_name VALUES(1, 'vim'), (2, 'bash');
INSERT INTO arch VALUES(1, 'x86_64');
INSERT INTO rpm VALUES(7, 1, 2, '9.0', '1.fc41', 1), (8, 2, 0, '5.1', '6', 1);
INSERT INTO trans_item VALUES(1, 1, 7, 1, 2), (2, 2, 8, 2, 1);"""


@pytest.mark.parametrize(
    ("place", "script", "release"),
    [
        ("/var/lib/dnf/history.sqlite", DNF4.format(state="state"), "1.el9"),
        ("/var/lib/dnf/history.sqlite", DNF4.format(state="done"), "1.el9"),
        ("/usr/lib/sysimage/libdnf5/transaction_history.sqlite", DNF5, "1.fc41"),
    ],
)
def test_dnfs_history(tmp_path: Path, place: str, script: str, release: str) -> None:
    with sqlite3.connect(tmp_path / "x") as connection:
        connection.executescript(script)
    connection.close()
    guest = MemoryGuest()
    guest.file("/etc/passwd", "alice:x:1000:1000::/home/alice:/bin/sh\n")
    guest.file(place, (tmp_path / "x").read_bytes())
    events, unread = read(DnfHistory(guest, Accounts(guest)))
    assert not unread
    first, end, second, vim, bash = events
    assert (first.actor, first.time_ns // 10**9, end.time_ns // 10**9) == (
        "alice",
        1_700_000_000,
        1_700_000_060,
    )
    assert "install vim" in first.message
    assert (second.actor, second.get("unfinished")) == (None, "yes")
    assert (vim.get("package"), vim.get("version"), vim.actor) == ("vim", f"2:9.0-{release}", "alice")
    assert (vim.time_ns, vim.get("action")) == (end.time_ns, "install")
    assert (bash.get("action"), bash.time_ns, bash.get("unfinished")) == ("upgrade", second.time_ns, "yes")


def test_rpms_own_times_with_who_had_it_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with sqlite3.connect(tmp_path / "x") as connection:
        connection.executescript(DNF4.format(state="state"))
    connection.close()
    guest = MemoryGuest()
    guest.file("/etc/passwd", "alice:x:1000:1000::/home/alice:/bin/sh\n")
    guest.file("/var/lib/dnf/history.sqlite", (tmp_path / "x").read_bytes())

    def times(_guest: object, problem: Callable[[GuestPath, str], None]) -> Iterator[Installed]:
        for seconds in (1_600_000_000, 1_700_000_030, 1_700_001_005):
            yield Installed(Package("vim", "2:9.0-1.el9", "x86_64"), seconds)
        problem(GuestPath("/var/lib/rpm/rpmdb.sqlite"), "damaged")

    monkeypatch.setattr(dnf, "install_times", times)
    events, unread = read(DnfHistory(guest, Accounts(guest)))
    by_rpm = [e for e in events if e.source == "rpm database: vim"]
    assert [(e.actor, e.get("command"), e.certainty.value) for e in by_rpm] == [
        (None, "", "exact"),  # before any transaction
        ("alice", "install vim", "exact"),
        (None, "", "exact"),  # in one whose end is not on record
    ]
    assert [(u.source, u.reason) for u in unread] == [("/var/lib/rpm/rpmdb.sqlite", "damaged")]

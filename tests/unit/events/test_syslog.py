"""Text logs: the times of their lines, and what their messages mean."""

from __future__ import annotations

import bz2
import gzip
import lzma
import time

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestrepair.events import messages
from guestrepair.events.messages import meaning
from guestrepair.events.model import Certainty, Event, Unread
from guestrepair.events.syslog import SyslogFiles
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.clock import Clock
from tests.support.libraries import zstd
from tests.unit.events.read import in_zone, read, utc


def logged(
    *lines: str, written: str = "2026-11-29T20:00:00", zone: str = ""
) -> tuple[list[Event], list[Unread]]:
    guest = MemoryGuest()
    if zone:
        in_zone(guest, zone)
    guest.file("/var/log/auth.log", "".join(f"{line}\n" for line in lines)).mtime = utc(written) // 10**9
    return read(SyslogFiles(guest, Clock(guest)))


def one(line: str) -> Event:
    events, unread = logged(line)
    assert not unread
    return events[0]


WORDS = (
    " from 1.1.1.1 port 5 ssh2",
    "Accepted x for ",
    "Failed x for ",
    "User ",
    "(to a) ",
    "a : TTY=x ; ",
    "COMMAND=",
    " ; PWD=",
    "pam_unix(sshd:session): session opened for user ",
    "New session ",
    "'",
    "name=",
    "(a) CMD (",
    " ",
    "user '",
    " by ",
    "x ran command ",
    " as a from /",
    ": Executing command [USER=a] [TTY=b] [CWD=",
    "] [COMMAND=",
    "authentication failure; ",
    "FAILED LOGIN ",
    " FOR '",
    "Linux version ",
    "a",
)
KEY = "ED25519 SHA256:7Zk+/a"


@pytest.mark.parametrize(
    ("message", "kind", "actor", "details"),
    [
        (
            f"sshd[7]: Accepted publickey for alice from 10.0.4.7 port 501 ssh2: {KEY}",
            "login",
            "alice",
            {
                "action": "login",
                "from": "10.0.4.7",
                "port": "501",
                "method": "publickey",
                "key": "SHA256:7Zk+/a",
                "key_type": "ED25519",
                "pid": "7",
            },
        ),
        (
            f"sshd-session[7]: Accepted publickey for a from ::1 port 5 ssh2: {KEY} ID a (serial 0) CA {KEY}",
            "login",
            "a",
            {"action": "login", "certificate": f"ID a (serial 0) CA {KEY}"},
        ),
        (
            "sshd[7]: Accepted password for root from 10.0.4.7 port 501 ssh2",
            "login",
            "root",
            {"method": "password"},
        ),
        (
            "sshd[7]: Failed password for root from 10.0.4.7 port 501 ssh2",
            "login",
            None,
            {"action": "failed"},
        ),
        (  # a name that a stranger chose, to look like another address
            "sshd[7]: Failed password for invalid user x from 1.1.1.1 port 1 ssh2 from 10.0.4.7 port 5 ssh2",
            "login",
            None,
            {
                "action": "failed",
                "from": "10.0.4.7",
                "user": "x from 1.1.1.1 port 1 ssh2",
                "invalid_user": "yes",
            },
        ),
        (
            "sshd[7]: Invalid user bob from 10.0.4.7 port 5",
            "login",
            None,
            {"action": "failed", "user": "bob"},
        ),
        (
            "sshd[7]: User bob from 10.0.4.7 not allowed because not listed in AllowUsers",
            "login",
            None,
            {"action": "failed", "user": "bob", "from": "10.0.4.7", "reason": "not listed in AllowUsers"},
        ),
        (
            "sshd[7]: User bob not allowed because shell /bin/x does not exist",
            "login",
            None,
            {"action": "failed", "user": "bob", "reason": "shell /bin/x does not exist"},
        ),
        (
            "sshd: maximum authentication attempts exceeded for invalid user a from ::2 from ::1 [preauth]",
            "login",
            None,
            {"action": "failed", "user": "a from ::2", "from": "::1"},
        ),
        (
            "sshd: error: maximum authentication attempts exceeded for root from ::1 port 5 ssh2 [preauth]",
            "login",
            None,
            {"action": "failed", "user": "root", "from": "::1"},
        ),
        (
            "sshd[7]: Disconnected from user alice 10.0.4.7 port 501",
            "login",
            "alice",
            {"action": "logout", "from": "10.0.4.7"},
        ),
        (
            "sshd[7]: pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
            "login",
            "alice",
            {"action": "login", "service": "sshd"},
        ),
        (
            "sshd[7]: pam_unix(sshd:session): session closed for user alice",
            "login",
            "alice",
            {"action": "logout", "pid": "7"},
        ),
        (
            "login[7]: pam_unix(login:session): session opened for user root(uid=0) by LOGIN(uid=0)",
            "login",
            "root",
            {"action": "login", "service": "login"},
        ),
        ("login[7]: ROOT LOGIN ON tty1", "login", "root", {"action": "opened", "line": "tty1"}),
        (
            "login[7]: FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure",
            "login",
            None,
            {"action": "failed", "user": "root"},
        ),
        (
            "sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/vim /etc/fstab ; x",
            "command",
            "alice",
            {"record": "sudo", "pwd": "/home/alice", "user": "root", "tty": "pts/0"},
        ),
        (
            "sudo: alice : TTY=pts/0 ; PWD=/a ; b ; USER=root ; GROUP=wheel ; ENV=A=B ; COMMAND=list",
            "command",
            "alice",
            {"pwd": "/a ; b", "group": "wheel", "env": "A=B"},
        ),
        (
            "sudo: alice : command not allowed ; TTY=pts/0 ; PWD=/ ; USER=b ; COMMAND=/bin/rm",
            "login",
            "alice",
            {"action": "failed", "reason": "command not allowed", "command": "/bin/rm"},
        ),
        (
            "sudo[3]: pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=1000)",
            "log",
            "alice",
            {"action": "opened", "user": "root"},
        ),
        (
            "sudo: pam_unix(sudo:auth): authentication failure; tty=/dev/pts/0 ruser=alice rhost=",
            "login",
            "alice",
            {"action": "failed", "service": "sudo", "tty": "/dev/pts/0"},
        ),
        (
            "su[9]: (to root) alice on pts/0",
            "login",
            "alice",
            {"action": "su", "user": "root", "tty": "pts/0"},
        ),
        ("su[9]: FAILED SU (to root) alice on pts/0", "login", "alice", {"action": "failed", "user": "root"}),
        ("su[9]: Successful su for root by alice", "login", "alice", {"action": "su", "user": "root"}),
        (
            "su[9]: pam_unix(su:session): session opened for user root(uid=0) by alice(uid=1000)",
            "login",
            "alice",
            {"action": "opened", "user": "root"},
        ),
        (
            "useradd[1]: new user: name=bob, UID=1001, GID=1001, home=/home/bob",
            "account",
            None,
            {"user": "bob"},
        ),
        ("usermod[1]: add 'bob' to group 'sudo'", "account", None, {"user": "bob"}),
        ("userdel[1]: delete user 'bob'", "account", None, {"user": "bob"}),
        ("chage[1]: changed password expiry for bob", "account", None, {"user": "bob"}),
        (
            "passwd[1]: pam_unix(passwd:chauthtok): password changed for bob",
            "account",
            None,
            {"user": "bob", "action": "password"},
        ),
        ("gpasswd[1]: user bob added by root to group sudo", "account", "root", {"user": "bob"}),
        (
            "systemd-logind[1]: New session 5 of user alice.",
            "login",
            "alice",
            {"action": "login", "session": "5"},
        ),
        (
            "systemd-logind[1]: New session 'c5' of user 'alice' with class 'user' and type 'tty'.",
            "login",
            "alice",
            {"action": "login", "session": "c5"},
        ),
        ("systemd-logind[1]: Removed session 5.", "login", None, {"action": "logout", "session": "5"}),
        ("systemd-logind[1]: System is rebooting.", "boot", None, {"action": "shutdown"}),
        ("CRON[5]: (root) CMD (chmod 600 /etc/(x))", "command", "root", {"record": "cron"}),
        ("crond[5]: USER root pid  17 cmd run-parts /etc", "command", "root", {"record": "cron"}),
        (
            "crontab[5]: (alice) REPLACE (root)",
            "configuration",
            "alice",
            {"user": "root", "action": "replace"},
        ),
        (
            "doas: alice ran command rm -f /etc/x as root from /home/alice",
            "command",
            "alice",
            {"record": "doas", "pwd": "/home/alice", "user": "root"},
        ),
        (
            "pkexec[4]: alice: Executing command [USER=root] [TTY=x] [CWD=/home/a] [COMMAND=/bin/sh -c y]",
            "command",
            "alice",
            {"record": "pkexec", "pwd": "/home/a"},
        ),
        ("kernel: [    0.000000] Linux version 6.1.0-9-amd64 (debian", "boot", None, {"action": "boot"}),
        ("systemd[1]: Started ssh.service - OpenBSD Secure Shell server.", "service", None, {"pid": "1"}),
        ("systemd[1]: Reached target Shutdown.", "boot", None, {"action": "shutdown"}),
        ("systemd[812]: Reached target Shutdown.", "log", None, {"pid": "812"}),
        ("foo/bar[2]: hello", "log", None, {"program": "bar", "pid": "2"}),
        ("authpriv.info sshd[2]: Server is listening", "log", None, {"program": "sshd", "pid": "2"}),
    ],
)
def test_a_message_and_what_it_means(
    message: str, kind: str, actor: str | None, details: dict[str, str]
) -> None:
    found = one(f"Nov 29 10:00:00 host {message}")
    assert (found.kind, found.actor) == (kind, actor)
    assert details.items() <= dict(found.detail).items()
    assert found.source == "/var/log/auth.log:1"


def test_a_directory_cannot_pretend_a_command() -> None:
    line = "sudo: al : TTY=a ; PWD=/tmp/ ; COMMAND=/bin/x ; USER=root ; COMMAND=/bin/rm COMMAND=b"
    assert one(f"Nov 29 10:00:00 h {line}").message == "/bin/rm COMMAND=b"


@pytest.mark.parametrize(
    ("message", "action", "actor", "user", "place"),
    [
        ("Password auth succeeded for 'root' from 10.0.0.1:500", "login", "root", "", "10.0.0.1"),
        (
            "Pubkey auth succeeded for 'al' with ssh-ed25519 key SHA256:abc from 10.0.0.1:500",
            "login", "al", "", "10.0.0.1",
        ),
        ("Bad password attempt for 'root' from 10.0.0.1:500", "failed", None, "root", "10.0.0.1"),
        ("Login attempt for nonexistent user from 10.0.0.1:500", "failed", None, "", "10.0.0.1"),
        ("Exit (root) from <10.0.0.1:500>: Disconnect received", "logout", "root", "", ""),
    ],
)  # fmt: skip
def test_dropbear(message: str, action: str, actor: str | None, user: str, place: str) -> None:
    found = one(f"Nov 29 10:00:00 h authpriv.info dropbear[7]: {message}")
    assert (found.get("action"), found.actor, found.get("user"), found.get("from")) == (
        action,
        actor,
        user,
        place,
    )


def test_a_commands_event_says_the_command_alone() -> None:
    line = "sudo: alice : TTY=pts/0 ; PWD=/a ; USER=root ; COMMAND=/bin/chmod 600 /etc/fstab"
    assert one(f"Nov 29 10:00:00 h {line}").message == "/bin/chmod 600 /etc/fstab"


def test_a_long_sudo_command_goes_on_in_the_same_directory() -> None:
    events, _ = logged(
        "Nov 29 10:00:00 h sudo: al : TTY=a ; PWD=/srv ; USER=root ; COMMAND=/bin/rm a",
        "Nov 29 10:00:00 h sudo: al : (command continued) b c",
    )
    assert [(e.message, e.get("pwd"), e.kind) for e in events] == [
        ("/bin/rm a", "/srv", "command"), ("b c", "/srv", "command"),
    ]  # fmt: skip


def test_a_login_that_pam_tells_again_is_one_login() -> None:
    events, _ = logged(
        "Nov 29 10:00:00 h sshd[7]: Accepted password for al from ::1 port 5 ssh2",
        "Nov 29 10:00:00 h sshd[7]: pam_unix(sshd:session): session opened for user al(uid=1) by (uid=0)",
        "Nov 29 10:09:00 h sshd[7]: pam_unix(sshd:session): session closed for user al",
        "Nov 29 11:00:00 h sshd[7]: pam_unix(sshd:session): session opened for user al(uid=1) by (uid=0)",
    )
    assert [e.get("action") for e in events] == ["login", "opened", "logout", "login"]


# --- times ----------------------------------------------------------------------------


def times(*stamps: str, written: str, zone: str = "") -> list[int]:
    events, _ = logged(*(f"{s} h a: b" for s in stamps), written=written, zone=zone)
    return [e.time_ns for e in events]


def test_the_year_is_that_of_the_last_change_and_ends_where_the_month_goes_back() -> None:
    days = ("Nov  1 10:00:00", "Dec 31 23:59:59", "Jan  1 00:00:00", "Nov 28 01:00:00", "Feb  2 00:00:00")
    found = times(*days, written="2026-02-02T00:00:01")
    assert found == [
        utc("2024-11-01T10:00:00"), utc("2024-12-31T23:59:59"), utc("2025-01-01T00:00:00"),
        utc("2025-11-28T01:00:00"), utc("2026-02-02T00:00:00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stamp", "written", "year"),
    [
        ("Dec 31 23:59:59", "2026-01-01T00:00:01", "2025-12-31T23:59:59"),
        ("Jan  1 00:30:00", "2025-12-31T23:59:59", "2026-01-01T00:30:00"),  # written an hour ahead
        ("Nov 30 10:00:00", "2026-11-29T20:00:00", "2026-11-30T10:00:00"),
        ("Dec  2 10:00:00", "2026-11-29T20:00:00", "2025-12-02T10:00:00"),
        ("Feb 29 10:00:00", "2026-11-29T20:00:00", "2024-02-29T10:00:00"),
    ],
)
def test_the_year_of_a_single_line(stamp: str, written: str, year: str) -> None:
    assert times(stamp, written=written) == [utc(year)]


def test_a_clock_that_began_in_january_and_is_right_again_ends_no_year() -> None:
    found = times("Nov  5 10:00:00", "Jan  1 00:00:10", "Nov  5 11:00:00", written="2026-11-05T12:00:00")
    assert found[0] == utc("2026-11-05T10:00:00")
    assert found[2] == utc("2026-11-05T11:00:00")


def test_a_clock_that_goes_back_a_little_ends_no_year() -> None:
    found = times("Nov  5 10:00:00", "Nov  5 09:50:00", "Oct 30 10:00:00", written="2026-11-05T12:00:00")
    assert found == [utc("2026-11-05T10:00:00"), utc("2026-11-05T09:50:00"), utc("2026-10-30T10:00:00")]


def test_lines_with_their_year_tell_that_of_those_without() -> None:
    """A guest that was upgraded; its log was copied years later."""
    found = times(
        "Nov  5 10:00:00", "Jan  6 10:00:00", "2024-01-07T10:00:00.5+01:00", written="2026-11-05T12:00:00"
    )
    assert found == [
        utc("2023-11-05T10:00:00"), utc("2024-01-06T10:00:00"), utc("2024-01-07T09:00:00") + 5 * 10**8,
    ]  # fmt: skip


def test_local_times_are_the_guests_also_of_the_hour_that_comes_twice() -> None:
    minutes = ("01:59", "02:10", "02:50", "02:05", "03:00")
    found = times(
        *(f"Oct 25 {each}:00" for each in minutes), written="2026-10-26T12:00:00", zone="Europe/Berlin"
    )
    assert found == [
        utc("2026-10-24T23:59:00"), utc("2026-10-25T00:10:00"), utc("2026-10-25T00:50:00"),
        utc("2026-10-25T01:05:00"), utc("2026-10-25T02:00:00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stamp", "time", "certainty"),
    [
        ("2026-11-29T10:00:00.123456+01:00", utc("2026-11-29T09:00:00") + 123_456_000, Certainty.EXACT),
        ("2026-11-29T10:00:00-0530", utc("2026-11-29T15:30:00"), Certainty.EXACT),
        ("2026-11-29T10:00:00Z", utc("2026-11-29T10:00:00"), Certainty.EXACT),
        ("2026-11-29T10:00:00", utc("2026-11-29T09:00:00"), Certainty.INFERRED),
        ("Nov 29 10:00:00", utc("2026-11-29T09:00:00"), Certainty.INFERRED),
    ],
)
def test_the_forms_of_a_time(stamp: str, time: int, certainty: Certainty) -> None:
    events, unread = logged(f"{stamp} h a: b", zone="Europe/Berlin")
    assert not unread
    assert (events[0].time_ns, events[0].certainty) == (time, certainty)


def test_repeated_messages_are_the_message_again() -> None:
    events, _ = logged(
        "Nov 29 10:00:00 h sshd[1]: Failed password for al from ::1 port 1 ssh2",
        "Nov 29 10:00:09 h last message repeated 3 times",
        "Nov 29 10:00:10 h sshd[1]: message repeated 2 times: [ Failed password for bo from ::1 port 1 ssh2]",
    )
    assert [(e.get("user"), e.get("action"), e.get("repeated")) for e in events] == [
        ("al", "failed", ""), ("al", "failed", "3"), ("bo", "failed", "2"),
    ]  # fmt: skip


# --- files ----------------------------------------------------------------------------


def test_rotated_and_compressed_files_are_read_the_oldest_first() -> None:
    guest = MemoryGuest()
    for name, day, pack in (
        ("auth.log", 9, bytes), ("auth.log.1", 8, bytes), ("auth.log.2.gz", 7, gzip.compress),
        ("auth.log.3.xz", 6, lzma.compress), ("auth.log.10.bz2", 5, bz2.compress),
        ("auth.log-20261104", 4, bytes), ("auth-20261103.log", 3, bytes),
        ("auth.log-20261102.zst", 2, zstd.compress), ("auth.log-20261101.lz4", 1, lz4.frame.compress),
    ):  # fmt: skip
        guest.file(f"/var/log/{name}", pack(b"Nov %2d 10:00:00 h a: b\n" % day)).mtime = (
            utc("2026-11-29") // 10**9
        )
    guest.link("/var/log/auth.log.7", "auth.log")
    guest.file("/var/log/auth.logger", "Nov 29 10:00:00 h a: no\n")
    events, unread = read(SyslogFiles(guest, Clock(guest)))
    assert not unread
    assert [e.time_ns for e in events] == [utc(f"2026-11-{day:02}T10:00:00") for day in range(1, 10)]


def test_each_thing_that_cannot_be_read_costs_itself_and_is_said() -> None:
    guest = MemoryGuest()
    line = b"Nov 29 10:00:00 h a: b\n"
    guest.file(
        "/var/log/auth.log", b"cut off\n\0\0\0" + line + b"Feb 31 10:00:00 h a: b\n" + line[:-1]
    ).mtime = utc("2026-11-29T12:00") // 10**9
    guest.file("/var/log/secure", gzip.compress(line * 100)[:-9]).mtime = utc("2026-11-29T12:00") // 10**9
    guest.file("/var/log/syslog", b"").unreadable = "Input/output error"
    guest.file("/var/log/messages", b"\x28\xb5\x2f\xfd" + b"x" * 99)
    guest.file("/etc/localtime", "no rules")
    events, unread = read(SyslogFiles(guest, Clock(guest)))
    assert [e.source for e in events if "auth" in e.source] == ["/var/log/auth.log:2", "/var/log/auth.log:4"]
    assert len(events) == 102
    said = {u.source: u.reason for u in unread}
    assert said["/var/log/auth.log:1"].startswith("2 lines have no time")
    assert "cut short" in said["/var/log/secure"]
    assert said["/var/log/syslog"] == "Input/output error"
    assert "does not decompress" in said["/var/log/messages"]
    assert "taken for UTC" in said["/etc/localtime"]


def test_a_guest_without_logs_has_no_events() -> None:
    guest = MemoryGuest()
    assert read(SyslogFiles(guest, Clock(guest))) == ([], [])


def test_undecodable_bytes_and_long_lines_are_taken() -> None:
    guest = MemoryGuest()
    guest.file(
        "/var/log/auth.log", b"Nov 29 10:00:00 h a: \xff" + b"x" * 9_000_000 + b"\nNov 29 10:00:01 h a: c\n"
    )
    events, _ = read(SyslogFiles(guest, Clock(guest)))
    assert events[0].message.startswith("a: \udcff")
    assert len(events[0].message) < 70_000
    assert events[1].message == "a: c"


@pytest.mark.parametrize(
    "program",
    [
        "sshd",
        "sudo",
        "su",
        "login",
        "systemd-logind",
        "gpasswd",
        "passwd",
        "CRON",
        "doas",
        "kernel",
        "systemd",
        "x",
    ],
)
@given(text=st.text(max_size=60) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
@settings(max_examples=20, deadline=None)
def test_any_message_is_taken(program: str, text: str) -> None:
    meaning(program, "1", text)


@pytest.mark.parametrize("program", sorted(set(messages._PROGRAMS) - {"passwd", "cron"}))
def test_no_message_takes_long(program: str) -> None:
    started = time.process_time()
    for word in WORDS:
        for begin in (
            "",
            "Failed x for ",
            "Accepted x for ",
            "User ",
            "pam_unix(a:auth): authentication failure; ",
        ):
            meaning(program, "1", begin + word * (8_000 // len(word)) + "!")
    assert time.process_time() - started < 2


def test_a_log_of_others_has_no_meaning() -> None:
    assert meaning("", "", "x") is None
    assert meaning("nginx", "1", "Accepted password for root from 1.2.3.4 port 5 ssh2") is None

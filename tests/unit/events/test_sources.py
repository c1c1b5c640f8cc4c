"""All readers on one guest: their kinds are those they are asked for; causes are found by their events."""

from __future__ import annotations

import struct

import pytest

from guestrepair.events import cause
from guestrepair.events.boots import boots
from guestrepair.events.files import FileTimes
from guestrepair.events.model import Event, Kind
from guestrepair.events.sessions import sessions_of
from guestrepair.events.sources import SOURCES, readers
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model.causes import Confidence
from guestrepair.system.guest_system import System
from tests.unit.events.read import read, utc

AUTH = """Nov 29 09:00:00 h kernel: [    0.000000] Linux version 6.1
Nov 29 09:00:09 h systemd[1]: Reached target Multi-User System.
Nov 29 10:00:00 h sshd[77]: Accepted publickey for alice from 10.0.0.7 port 501 ssh2: ED25519 SHA256:7Zk
Nov 29 10:00:00 h sshd[77]: pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)
Nov 29 10:01:00 h sudo:    alice : TTY=pts/0 ; PWD=/etc ; USER=root ; COMMAND=/usr/bin/chmod -R 777 /etc/ssh
Nov 29 10:05:00 h sshd[77]: pam_unix(sshd:session): session closed for user alice
Nov 29 10:06:00 h useradd[9]: new user: name=bob
"""
APT = """
Start-Date: 2026-11-29  12:00:00
Commandline: apt install vim
Requested-By: alice (1000)
Install: vim:amd64 (1)
End-Date: 2026-11-29  12:00:05
"""


@pytest.fixture
def guest() -> MemoryGuest:
    guest = MemoryGuest()
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:1::/home/alice:/bin/sh\n")
    guest.file("/var/log/auth.log", AUTH).mtime = utc("2026-11-29T13:00:00") // 10**9
    guest.file("/var/log/sudo.log", "Nov 29 10:00:00 : alice : x\n")
    guest.file("/var/log/apt/history.log", APT)
    guest.file("/home/alice/.bash_history", "#1795900000\nls\n")
    guest.file(
        "/var/log/cloud-init.log",
        "2026-11-29 11:00:00,1 - util.py[DEBUG]: Writing to /etc/hosts - wb: [644] 2 bytes\n",
    )
    record = struct.pack("<h2xi32s4s32s256s52x", 7, 7, b"tty1", b"1", b"root", b"")
    guest.file("/var/log/wtmp", record[:340] + struct.pack("<i", 1_795_000_000) + record[344:])
    audit = "type=SYSTEM_BOOT msg=audit(1795942800.1:1): res=success\n"
    guest.file("/var/log/audit/audit.log", audit)
    return guest


def test_a_reader_gives_only_kinds_that_it_is_asked_for(guest: MemoryGuest) -> None:
    system, seen = System(guest), set[Kind]()
    for kinds, make in SOURCES:
        events, unread = read(make(guest, system))
        assert {event.kind for event in events} <= kinds
        assert not unread
        seen |= {event.kind for event in events}
    assert seen >= {
        Kind.ACCOUNT,
        Kind.BOOT,
        Kind.COMMAND,
        Kind.CONFIGURATION,
        Kind.LOGIN,
        Kind.PACKAGE,
        Kind.SERVICE,
    }
    assert len(readers(guest, system, frozenset({Kind.FILE}))) < len(SOURCES)


def all_events(guest: MemoryGuest) -> list[Event]:
    system = System(guest)
    made = (make(guest, system) for _, make in SOURCES)
    return [event for reader in made if not isinstance(reader, FileTimes) for event in read(reader)[0]]


@pytest.mark.parametrize(
    ("path", "package", "when", "rule", "confidence"),
    [
        ("/etc/ssh/sshd_config", "", "10:01:02", "command-names-directory", Confidence.STRONG),
        ("/etc/hosts", "", "11:00:01", "program-wrote-path", Confidence.STRONG),
        ("/usr/bin/vim", "vim", "12:00:03", "package-of-the-path", Confidence.STRONG),
        ("/etc/other", "", "10:03:00", "only-session", Confidence.LIKELY),
        ("/etc/other", "", "10:45:00", "", None),
    ],
)
def test_causes_are_found_by_what_the_readers_give(
    guest: MemoryGuest, path: str, package: str, when: str, rule: str, confidence: Confidence | None
) -> None:
    guest.remove("/var/log/wtmp")
    events = all_events(guest)
    scene = cause.Scene(
        path=path,
        package=package,
        when_ns=utc(f"2026-11-29T{when}"),
        events=events,
        sessions=sessions_of(events),
    )
    found = cause.suspects(scene)
    assert (found[0].rule if found else "") == rule
    assert (found[0].confidence if found else None) == confidence
    assert boots(events) == [(utc("2026-11-29T09:00:00"), True)]

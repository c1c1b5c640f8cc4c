"""sudo's own log file: entries over several lines, with and without the year."""

from __future__ import annotations

from guestrepair.events.sudolog import SudoLog
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.clock import Clock
from tests.unit.events.read import in_zone, read, utc

LOG = """Nov 29 10:00:00 : alice : TTY=pts/0 ; PWD=/home/alice ;
    USER=root ; COMMAND=/usr/bin/vim
    /etc/fstab
Dec  1 10:00:00 2025 : bob : command not allowed ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh
nonsense
"""


def test_commands_and_what_was_refused() -> None:
    guest = MemoryGuest()
    in_zone(guest, "Europe/Berlin")
    guest.file("/var/log/sudo.log", LOG).mtime = utc("2026-11-29T12:00:00") // 10**9
    events, unread = read(SudoLog(guest, Clock(guest)))
    assert [(e.kind.value, e.actor, e.message, e.get("pwd"), e.time_ns) for e in events[:1]] == [
        ("command", "alice", "/usr/bin/vim /etc/fstab", "/home/alice", utc("2025-11-29T09:00:00"))
    ]
    assert (events[1].kind, events[1].actor, events[1].get("action")) == ("login", "bob", "failed")
    assert events[1].time_ns == utc("2025-12-01T09:00:00")
    assert [(u.source, u.reason) for u in unread] == [("/var/log/sudo.log:5", "no entry of sudo's log")]
    assert events[0].source == "/var/log/sudo.log:1"


def test_no_log_has_no_events() -> None:
    guest = MemoryGuest()
    assert read(SudoLog(guest, Clock(guest))) == ([], [])

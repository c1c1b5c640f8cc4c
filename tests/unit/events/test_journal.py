"""Journals of a guest as events: whom they can be believed about, and what is damaged."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.events.journal import Journals
from guestrepair.events.model import Certainty, Event, Kind, Unread
from guestrepair.events.sessions import sessions_of
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from tests.unit.formats.journals import BOOT, START_US, Journal

PLACE = "/var/log/journal/0123/system.journal"
SUDO = b"alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/chmod -R 777 /etc"
UNIT_FAILED = b"be02cf6855d2428ba40df7e9d022f03d"


def line(program: str, text: bytes, **fields: bytes) -> list[tuple[str, bytes]]:
    known = {"MESSAGE": text, "SYSLOG_IDENTIFIER": program.encode(), "_PID": b"7"} | fields
    return list(known.items())


def manager(text: bytes, **fields: bytes) -> list[tuple[str, bytes]]:
    return line("systemd", text, _PID=b"1", **fields)


def guest_with(*journals: Journal | bytes) -> MemoryGuest:
    guest = MemoryGuest()
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
    for number, journal in enumerate(journals):
        data = journal.done() if isinstance(journal, Journal) else journal
        guest.file(PLACE.replace("system", f"system{number}" if number else "system"), data)
    return guest


def of(guest: MemoryGuest) -> tuple[list[Event], list[Unread]]:
    found = list(Journals(guest, AccountNames(guest)).events())
    return [f for f in found if isinstance(f, Event)], [f for f in found if isinstance(f, Unread)]


def only(fields: list[tuple[str, bytes]]) -> Event:
    """The event of one entry, after the boot's."""
    journal = Journal()
    journal.add(fields)
    events, unread = of(guest_with(journal))
    assert unread == []
    assert [e.kind for e in events[:1]] == [Kind.BOOT]
    (event,) = events[1:]
    return event


def test_a_command_by_sudo() -> None:
    event = only(line("sudo", SUDO, _UID=b"1000", _EXE=b"/usr/bin/sudo"))
    assert (event.kind, event.actor) == (Kind.COMMAND, "alice")
    assert event.message == "/usr/bin/chmod -R 777 /etc"
    assert event.get("record") == "sudo"
    assert event.get("pwd") == "/home/alice"
    assert event.time_ns == (START_US + 1_000_000) * 1000
    assert event.certainty is Certainty.EXACT
    assert event.source == f"{PLACE}: 1"


@pytest.mark.parametrize(
    "sender",
    [
        {"_UID": b"1000", "_EXE": b"/usr/bin/logger"},
        {"_UID": b"1000", "_COMM": b"logger"},
        {"_UID": b"1000"},
        {"_UID": b"33", "_EXE": b"/tmp/x"},
    ],
)
@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("sudo", SUDO),
        ("sshd", b"Accepted password for bob from 1.2.3.4 port 5 ssh2"),
        ("systemd", b"Started x.service."),
    ],
)
def test_what_a_user_makes_up_is_a_line_of_a_log(sender: dict[str, bytes], program: str, text: bytes) -> None:
    event = only(line(program, text, **sender))
    assert event.kind is Kind.LOG
    assert event.actor != "bob"
    assert text.decode() in event.message


@pytest.mark.parametrize(
    ("program", "executable"),
    [("sshd", b"/home/eve/sshd"), ("sudo", b"/tmp/sudo"), ("logger", b"/usr/bin/logger"), ("x", b"/opt/x/x")],
)
def test_a_users_program_is_not_believed_for_its_name(program: str, executable: bytes) -> None:
    for text in (SUDO, b"pam_unix(login:session): session opened for user bob(uid=1001) by (uid=0)"):
        assert only(line(program, text, _UID=b"1000", _EXE=executable)).kind is Kind.LOG


def test_logins_make_sessions() -> None:
    journal = Journal()
    journal.add(
        line("sshd", b"Accepted publickey for alice from 10.0.0.7 port 5 ssh2: ED25519 SHA256:abc", _UID=b"0")
    )
    journal.add(
        line("sshd", b"pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)", _UID=b"0")
    )
    journal.add(line("systemd-logind", b"New session 3 of user alice.", _UID=b"0"))
    journal.add(line("sshd", b"pam_unix(sshd:session): session closed for user alice", _UID=b"0"))
    events, _ = of(guest_with(journal))
    (session,) = sessions_of(events)
    assert (session.who, session.event.get("key")) == ("alice", "SHA256:abc")
    assert session.end_ns == (START_US + 4_000_000) * 1000


def test_a_boot_is_told_once_and_by_whichever_journal_is_older() -> None:
    old, new, user = (
        Journal(),
        Journal(start_us=START_US + 50_000_000),
        Journal(start_us=START_US + 60_000_000),
    )
    old.add(line("kernel", b"Linux version 6.1.0-18-amd64 (a@b) #1"), monotonic_us=1)
    old.add(manager(b"Startup finished in 1s."))
    new.add(line("a", b"later"), monotonic_us=3_000_000_000)
    user.add(line("a", b"other"), boot=b"\7" * 16, monotonic_us=600_000_000)
    events, _ = of(guest_with(new, user, old))
    boots = [e for e in events if e.kind is Kind.BOOT]
    assert [b.get("boot") for b in boots] == [BOOT.hex(), (b"\7" * 16).hex()]
    assert boots[0].get("kernel") == "6.1.0-18-amd64"
    assert [b.certainty for b in boots] == [Certainty.EXACT, Certainty.INFERRED]
    assert boots[1].time_ns == (START_US + 61_000_000 - 600_000_000) * 1000


@pytest.mark.parametrize(
    ("fields", "action", "unit"),
    [
        (manager(b"Started A.", UNIT=b"a.service", JOB_RESULT=b"done"), "started", "a.service"),
        (manager(b"Failed to start X.", UNIT=b"x.service"), "failed", "x.service"),
        (manager("Échec.".encode(), UNIT=b"x.service", MESSAGE_ID=UNIT_FAILED), "failed", "x.service"),
        (manager(b"Boo.", UNIT=b"x.mount", JOB_RESULT=b"dependency"), "failed", "x.mount"),
        (manager(b"Reached target a.target - Multi."), "reached", "a.target"),
        (manager(b"Startup finished in 4s."), "startup-finished", ""),
        (manager(b"Stopping X...", UNIT=b"x.service"), "", "x.service"),
    ],
)
def test_units(fields: list[tuple[str, bytes]], action: str, unit: str) -> None:
    event = only(fields)
    assert event.kind is Kind.SERVICE
    assert (event.get("action"), event.get("unit"), event.get("boot")) == (action, unit, BOOT.hex())


def test_a_users_manager_only_logs() -> None:
    event = only(line("systemd", b"Startup finished in 1s.", _PID=b"900", _UID=b"0"))
    assert event.kind is Kind.LOG


def test_a_line_of_a_log_names_the_person_behind_root() -> None:
    fields = line("tool", b"hi", _UID=b"0", _AUDIT_LOGINUID=b"1000")
    assert only(fields).actor == "alice"
    assert only(line("tool", b"hi", _UID=b"0", _AUDIT_LOGINUID=b"4294967295")).actor is None
    assert only(line("tool", b"hi", _UID=b"1001")).actor == "1001"
    assert only(line("tool", b"a\xff\x1b[2J", _UID=b"33")).message == "tool[7]: a\\xff\x1b[2J"


def test_damage_is_said_and_costs_what_it_hit() -> None:
    journal = Journal()
    for number in range(9):
        journal.add(line("a", b"%d" % number))
    data = bytearray(journal.done())
    data[journal.offsets[4]] = 9
    guest = guest_with(bytes(data), b"no journal at all" * 99, b"")
    events, unread = of(guest)
    assert len(events) == 1 + 8
    assert {u.source.partition(":")[0] for u in unread} == {
        PLACE, PLACE.replace("system", "system1"), PLACE.replace("system", "system2")
    }  # fmt: skip


def test_what_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal()
    journal.add(line("a", b"1"))
    guest = guest_with(journal)

    def broken(path: GuestPath, offset_bytes: int, size_bytes: int) -> bytes:
        raise GuestReadError(path, "input/output error")

    monkeypatch.setattr(guest, "read_range", broken)
    events, (unread,) = of(guest)
    assert events == []
    assert "input/output error" in unread.reason


def test_no_journal_says_nothing() -> None:
    assert of(MemoryGuest()) == ([], [])
    guest = MemoryGuest()
    guest.file("/var/log/journal", b"a file")
    guest.link("/run/log/journal/x/system.journal", "/nowhere")
    assert of(guest) == ([], [])

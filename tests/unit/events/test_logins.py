"""Logins on record: wtmp and its like in all layouts, lastlog, and the databases."""

from __future__ import annotations

import gzip
import sqlite3
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guestrepair.events.logins import LastLogins, LoginDatabase, LoginRecords
from guestrepair.events.model import Kind
from guestrepair.formats.utmp import DamagedRecord, LoginRecord, parse_last_login, parse_utmp
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.accounts import Accounts
from tests.unit.events.read import read

LAYOUTS = {
    "x86-64": "<h2xi32s4s32s256shhiii16s20x",
    "s390x": ">h2xi32s4s32s256shhiii16s20x",
    "wide": "<h2xi32s4s32s256shhqqq16s20x4x",
    "wide, big endian": ">h2xi32s4s32s256shhqqq16s20x4x",
}


def record(
    kind: int,
    user: str = "",
    line: str = "pts/0",
    *,
    pid: int = 7,
    host: str = "",
    time: int = 1_700_000_000,
    address: bytes = b"",
    layout: str = LAYOUTS["x86-64"],
) -> bytes:
    return struct.pack(
        layout, kind, pid, line.encode(), b"ts/0", user.encode(), host.encode(), 0, 0, 5, time, 250_000,
        address.ljust(16, b"\0"),
    )  # fmt: skip


def logins(data: bytes, name: str = "wtmp") -> tuple[list[tuple[object, ...]], list[str]]:
    guest = MemoryGuest()
    guest.file(f"/var/log/{name}", data)
    events, unread = read(LoginRecords(guest))
    return [(e.kind.value, e.get("action"), e.actor, e.get("line")) for e in events], [
        u.source for u in unread
    ]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_logins_logouts_and_boots_in_every_layout(layout: str) -> None:
    data = b"".join(
        record(*each, layout=layout, time=1_700_000_000 + at)  # type: ignore[arg-type]
        for at, each in enumerate(
            [
                (2, "reboot", "~"),
                (7, "alice"),
                (8, ""),
                (7, "bob", "pts/1"),
                (1, "shutdown", "~"),
                (8, "", ""),
            ]
        )
    )
    assert logins(data) == (
        [
            ("boot", "boot", None, ""),
            ("login", "login", "alice", "pts/0"),
            ("login", "logout", "alice", "pts/0"),
            ("login", "login", "bob", "pts/1"),
            ("boot", "shutdown", None, ""),
        ],
        [],
    )


def test_where_from_and_when() -> None:
    guest = MemoryGuest()
    guest.file("/var/log/wtmp", record(7, "alice", host="h.example", address=bytes([10, 0, 0, 1])))
    events, _ = read(LoginRecords(guest))
    assert events[0].time_ns == 1_700_000_000_250_000_000
    assert {("from", "h.example"), ("address", "10.0.0.1"), ("pid", "7")} <= set(events[0].detail)
    assert events[0].source == "/var/log/wtmp: byte 0"


def test_failed_logins_name_no_actor() -> None:
    """What was typed as a name may be a password, or anything."""
    assert logins(record(6, "hunter2"), "btmp") == ([("login", "failed", None, "pts/0")], [])


def test_a_damaged_record_costs_itself() -> None:
    good = record(7, "alice")
    found, unread = logins(good + b"\x63\x99" * 192 + good + b"xyz" + good + bytes(384) + good + good[:100])
    assert len(found) == 4
    assert unread == [f"/var/log/wtmp: byte {at}" for at in (384, 3 * 384, 3 * 384 + 3 + 3 * 384)]


def test_rotated_and_compressed() -> None:
    guest = MemoryGuest()
    guest.file("/var/log/wtmp", record(8, ""))
    guest.file("/var/log/wtmp.1.gz", gzip.compress(record(7, "alice")))
    events, unread = read(LoginRecords(guest))
    assert [e.actor for e in events] == ["alice", "alice"]
    assert not unread


@given(st.lists(st.tuples(st.sampled_from(list(LAYOUTS.values())), st.binary(max_size=900)), max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_bytes_are_taken(parts: list[tuple[str, bytes]]) -> None:
    data = b"".join(record(7, "alice", layout=layout) + junk for layout, junk in parts)
    for size in (1, 7, 384, 10_000):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        found = list(parse_utmp(pieces))
        whole = list(parse_utmp([data]))
        assert [type(f) for f in found if isinstance(f, LoginRecord)] == [
            type(f) for f in whole if isinstance(f, LoginRecord)
        ]
        assert all(isinstance(f, LoginRecord | DamagedRecord) for f in found)


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), max_size=8).filter(
    lambda s: "\x7f" not in s
)


@given(
    st.lists(st.tuples(NAMES, st.integers(10**8, 2**31 - 1), st.integers(0, 99999)), max_size=20),
    st.sampled_from(list(LAYOUTS.values())),
)
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read(rows: list[tuple[str, int, int]], layout: str) -> None:
    data = b"".join(record(7, user, pid=pid, time=time, layout=layout) for user, time, pid in rows)
    found = [
        (r.user, r.time_ns // 10**9, r.pid)
        for r in parse_utmp([data[:500], data[500:]])
        if isinstance(r, LoginRecord)
    ]
    assert found == rows


# --- lastlog --------------------------------------------------------------------------


def test_last_logins_of_accounts_are_read_from_a_file_full_of_holes() -> None:
    guest = MemoryGuest()
    guest.file("/etc/passwd", "root:x:0:0::/root:/bin/sh\nal:x:1000:1::/:/bin/sh\nbo:x:9000:1::/:/bin/sh\n")
    one = struct.pack("<i32s256s", 1_700_000_000, b"tty1", b"h")
    bad = b"\xff" * 292
    node = guest.file("/var/log/lastlog", one + bytes(292 * 999) + one + bytes(292 * 7999) + bad)
    node.size_bytes = 292 * 4_000_000_000
    events, unread = read(LastLogins(guest, Accounts(guest)))
    assert [(e.actor, e.get("action"), e.get("line"), e.get("from")) for e in events] == [
        ("root", "last", "tty1", "h"), ("al", "last", "tty1", "h"),
    ]  # fmt: skip
    assert [u.source for u in unread] == [f"/var/log/lastlog: byte {292 * 9000}"]


def test_a_wide_record_of_lastlog() -> None:
    found = parse_last_login(struct.pack("<q32s256s", 5_000_000_000, b"tty1", b""))
    assert found is not None
    assert found.time_ns == 5_000_000_000 * 10**9
    assert parse_last_login(b"short") is None


def test_accounts_that_cannot_be_read_are_said() -> None:
    guest = MemoryGuest()
    guest.file("/etc/passwd", "").unreadable = "Input/output error"
    guest.file("/var/log/lastlog", bytes(292))
    events, unread = read(LastLogins(guest, Accounts(guest)))
    assert (events, [u.reason for u in unread]) == ([], ["Input/output error"])


# --- databases ------------------------------------------------------------------------


def database(tmp_path: Path, script: str, *, wal: bool = False) -> tuple[bytes, bytes]:
    path = tmp_path / "made.db"
    connection = sqlite3.connect(path)
    if wal:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(script)
    log = path.with_name("made.db-wal")
    content = path.read_bytes(), log.read_bytes() if log.exists() else b""
    connection.close()
    return content


WTMPDB = """CREATE TABLE wtmp(ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT NOT NULL, Login INTEGER,
    Logout INTEGER, TTY TEXT, RemoteHost TEXT, Service TEXT) STRICT;
    INSERT INTO wtmp VALUES(1, 1, 'reboot', 1700000000000001, 1700000009000000, '~', '6.1.0', NULL);
    INSERT INTO wtmp VALUES(2, 3, 'alice', 1700000001000000, 1700000002000000, 'pts/0', '10.0.0.1', 'sshd');
    INSERT INTO wtmp VALUES(3, 3, 'bob', 1700000003000000, NULL, 'tty1', NULL, 'login');
    INSERT INTO wtmp VALUES(4, 9, 'x', NULL, NULL, NULL, NULL, NULL);"""


@pytest.mark.parametrize("wal", [False, True])
def test_a_login_database(tmp_path: Path, wal: bool) -> None:
    main, log = database(tmp_path, WTMPDB, wal=wal)
    guest = MemoryGuest()
    guest.file("/var/lib/wtmpdb/wtmp.db", main)
    if wal:
        guest.file("/var/lib/wtmpdb/wtmp.db-wal", log)
    events, unread = read(LoginDatabase(guest))
    assert [(e.kind, e.get("action"), e.actor, e.time_ns // 10**9 % 100) for e in events] == [
        (Kind.BOOT, "boot", None, 0), (Kind.BOOT, "shutdown", None, 9), (Kind.LOGIN, "login", "alice", 1),
        (Kind.LOGIN, "logout", "alice", 2), (Kind.LOGIN, "login", "bob", 3),
    ]  # fmt: skip
    assert events[2].get("from") == "10.0.0.1"
    assert [u.source for u in unread] == ["/var/lib/wtmpdb/wtmp.db: row 4"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("CREATE TABLE a(b); CREATE VIEW wtmp AS SELECT 1 AS ID, 3 AS Type", "no table wtmp"),
        ("CREATE TABLE wtmp(x, ID AS (abs(1)))", "no table wtmp"),
        ("CREATE TABLE a(b)", "no table wtmp"),
    ],
)
def test_what_is_no_plain_table_is_not_read(tmp_path: Path, script: str, said: str) -> None:
    guest = MemoryGuest()
    guest.file("/var/lib/wtmpdb/wtmp.db", database(tmp_path, script)[0])
    events, unread = read(LoginDatabase(guest))
    assert (events, [u.reason for u in unread]) == ([], [said])


def test_a_damaged_database_costs_itself(tmp_path: Path) -> None:
    main, _ = database(tmp_path, WTMPDB)
    guest = MemoryGuest()
    guest.file("/var/lib/wtmpdb/wtmp.db", main[:4096] + b"\xff" * 4096)
    guest.file("/var/log/wtmp.db", "no database")
    events, unread = read(LoginDatabase(guest))
    assert not events
    assert len(unread) == 2
    assert "first bytes" in unread[1].reason


def test_last_logins_of_the_database(tmp_path: Path) -> None:
    script = """CREATE TABLE Lastlog2(Name TEXT PRIMARY KEY, Time INTEGER, TTY TEXT, RemoteHost TEXT,
        Service TEXT) STRICT; INSERT INTO Lastlog2 VALUES('alice', 1700000000, 'pts/0', 'h', 'sshd');"""
    guest = MemoryGuest()
    guest.file("/var/lib/lastlog/lastlog2.db", database(tmp_path, script)[0])
    events, unread = read(LastLogins(guest, Accounts(guest)))
    assert [(e.actor, e.time_ns) for e in events] == [("alice", 1_700_000_000 * 10**9)]
    assert not unread

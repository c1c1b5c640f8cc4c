"""Histories of shells: their forms, whose they are, and how certain their times are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.events.histories import ShellHistories
from guestrepair.events.model import Event, Unread
from guestrepair.formats.shell_history import parse_bash_history, parse_fish_history, parse_zsh_history
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.accounts import Accounts
from tests.unit.events.read import read

PASSWD = "root:x:0:0::/root:/bin/bash\n"
PASSWD += "alice:x:1000:1000::/home/alice:/bin/zsh\nsame:x:1:1::/root:/bin/sh\nx:x:2:2:::\n"


def guest_with(**files: bytes) -> MemoryGuest:
    guest = MemoryGuest()
    guest.file("/etc/passwd", PASSWD)
    guest.directory("/root")
    for name, content in files.items():
        guest.file(f"/home/alice/.{name.replace('__', '/')}", content).mtime = 1_700_000_500
    return guest


def commands(guest: MemoryGuest) -> list[tuple[str | None, str, int, str, str]]:
    events, unread = read(ShellHistories(guest, Accounts(guest)))
    assert not unread
    return [(e.actor, e.message, e.time_ns // 10**9, e.certainty.value, e.get("shell")) for e in events]


def test_bash_without_times_is_bounded_by_the_last_change() -> None:
    found = commands(guest_with(bash_history=b"ls\n# a comment\n\nvim /etc/fstab\n"))
    assert found == [
        ("alice", text, 1_700_000_500, "bounded", "bash") for text in ("ls", "# a comment", "vim /etc/fstab")
    ]


def test_bash_with_times() -> None:
    found = commands(
        guest_with(bash_history=b"old\n#1700000000\nls\n#1700000001\nfor i in 1\ndo x; done\n#17\n")
    )
    assert found == [
        ("alice", "old", 1_700_000_500, "bounded", "bash"),
        ("alice", "ls", 1_700_000_000, "exact", "bash"),
        ("alice", "for i in 1\ndo x; done\n#17", 1_700_000_001, "exact", "bash"),
    ]


def test_zsh() -> None:
    data = b": 1700000000:0;echo \\\nb\nplain\n: 1700000001:5;echo \xc3\x83\xa3; x\n"
    assert commands(guest_with(zsh_history=data)) == [
        ("alice", "echo \nb", 1_700_000_000, "exact", "zsh"),
        ("alice", "plain", 1_700_000_500, "bounded", "zsh"),
        ("alice", "echo \u00c3; x", 1_700_000_001, "exact", "zsh"),
    ]


def test_fish() -> None:
    data = b"- cmd: echo a\\nb \\\\n\n  when: 1700000000\n  paths:\n    - a\n- cmd: ls\n"
    assert commands(guest_with(local__share__fish__fish_history=data)) == [
        ("alice", "echo a\nb \\n", 1_700_000_000, "exact", "fish"),
        ("alice", "ls", 1_700_000_500, "bounded", "fish"),
    ]


def test_each_file_is_read_once_for_its_first_owner() -> None:
    guest = guest_with()
    guest.file("/root/.bash_history", "#1700000000\nls\n")
    assert [(who, text) for who, text, *_ in commands(guest)] == [("root", "ls")]


def test_links_are_not_followed_and_said_unless_they_lead_nowhere() -> None:
    guest = guest_with()
    guest.special("/dev/null", 0o020000)
    guest.link("/root/.bash_history", "/dev/null")
    guest.link("/home/alice/.bash_history", "/etc/passwd")
    events, unread = read(ShellHistories(guest, Accounts(guest)))
    assert (events, [u.source for u in unread]) == ([], ["/home/alice/.bash_history"])


def test_what_cannot_be_read_is_said() -> None:
    guest = guest_with(bash_history=b"ls\n")
    guest.nodes[next(p for p in guest.nodes if p.name == ".bash_history")].unreadable = "Input/output error"
    guest.file("/root/.zsh_history", "ls\n")
    events, unread = read(ShellHistories(guest, Accounts(guest)))
    assert [e.message for e in events] == ["ls"]
    assert [(u.source, u.reason) for u in unread] == [("/home/alice/.bash_history", "Input/output error")]
    guest.file("/etc/passwd", "").unreadable = "Input/output error"
    events, unread = read(ShellHistories(guest, Accounts(guest)))
    assert [(e.message, e.actor) for e in events] == [("ls", "root")]
    assert unread[0] == Unread("/etc/passwd", "Input/output error")
    assert isinstance(events[0], Event)


COMMANDS = st.lists(
    st.tuples(
        st.integers(10**9, 2 * 10**9), st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1)
    ),
    max_size=8,
)


@given(COMMANDS)
def test_what_fish_writes_is_read(entries: list[tuple[int, str]]) -> None:
    lines = [
        line
        for seconds, text in entries
        for line in (f"- cmd: {text.replace(chr(92), chr(92) * 2)}", f"  when: {seconds}")
    ]
    assert [(e.seconds, e.command) for e in parse_fish_history(enumerate(lines, 1))] == entries


@given(COMMANDS)
def test_what_zsh_writes_is_read(entries: list[tuple[int, str]]) -> None:
    entries = [(seconds, text.rstrip("\\") + ";") for seconds, text in entries]

    def metafied(text: str) -> str:
        raw = b"".join(bytes([0x83, b ^ 32]) if 0x83 <= b <= 0xA2 else bytes([b]) for b in text.encode())
        return raw.decode("utf-8", "surrogateescape")

    lines = [metafied(f": {seconds}:0;{text}") for seconds, text in entries]
    assert [(e.seconds, e.command) for e in parse_zsh_history(enumerate(lines, 1))] == entries


@given(COMMANDS)
def test_what_bash_writes_is_read(entries: list[tuple[int, str]]) -> None:
    entries = [(seconds, f"x{text}") for seconds, text in entries]
    lines = [line for seconds, text in entries for line in (f"#{seconds}", text)]
    assert [(e.seconds, e.command) for e in parse_bash_history(enumerate(lines, 1))] == entries


@pytest.mark.parametrize("parse", [parse_bash_history, parse_zsh_history, parse_fish_history])
def test_an_empty_history_is_one(parse: object) -> None:
    assert callable(parse)
    assert list(parse([])) == []

"""Logs by program, the last written first, bounded; what is not read is said in its place."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat

import lz4.frame
import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system import logs
from guestrepair.system.fact import Unreadable
from guestrepair.system.journal import MAX_FILE_BYTES
from guestrepair.system.logs import MAX_FILES, MAX_READ_BYTES, Logs
from tests.support.libraries import zstd

LINE = "Feb  1 10:00:00 host {program}[1]: {message}\n"
TIME = 1706900000  # 2024-02-02


def line(message: str, program: str = "sshd") -> bytes:
    return LINE.format(program=program, message=message).encode()


def log(guest: MemoryGuest, name: str, content: bytes, mtime: int = TIME) -> None:
    guest.file(f"/var/log/{name}", content).mtime = mtime


def read(guest: MemoryGuest, *programs: str, names: tuple[str, ...] = ("auth.log*",)) -> list[str]:
    """``FILE: MESSAGE`` of each entry, ``! FILE`` of what is not read."""
    found = Logs(guest).entries(programs or ("sshd",), names)
    return [f"! {e.path}" if isinstance(e, Unreadable) else f"{e[0].name}: {e[1].message}" for e in found]


def test_entries_of_the_programs_asked_for_the_last_written_log_first() -> None:
    guest = MemoryGuest()
    log(guest, "auth.log.1", line("older"), TIME - 100)
    log(guest, "auth.log", line("newer") + line("su", "su") + line("session", "/usr/lib/sshd-session"))
    log(guest, "syslog", line("elsewhere"))
    assert read(guest) == ["auth.log: newer", "auth.log.1: older"]
    assert read(guest, "su", "sshd-session") == ["auth.log: su", "auth.log: session"]
    assert read(guest, names=("sys*",)) == ["syslog: elsewhere"]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("gz", gzip.compress),
        ("xz", lzma.compress),
        ("bz2", bz2.compress),
        ("zst", zstd.compress),
        ("lz4", lz4.frame.compress),
    ],
)
def test_rotations_are_unpacked(name: str, pack: object) -> None:
    assert callable(pack)
    guest = MemoryGuest()
    log(guest, f"auth.log.2.{name}", pack(line("packed")))
    assert read(guest) == [f"auth.log.2.{name}: packed"]


def test_a_guest_without_logs_has_no_entries() -> None:
    assert read(MemoryGuest()) == []
    guest = MemoryGuest()
    log(guest, "auth.log", b"")
    guest.directory("/var/log/auth.log.d")
    guest.special("/var/log/auth.log.pipe", stat.S_IFIFO)
    assert read(guest) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("1.gz", b"\x1f\x8b" + b"\xff" * 100), ("1.xz", b"\xfd7zXZ\0" + b"\xff" * 100), ("1", b"")],
)
def test_a_log_that_cannot_be_read_is_said_and_the_others_go_on(name: str, content: bytes) -> None:
    guest = MemoryGuest()
    log(guest, "auth.log", line("one"), TIME)
    log(guest, f"auth.log.{name}", content, TIME - 1)
    log(guest, "auth.log.9", line("nine"), TIME - 2)
    guest.nodes[P(f"/var/log/auth.log.{name}")].unreadable = "" if content else "input/output error"
    assert sorted(read(guest)) == [f"! /var/log/auth.log.{name}", "auth.log.9: nine", "auth.log: one"]


def test_of_a_long_log_the_end_is_read_and_a_long_compressed_one_is_said() -> None:
    guest = MemoryGuest()
    log(guest, "auth.log", line("first") + b"x" * MAX_READ_BYTES + b"\n" + line("last"))
    log(guest, "auth.log.1.gz", gzip.compress(line("packed")), TIME - 1)
    guest.nodes[P("/var/log/auth.log.1.gz")].size_bytes = MAX_READ_BYTES + 1
    assert read(guest) == ["auth.log: last", "! /var/log/auth.log.1.gz"]


def test_more_logs_than_are_read_are_said() -> None:
    guest = MemoryGuest()
    for number in range(MAX_FILES + 2):
        log(guest, f"auth.log.{number:02}", line(str(number)), TIME - number)
    found = read(guest)
    assert len(found) == MAX_FILES + 2
    assert found[-2:] == [f"! /var/log/auth.log.{n:02}" for n in (MAX_FILES, MAX_FILES + 1)]


def test_a_log_that_unpacks_to_more_than_anybody_wants_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_EXPANDED_BYTES", 1 << 20)
    guest = MemoryGuest()
    log(guest, "auth.log.1.xz", lzma.compress(line("here") + b"\0" * 3_000_000, preset=0))
    assert read(guest) == ["auth.log.1.xz: here"]


def test_journals_that_cannot_be_had_are_said() -> None:
    guest = MemoryGuest()
    guest.file("/var/log/journal/0123/big.journal", b"x").size_bytes = MAX_FILE_BYTES
    guest.file("/var/log/journal/0123/old.journal", b"x").size_bytes = MAX_FILE_BYTES
    assert "! /var/log/journal/0123/old.journal" in read(guest)
    guest.nodes[P("/var/log/journal")].unreadable = "input/output error"
    assert read(guest) == ["! /var/log/journal"]


def test_nothing_is_read_before_it_is_asked_for() -> None:
    guest = MemoryGuest()
    log(guest, "auth.log", line("x"))
    entries = Logs(guest).entries(("sshd",))
    guest.remove("/var/log")
    assert list(entries) == []

"""What programs wrote into the journal, by our own reader: the last of each file, and what cannot be read."""

from __future__ import annotations

import datetime as dt

import pytest

from guestrepair.formats.logs import MAX_LINE_BYTES
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system import journal as module
from guestrepair.system.fact import Unreadable, known
from guestrepair.system.journal import read_journal
from tests.unit.formats.journals import START_US, Journal

PLACE = "/var/log/journal/0123/system.journal"


def written(*lines: tuple[str, bytes], compact: bool = False) -> bytes:
    journal = Journal(compact=compact)
    for program, message in lines:
        journal.add([("SYSLOG_IDENTIFIER", program.encode()), ("MESSAGE", message)])
    return journal.done()


def read(guest: MemoryGuest, *programs: str) -> list[str]:
    found = read_journal(guest, programs)
    return [f"! {e.path}" if isinstance(e, Unreadable) else e[1].message for e in found]


@pytest.mark.parametrize("compact", [False, True])
def test_lines_of_the_wanted_programs_with_their_time(compact: bool) -> None:
    guest = MemoryGuest()
    guest.file(PLACE, written(("sshd", b"one"), ("su", b"no"), ("sshd-auth", b"t\xffwo"), compact=compact))
    (path, line), other = (known(entry) for entry in read_journal(guest, ("sshd", "sshd-auth")))
    assert (str(path), line.program, line.message) == (PLACE, "sshd", "one")
    begin = dt.datetime.fromtimestamp(START_US / 1e6, tz=dt.UTC)
    assert line.time == begin + dt.timedelta(seconds=1)
    assert (other[1].program, other[1].message) == ("sshd-auth", "t\N{REPLACEMENT CHARACTER}wo")


def test_the_last_written_file_comes_first_and_of_each_the_last_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = MemoryGuest()
    guest.file(PLACE, written(*(("sshd", b"new %d" % n) for n in range(9)))).mtime = 9
    guest.file(f"{PLACE}~", written(("sshd", b"old"))).mtime = 3
    guest.file("/var/log/journal/0123/user-1000.journal", written(("sshd", b"users"))).mtime = 5
    monkeypatch.setattr(module, "MAX_ENTRIES", 2)
    assert read(guest, "sshd") == ["new 7", "new 8", "users", "old"]
    monkeypatch.setattr(module, "MAX_FILES", 1)
    assert read(guest, "sshd") == ["new 7", "new 8"]


def test_a_long_message_is_cut_and_an_entry_without_one_is_none() -> None:
    guest, journal = MemoryGuest(), Journal()
    journal.add([("SYSLOG_IDENTIFIER", b"sshd"), ("MESSAGE", b"x" * 100_000)])
    journal.add([("SYSLOG_IDENTIFIER", b"sshd")])
    guest.file(PLACE, journal.done())
    assert [len(message) for message in read(guest, "sshd")] == [MAX_LINE_BYTES]


def test_what_cannot_be_read_costs_itself_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = MemoryGuest()
    data = written(("sshd", b"one"), ("sshd", b"two"))
    guest.file(PLACE, data).mtime = 1
    guest.file("/var/log/journal/0123/none.journal", b"no journal").mtime = 2
    none = "! /var/log/journal/0123/none.journal"
    assert read(guest, "sshd") == [none, "one", "two"]
    monkeypatch.setattr(module, "MAX_TOTAL_BYTES", len(data) + 5)
    assert read(guest, "sshd") == [none, f"! {PLACE}"]

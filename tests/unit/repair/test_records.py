"""Erasing records of an rpm database: what is written in its place, what goes with it, and what stops it.

What a new database holds is tested with the program that makes it (tests/oracle/test_rpm_records.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.errors import FormatError, RepairError
from guestrepair.guest.view import Guest
from guestrepair.model import EraseRecords
from guestrepair.model import GuestPath as P
from guestrepair.repair import records
from guestrepair.repair.records import erase_records
from guestrepair.session.live import LiveGuest
from guestrepair.session.writer import Writer
from tests.unit.session.fake_appliance import FakeAppliance
from tests.unit.session.test_writer import appliance, guest, writer

__all__ = ["appliance", "guest", "writer"]  # fixtures
CHANGE = EraseRecords(path=P("/var/lib/rpm/rpmdb.sqlite"), records=())


@pytest.fixture
def database(appliance: FakeAppliance) -> Path:
    """The guest's database behind a link, with two of its journals."""
    home = appliance.trees["/dev/sda"] / "usr/lib/sysimage/rpm"
    home.mkdir(parents=True)
    (home / "rpmdb.sqlite").write_bytes(b"before")
    (home / "rpmdb.sqlite-wal").write_bytes(b"half of it")
    (home / "rpmdb.sqlite-shm").write_bytes(b"index")
    (home / "Packages").write_bytes(b"of former days")
    (appliance.trees["/dev/sda"] / "var/lib").mkdir(parents=True)
    (appliance.trees["/dev/sda"] / "var/lib/rpm").symlink_to("../../usr/lib/sysimage/rpm")
    return home / "rpmdb.sqlite"


def made(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """What the program that makes the new database makes."""

    def make(_guest: Guest, change: EraseRecords, target: Path) -> None:
        assert change is CHANGE
        target.write_bytes(content)

    monkeypatch.setattr(records, "erased_database", make)


def test_the_database_is_replaced_and_its_journals_go(
    guest: LiveGuest, writer: Writer, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal of before would be played back into the new database by whoever opens it first."""
    made(monkeypatch, b"after")
    erase_records(guest, writer, CHANGE)
    assert database.read_bytes() == b"after"
    assert {file.name for file in database.parent.iterdir()} == {"rpmdb.sqlite", "Packages"}
    assert guest.read(CHANGE.path) == b"after"


def test_a_record_that_is_another_one_leaves_all_as_it_was(
    guest: LiveGuest, writer: Writer, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_guest: Guest, _change: EraseRecords, _target: Path) -> None:
        raise FormatError("record 7 is of another package")

    monkeypatch.setattr(records, "erased_database", refuse)
    with pytest.raises(RepairError) as error:
        erase_records(guest, writer, CHANGE)
    assert error.value.message == f"{CHANGE.path}: record 7 is of another package"
    assert database.read_bytes() == b"before"
    assert database.with_name("rpmdb.sqlite-wal").exists()


def test_what_reads_back_differently_is_no_repair(
    guest: LiveGuest, writer: Writer, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(monkeypatch, b"after")
    real = Writer.replace_with

    def lose(self: Writer, path: P, source: Path) -> None:
        real(self, path, source)
        database.write_bytes(b"aft")

    monkeypatch.setattr(Writer, "replace_with", lose)
    with pytest.raises(RepairError, match="reads back differently"):
        erase_records(guest, writer, CHANGE)

"""rpm databases that have lost a part: never read as a smaller, healthy one."""

from __future__ import annotations

import lzma
import os
import sqlite3
import struct
from pathlib import Path

import pytest

from guestrepair.errors import FormatError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.packages import open_database
from guestrepair.packages.rpm_child import bdb_check, sqlite_check

PAGE = 4096


def _page(number: int, kind: int, items: int = 0) -> bytes:
    return struct.pack("<8xIIIHHBB", number, 0, 0, items, 0, 0, kind).ljust(PAGE, b"\0")


def berkeley_db(packages: int) -> bytes:
    """A hash database: its first page, one hash page that names the packages, and overflow pages."""
    last = 3
    meta = struct.pack("<8x7I", 0, 0x00061561, 9, PAGE, 8 << 8, 0, last).ljust(PAGE, b"\0")
    return meta + _page(1, 13, 2 * (packages + 1)) + _page(2, 7) + _page(3, 7)


def test_a_whole_berkeley_db_counts_its_packages() -> None:
    problems: list[str] = []
    assert bdb_check(berkeley_db(99), problems) == 99
    assert problems == []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (berkeley_db(99)[: 3 * PAGE], "cut off: 3 of 4 pages"),
        (berkeley_db(99)[:40], "cut off in its first page"),
        (berkeley_db(99)[: 2 * PAGE] + bytes(PAGE) + berkeley_db(99)[3 * PAGE :], "1 of 4 pages are damaged"),
        (berkeley_db(99)[:20] + b"\1\0\0\0" + berkeley_db(99)[24:], "page size"),
    ],
)
def test_a_damaged_berkeley_db_is_said(content: bytes, word: str) -> None:
    problems: list[str] = []
    bdb_check(content, problems)
    assert any(word in problem for problem in problems)


def test_sqlite_counts_its_packages_and_says_what_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "rpmdb.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(b"x" * 3000,)] * 20)
    problems: list[str] = []
    assert sqlite_check(tmp_path, problems) == 20
    assert problems == []
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    sqlite_check(tmp_path, problems)
    assert problems


@pytest.mark.corpus
@pytest.mark.skipif(not os.environ.get("CORPUS"), reason="CORPUS names no folder of published databases")
@pytest.mark.parametrize(
    ("sample", "name", "packages"),
    [
        ("libuuid-bdb.Packages", "Packages", 1),
        ("scancode.rpmdb.sqlite", "rpmdb.sqlite", 2),
        ("sle15-bci.Packages.db", "Packages.db", 35),
    ],
)
@pytest.mark.parametrize("part", [1.0, 0.9, 0.5, 0.0])
def test_published_databases(sample: str, name: str, packages: int, part: float, tmp_path: Path) -> None:
    whole = lzma.decompress((Path(os.environ["CORPUS"]) / "rpmdb" / f"{sample}.xz").read_bytes())
    path = tmp_path / "var/lib/rpm" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(whole[: int(len(whole) * part)])
    guest = HostDirectoryGuest(tmp_path, os_release=OperatingSystem(package_format="rpm"))
    try:
        database = open_database(guest)
    except FormatError:
        assert part < 1
        return
    assert database is not None
    assert bool(database.damage) == (part < 1)
    assert (len(database.packages) == packages) == (part == 1)

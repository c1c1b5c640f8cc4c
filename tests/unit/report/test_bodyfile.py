"""Body files and mactime's table: what fls and mactime write, and names that try to forge a line."""

from __future__ import annotations

import stat

import pytest

from guestrepair.guest.file_records import FileRecord
from guestrepair.report.bodyfile import HEADER, bodyfile, mactime, mode_of


def record(path: str = "/etc/fstab", mode: int = stat.S_IFREG | 0o644, **more: object) -> FileRecord:
    known: dict[str, object] = {"accessed_ns": 1_500_000_000, "modified_ns": 2_000_000_000} | more
    return FileRecord(path=path, inode=9, mode=mode, **known)  # type: ignore[arg-type]


def test_a_line_of_the_body_file() -> None:
    (line,) = bodyfile([record(uid=1, gid=2, size_bytes=3, changed_ns=3 * 10**9, created_ns=4 * 10**9)])
    assert line == "0|/etc/fstab|9|r/rrw-r--r--|1|2|3|1|2|3|4\n"


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (record("/a|b|c"), "/a\\x7cb\\x7cc"),
        (record("/a\nb\tc\x1b[2J"), "/a^b^c^[2J"),
        (record("/\udcff"), "/\\xff"),
        (record("/\x9b\u202e"), "/\\xc2\\x9b\\xe2\\x80\\xae"),
        (record("/ü b"), "/ü b"),
        (record("/l", target="x|y"), "/l -> x\\x7cy"),
        (record("/d", deleted=True), "/d (deleted)"),
        (record("/d", deleted=True, reallocated=True), "/d (deleted-realloc)"),
    ],
)
def test_names(found: FileRecord, name: str) -> None:
    (line,) = bodyfile([found])
    assert line.split("|")[1] == name
    assert line.count("|") == 10
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        (stat.S_IFSOCK | 0o755, "s/hrwxr-xr-x"), (stat.S_IFDIR | 0o1777, "d/drwxrwxrwt"), (0, "V/V---------"),
        (stat.S_IFLNK | 0o777, "l/lrwxrwxrwx"), (stat.S_IFREG | 0o6755, "r/rrwsr-sr-x"),
    ],
)  # fmt: skip
def test_modes(mode: int, shown: str) -> None:
    assert mode_of(record(mode=mode)) == shown
    assert mode_of(record("/$OrphanFiles/OrphanFile-9", stat.S_IFREG)) == "-/r---------"


def test_what_a_journal_has_is_not_in_it() -> None:
    former = record(former=True, deleted=True)
    assert list(bodyfile([former])) == []
    assert list(mactime([former])) == [HEADER]


def test_times_are_of_32_bits_as_fls_has_them() -> None:
    (line,) = bodyfile([record(accessed_ns=-5_250_000_000, modified_ns=(1 << 32) * 10**9)])
    assert line.split("|")[7:9] == ["4294967290", "0"]


def test_the_table_is_in_order_and_quoted() -> None:
    rows = list(
        mactime(
            [record('/q"q', changed_ns=2_900_000_000), record("/none", accessed_ns=None, modified_ns=None)]
        )
    )
    assert rows == [
        HEADER,
        '0000-00-00T00:00:00Z,0,...b,r/rrw-r--r--,0,0,9,"/q""q"\n',
        '1970-01-01T00:00:01Z,0,.a..,r/rrw-r--r--,0,0,9,"/q""q"\n',
        '1970-01-01T00:00:02Z,0,m.c.,r/rrw-r--r--,0,0,9,"/q""q"\n',
    ]

"""What find and stat print of names, whole and cut in any place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.find_records import CREATED, FORMAT, Created, Line, parse_find

ONE = b"5/4755/f/1/2/9/1.5000000000/-6.7500000000/3.0000000010\0\0etc/a\nb\0"
LINK = b"6/777/l/0/0/3/1.0/2.0/3.0\0../x\0l\xff\0"


def test_all_that_find_says() -> None:
    first, second = parse_find([ONE + LINK])
    assert first == Line(b"etc/a\nb", b"", 5, 0o104755, 1, 2, 9, 1_500_000_000, -5_250_000_000, 3_000_000_001)
    assert second is not None
    assert (second.path, second.target, second.mode) == (b"l\xff", b"../x", 0o120777)


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_pieces_are_cut_anywhere(size: int) -> None:
    data = ONE + LINK
    assert list(parse_find(data[at : at + size] for at in range(0, len(data), size))) == list(
        parse_find([data])
    )


@pytest.mark.parametrize(
    "bad",
    [
        b"5/644\0\0a\0",
        b"x/644/f/1/2/9/1/2/3\0\0a\0",
        b"5/9/f/1/2/9/1/2/3\0\0a\0",
        b"5/644/f/1/2/9/1./-/3\0\0a\0",
        b"1" * 500 + b"/644/f/1/2/9/1/2/3\0\0a\0",
    ],
)
def test_a_line_that_cannot_be_read_is_said_and_costs_itself(bad: bytes) -> None:
    found = list(parse_find([ONE + bad + LINK]))
    assert [line is None for line in found] == [False, True, False]


def test_an_answer_that_is_cut_off_is_said() -> None:
    assert list(parse_find([ONE + b"7/6"]))[-1] is None
    assert list(parse_find([ONE + b"7/644/f/1/2/9/1/2/3\0"]))[-1] is None
    assert list(parse_find([b"a" * 20_000])) == [None]
    assert list(parse_find([])) == []


def test_times_of_creation_go_with_their_names() -> None:
    created = Created([b"5/1.500000000\0", b"6/0.000000000\0" + b"8/-2.25", b"0000000\0junk\0"])
    assert created.of(5) == 1_500_000_000
    assert created.of(6) is None
    assert created.of(7) is None  # stat could not read it
    assert created.of(8) == -1_750_000_000
    assert created.of(9) is None


def test_the_formats_are_those_of_this_hosts_programs(tmp_path: Path) -> None:
    (tmp_path / "a b").write_text("nine byte")
    (tmp_path / "l").symlink_to("a b")
    names = subprocess.run(
        ["find", tmp_path, "-mindepth", "1", "-printf", FORMAT], capture_output=True, check=True
    )
    found = {line.path: line for line in parse_find([names.stdout]) if line is not None}
    stat = (tmp_path / "a b").lstat()
    line = found[b"a b"]
    assert (line.inode, line.mode, line.size_bytes) == (stat.st_ino, stat.st_mode, 9)
    assert (line.accessed, line.modified, line.changed) == (
        stat.st_atime_ns,
        stat.st_mtime_ns,
        stat.st_ctime_ns,
    )
    assert found[b"l"].target == b"a b"
    said = subprocess.run(
        ["stat", f"--printf={CREATED}", tmp_path / "l"], capture_output=True, check=True
    ).stdout
    assert Created([said]).of((tmp_path / "l").lstat().st_ino) in {
        None,
        Created([said]).of(found[b"l"].inode),
    }

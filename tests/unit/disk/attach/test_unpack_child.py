"""The child that unpacks a disk, asked in this process: what it writes, and what it says of what is none."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from guestrepair.disk.attach import unpack_child
from guestrepair.disk.attach.unpack_child import RefusedError, RoomError, work
from guestrepair.errors import FormatError

KIB = 1024
DISK = b"\x11" * (70 * KIB) + bytes(200 * KIB) + b"\x22" * (3 * KIB)
"""Data, a hole, and an end that is no whole block."""


def tar(*files: tuple[str, bytes | None]) -> bytes:
    """An archive of these files; None is a directory."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            entry.size = len(content or b"")
            archive.addfile(entry, io.BytesIO(content or b""))
    return made.getvalue()


ARCHIVE = tar(("./sub", None), ("./a.txt", b"words"), ("./disk.raw", DISK), ("b", b""), ("c", b""))


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """What is answered about a source."""

    def answered(
        source: bytes, member: str = "", *, room: int = 1 << 30, most: int = 1 << 30
    ) -> dict[str, Any]:
        asked = {"member": member, "output": str(tmp_path / "out"), "room_bytes": room, "most_bytes": most}
        return work(asked, lambda at, length: source[at : at + length], len(source))

    return answered


@pytest.mark.parametrize(
    ("source", "member"),
    [
        (gzip.compress(DISK, mtime=0), ""),
        (gzip.compress(ARCHIVE, mtime=0), "disk.raw"),
        (gzip.compress(ARCHIVE, mtime=0), "./disk.raw"),
    ],
    ids=["compressed", "in an archive", "by its whole name"],
)
def test_a_disk_is_unpacked_and_its_zeros_take_no_room(
    ask: Callable[..., dict[str, Any]], tmp_path: Path, source: bytes, member: str
) -> None:
    assert ask(source, member, room=160 * KIB) == {"size": len(DISK)}
    out = tmp_path / "out"
    assert out.read_bytes() == DISK
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.stat().st_blocks * 512 < len(DISK) - 64 * KIB


def test_what_lies_in_an_archive_as_it_is_is_read_there(
    ask: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    found = ask(ARCHIVE, "disk.raw")
    assert ARCHIVE[found["at"] : found["at"] + found["size"]] == DISK
    assert not (tmp_path / "out").exists()


def test_an_archive_without_a_name_of_what_is_in_it_is_told_with_its_first(
    ask: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    assert ask(gzip.compress(ARCHIVE, mtime=0)) == {"archive": "./sub/"}
    assert not (tmp_path / "out").exists()


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "not compressed": (DISK, "", "not compressed, though its name says so"),
    "a directory": (ARCHIVE, "sub", "'sub' in the archive is no regular file"),
    "not there": (ARCHIVE, "other", "no 'other' in the archive; there is 'a.txt', 'disk.raw', 'b' and more"),
    "an empty archive": (tar(), "other", "no 'other' in the archive"),
    "a long name": (
        tar(("x" * 300, b"")),
        "y" * 300,
        f"no '{'y' * 100}' in the archive; there is '{'x' * 100}'",
    ),
    "cut short": (ARCHIVE[: 100 * KIB], "disk.raw", "cut short: the archive ends before the disk does"),
}


@pytest.mark.parametrize(("source", "member", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_there_is_said(
    ask: Callable[..., dict[str, Any]], source: bytes, member: str, why: str
) -> None:
    with pytest.raises(RefusedError) as error:
        ask(source, member)
    assert str(error.value).startswith(why)


def test_an_archive_of_very_many_files_comes_to_an_end(
    ask: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack_child, "_MOST_MEMBERS", 3)
    with pytest.raises(RefusedError, match="more than 3 files in the archive"):
        ask(tar(*((str(number), b"") for number in range(9))), "other")


def test_a_disk_without_room_for_it_and_one_without_end_are_ended(ask: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(RoomError):
        ask(gzip.compress(DISK, mtime=0), room=64 * KIB)


def test_more_than_a_disk_can_have_is_not_unpacked(ask: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(FormatError):
        ask(gzip.compress(DISK, mtime=0), most=64 * KIB)


# --- as a program: one line in, one line out -------------------------------------------------------


@pytest.fixture
def program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Its answer about a file."""

    def run(content: bytes, **changed: object) -> dict[str, Any]:
        (tmp_path / "source").write_bytes(content)
        asked = {
            "path": str(tmp_path / "source"),
            "output": str(tmp_path / "out"),
            "member": "",
            "room_bytes": 1 << 30,
            "most_bytes": 1 << 30,
            **changed,
        }
        monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asked) + "\n"))
        unpack_child.main()
        (line,) = capsys.readouterr().out.splitlines()
        return dict(json.loads(line))

    return run


def test_it_answers_with_one_line(program: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert program(gzip.compress(DISK, mtime=0)) == {"size": len(DISK)}
    assert (tmp_path / "out").read_bytes() == DISK


@pytest.mark.parametrize(
    ("content", "changed", "told"),
    [
        (gzip.compress(DISK, mtime=0), {"room_bytes": 1}, {"room": True}),
        (DISK, {}, {"error": "not compressed, though its name says so: rename it"}),
        (b"x" * 2048, {"member": "a"}, {"error": "no whole tar archive: "}),
        (gzip.compress(b"x" * 2048, mtime=0), {"member": "a"}, {"error": "no whole tar archive: "}),
        (gzip.compress(ARCHIVE, mtime=0)[:-30], {"member": "other"}, {"error": ""}),
        (DISK, {"path": "/nowhere/x"}, {"error": "[Errno 2] No such file or directory: '/nowhere/x'"}),
        (
            gzip.compress(DISK, mtime=0),
            {"output": "/nowhere/x"},
            {"error": "[Errno 2] No such file or directory"},
        ),
    ],
)
def test_whatever_goes_wrong_is_in_the_line(
    program: Callable[..., dict[str, Any]], content: bytes, changed: dict[str, Any], told: dict[str, Any]
) -> None:
    answer = program(content, **changed)
    assert answer.keys() == told.keys()
    assert str(answer.get("error", "")).startswith(str(told.get("error", "")))


def test_headers_that_ask_for_too_much_memory_are_said(
    program: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_asked: object) -> None:
        raise MemoryError

    monkeypatch.setattr(unpack_child, "work", exhausted)
    assert "more memory than they may have" in program(DISK)["error"]


def test_a_disk_is_unpacked_over_nothing_that_is_there(
    program: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "kept").write_bytes(b"of somebody")
    (tmp_path / "out").symlink_to("kept")
    assert "File exists" in program(gzip.compress(DISK, mtime=0))["error"]
    assert (tmp_path / "kept").read_bytes() == b"of somebody"

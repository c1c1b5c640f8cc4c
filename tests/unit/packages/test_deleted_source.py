"""Packaged files from what was deleted: only what the database's digest vouches for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guestrepair.guest.file_records import FileRecord, FormerFile
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, RestoreFile
from guestrepair.packages.sources import DeletedSource, Refusal, deleted

CONTENT = b"program" * 1000
TOOL = "/usr/bin/tool"
WANTED = RestoreFile(
    path=GuestPath(TOOL),
    package="tool",
    version="1.0-1",
    architecture="amd64",
    digest=f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}",
)
WITH_MODE = replace(WANTED, mode=0o755)


class Guest(MemoryGuest):
    former: tuple[FormerFile, ...] = ()

    def former_files(self) -> Iterator[FormerFile]:
        return iter(self.former)


def former(path: str = TOOL, content: bytes = CONTENT, *, mode: int = 0o100755, size: int = 0) -> FormerFile:
    known = FileRecord(
        path=path, inode=9, mode=mode, uid=1, gid=2, size_bytes=size or len(content), modified_ns=5 * 10**9,
        deleted=True, former=True,
    )  # fmt: skip
    return FormerFile(known, lambda offset, count: content[offset : offset + count])


def answer(guest: Guest, wanted: RestoreFile, workdir: Path) -> object:
    return DeletedSource(guest).find([wanted], workdir).get(wanted)


def test_a_deleted_file_whose_digest_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleted, "_CHUNK_BYTES", 999)
    guest = Guest()
    guest.former = (former(content=b"newer"), former("/usr/bin/other"), former())
    found = DeletedSource(guest).find([WANTED], tmp_path)[WANTED]
    assert not isinstance(found, Refusal)
    assert found.content is not None
    assert found.content.read_bytes() == CONTENT
    assert (found.mode, found.uid, found.gid, found.mtime, found.source) == (
        0o755, 1, 2, 5, "deleted inode 9 of the guest"
    )  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        former(content=b"written over" * 600),
        former("/usr/bin/other"),
        former(""),
        former(mode=0o100777),
        former(mode=0o120777),
        former(size=len(CONTENT) + 1),
        replace(former(), read=None),
        replace(former(), read=lambda _offset, _size: None),
    ],
)
def test_any_other_is_none(other: FormerFile, tmp_path: Path) -> None:
    guest = Guest()
    guest.former = (other,)
    assert answer(guest, WANTED, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_any_name_will_do_where_the_database_says_the_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = Guest()
    guest.former = (former("", b"x" * 500), former(""))
    assert answer(guest, WITH_MODE, tmp_path) is not None
    monkeypatch.setattr(deleted, "MAX_HASHED_BYTES", 500)
    assert answer(guest, WITH_MODE, tmp_path) is None


@pytest.mark.parametrize(
    ("path", "uid", "mode", "when", "serves"),
    [
        ("", 0, 0o104755, 1_700_000_001, True),
        ("", 0, 0o104755, 1_700_000_009, False),
        ("", 0, 0o104755, None, False),
        ("", 1000, 0o104755, 1_700_000_001, False),
        ("", 0, 0o100775, 1_700_000_001, False),
        ("/root/copy", 0, 0o100700, 1_700_000_001, False),
    ],
)
def test_without_a_name_it_must_have_gone_when_the_directory_changed(
    path: str, uid: int, mode: int, when: int | None, serves: bool, tmp_path: Path
) -> None:
    guest = Guest()
    guest.directory("/usr/bin").mtime = 1_700_000_000
    one = former(path, mode=mode)
    gone = None if when is None else when * 10**9
    guest.former = (replace(one, record=replace(one.record, uid=uid, deleted_ns=gone)),)
    assert (answer(guest, WANTED, tmp_path) is not None) == serves


def test_without_a_digest_or_a_journal_there_is_nothing(tmp_path: Path) -> None:
    guest = Guest()
    assert answer(guest, WANTED, tmp_path) is None
    guest.former = (former(),)
    assert answer(guest, replace(WANTED, digest=""), tmp_path) is None
    assert answer(guest, replace(WANTED, digest="none:00"), tmp_path) is None
    assert answer(guest, WANTED, tmp_path) is not None


@pytest.mark.parametrize(
    ("is_plain", "capabilities", "served"),
    [(True, None, True), (False, None, False), (False, "", True), (False, "cap_net_raw=ep", True)],
)
def test_before_all_others_only_what_loses_no_attributes(
    is_plain: bool, capabilities: str | None, served: bool, tmp_path: Path
) -> None:
    guest = Guest()
    guest.former = (replace(former(), is_plain=is_plain),)
    wanted = replace(WANTED, capabilities=capabilities)
    source = DeletedSource(guest)
    assert (wanted in source.without_loss().find([wanted], tmp_path)) == served
    assert wanted in source.find([wanted], tmp_path)

"""The files that sudo reads, in its order; what is not read is said, and ends nothing else."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.fact import Unreadable
from guestrepair.system.sudoers import MAX_INCLUDED, Sudoers, SudoersFile, SudoersText

RULE = "root ALL=(ALL) ALL\n"


def guest(text: str) -> MemoryGuest:
    made = MemoryGuest()
    made.file("/usr/bin/sudo", b"x", mode=0o4755)
    made.file("/etc/sudoers", text, mode=0o440)
    return made


def read(made: MemoryGuest) -> list[str]:
    return [str(f.path) for f in Sudoers(made).files if isinstance(f, SudoersFile)]


def unread(made: MemoryGuest) -> list[str]:
    texts = [f.text if isinstance(f, SudoersFile) else f for f in Sudoers(made).files]
    return [text.error.message for text in texts if isinstance(text, Unreadable)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RULE, []),
        ("@include sudoers.local\n", ["/etc/sudoers.local"]),
        ('#include "/etc/sudoers.local"\n', ["/etc/sudoers.local"]),
        ("@include /nowhere\n@include /etc/sudoers.d\n", []),
        ("@includedir /etc/sudoers.d\n", ["/etc/sudoers.d/10", "/etc/sudoers.d/20"]),
        (
            "@includedir sudoers.d\n@include sudoers.local\n",
            ["/etc/sudoers.d/10", "/etc/sudoers.d/20", "/etc/sudoers.local"],
        ),
        ("@include sudoers\n@include sudoers\n", []),
    ],
)
def test_the_files_in_their_order(text: str, expected: list[str]) -> None:
    made = guest(text)
    for name in ("sudoers.local", "sudoers.d/20", "sudoers.d/10", "sudoers.d/a.txt", "sudoers.d/b~"):
        made.file(f"/etc/{name}", f"{RULE}@include /etc/sudoers\n")
    made.directory("/etc/sudoers.d/folder")
    assert read(made) == ["/etc/sudoers", *expected]
    assert unread(made) == []


def test_a_file_has_its_lines_and_what_lies_there() -> None:
    made = guest(RULE)
    made.remove("/etc/sudoers")
    made.link("/etc/sudoers", "/opt/sudoers")
    made.file("/opt/sudoers", RULE, mode=0o444, uid=5)
    (file,) = Sudoers(made).files
    assert isinstance(file, SudoersFile)
    assert isinstance(file.text, SudoersText)
    assert (file.real_path, file.stat.uid, file.text.data) == (P("/opt/sudoers"), 5, RULE.encode())
    assert [line.text for line in file.text.lines] == [RULE.strip()]


def test_without_sudo_and_without_its_file() -> None:
    assert not Sudoers(MemoryGuest()).is_installed
    made = guest(RULE)
    made.remove("/etc/sudoers")
    sudoers = Sudoers(made)
    assert sudoers.is_installed
    assert sudoers.files == ()


def test_one_that_is_too_large_is_said_and_the_others_are_read() -> None:
    made = guest("@include /etc/a\n@include /etc/b\n")
    made.file("/etc/a", b"#" * 2_000_000)
    made.file("/etc/b", RULE)
    assert read(made) == ["/etc/sudoers", "/etc/a", "/etc/b"]
    assert ["/etc/a: 2000000 bytes" in reason for reason in unread(made)] == [True]


@pytest.mark.parametrize(
    "text",
    ["".join(f"@include /etc/sudoers.d/{n}\n" for n in range(200)), "@includedir /etc/sudoers.d\n"],
    ids=["files", "a directory"],
)
def test_more_files_than_anybody_has_are_said(text: str) -> None:
    made = guest(text)
    for number in range(200):
        made.file(f"/etc/sudoers.d/{number}", RULE)
    assert len(read(made)) <= MAX_INCLUDED
    assert ["not all of them were looked at" in reason for reason in unread(made)] == [True]

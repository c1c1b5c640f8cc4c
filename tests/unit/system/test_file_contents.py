"""What a file holds: texts, lines by a pattern, digests; and in time by its length."""

from __future__ import annotations

import hashlib
import time

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.system.file_contents import FileContents

PATH = GuestPath("/etc/motd")
TEXT = b"Welcome to ACME\n  PermitRootLogin   no \r\n[main]\na*b\nlast"


def contents(data: bytes = TEXT) -> FileContents:
    guest = MemoryGuest()
    guest.file(str(PATH), data)
    guest.link("/etc/link", "motd")
    return FileContents(guest)


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("Welcome to ACME", True),
        ("Welcome", False),
        ("Welcome*", True),
        ("*ACME", True),
        ("*to*", True),
        ("W*o*A*E", True),
        ("W*A*o*E", False),
        ("PermitRootLogin*no", True),
        ("[main]", True),
        ("[main", False),
        ("?main?", False),
        ("last", True),
        ("*", True),
        ("**", True),
        ("", False),
        ("lastt", False),
        ("last*last", False),
        ("l*st", True),
        ("a*b", True),
        ("ACME*last", False),
        ("*\n*", False),
    ],
)
def test_lines(pattern: str, fits: bool) -> None:
    assert contents().has_line(PATH, pattern) is fits
    assert contents().has_line(GuestPath("/etc/link"), pattern) is fits


def test_an_empty_file_has_no_line_but_the_empty_one() -> None:
    assert contents(b"").has_line(PATH, "")
    assert not contents(b"").has_line(PATH, "a")
    assert contents(b"a\n\nb").has_line(PATH, "")


def test_texts_and_digests() -> None:
    assert contents().has_text(PATH, "ACME\n  Permit")
    assert not contents().has_text(PATH, "acme")
    right = hashlib.sha256(TEXT).hexdigest()
    assert contents().sha256(PATH, right) == contents().sha256(PATH, "0" * 64) == right


def test_what_cannot_be_read_is_said() -> None:
    guest = MemoryGuest()
    guest.directory("/etc")
    guest.file("/large", b"x").size_bytes = 1 << 30
    for path in ("/etc", "/missing", "/large"):
        with pytest.raises(GuestReadError, match=path):
            FileContents(guest).has_text(GuestPath(path), "x")
    with pytest.raises(GuestReadError):
        FileContents(guest).sha256(GuestPath("/missing"), "0" * 64)


@pytest.mark.parametrize("line", [b"ab", b"a" * 999 + b"\n", b"ab\n", b"a" * 200_000])
def test_a_hostile_file_takes_time_by_its_length(line: bytes) -> None:
    found = contents(line * (200_000 // len(line)))
    started = time.process_time()
    assert not found.has_line(PATH, "*".join("ab" * 20) + "*c")
    assert not found.has_line(PATH, "a*" * 40 + "c")
    assert time.process_time() - started < 2

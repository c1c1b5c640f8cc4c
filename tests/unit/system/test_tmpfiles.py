"""Lines of tmpfiles.d that are in force at boot: precedence, masks, what cannot be read."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.formats.tmpfiles import MAX_LINES
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.tmpfiles import Tmpfiles

VENDOR, OWN = "/usr/lib/tmpfiles.d", "/etc/tmpfiles.d"


def test_the_administrators_file_stands_for_the_packages_and_names_decide_the_order() -> None:
    guest = MemoryGuest()
    guest.file(f"{VENDOR}/b.conf", "# b\nd /run/b 0755 root root -\n")
    guest.file(f"{VENDOR}/a.conf", "d /run/vendor\n")
    guest.file(f"{OWN}/a.conf", "d /run/own\nnonsense\n")
    guest.file(f"{VENDOR}/masked.conf", "d /run/masked\n")
    guest.link(f"{OWN}/masked.conf", "/dev/null")
    guest.link(f"{OWN}/lost.conf", "/nowhere")
    guest.file(f"{OWN}/a.txt", "d /run/other\n")
    assert [(each.place, each.path) for each in Tmpfiles(guest).lines] == [
        (f"{OWN}/a.conf:1", P("/run/own")),
        (f"{VENDOR}/b.conf:2", P("/run/b")),
    ]


@pytest.mark.parametrize(
    ("line", "makes", "removes"),
    [
        ("d /x", True, False),
        ("D /x", True, True),
        ("v /x", True, False),
        ("q /x", True, False),
        ("Q /x", True, False),
        ("e /x", False, False),
        ("r! /x", False, True),
        ("R /x", False, True),
        ("f /x", False, False),
        ("L+ /x - - - - /y", False, False),
    ],
)
def test_what_a_line_does(line: str, makes: bool, removes: bool) -> None:
    guest = MemoryGuest()
    guest.file(f"{OWN}/a.conf", f"{line}\n")
    (found,) = Tmpfiles(guest).lines
    assert (found.makes_directory, found.removes) == (makes, removes)


def test_no_directory_no_lines() -> None:
    assert Tmpfiles(MemoryGuest()).lines == ()


@pytest.mark.parametrize("content", ["d /run/x\n", "d /x\n" * (MAX_LINES + 2)])
def test_a_file_that_cannot_be_read_answers_nothing(content: str) -> None:
    guest = MemoryGuest()
    guest.file(f"{VENDOR}/a.conf", "d /run/a\n")
    node = guest.file(f"{VENDOR}/b.conf", content)
    if len(content) < 100:
        node.unreadable = "input/output error"
    with pytest.raises(GuestReadError, match=f"{VENDOR}/b.conf"):
        _ = Tmpfiles(guest).lines

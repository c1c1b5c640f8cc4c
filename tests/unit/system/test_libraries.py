"""What programs are loaded with: one closure for all that ask, each with an answer of its own."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.formats.ldso import Preload
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.guest_system import System
from guestrepair.system.libraries import PRELOAD
from tests.unit.packages.elf_files import elf
from tests.unit.packages.test_closure import guest_with, program

OTHER = "/usr/bin/other"


def guest() -> MemoryGuest:
    made = guest_with(program("liba.so.1", "libgone.so.1"), "/usr/lib64/liba.so.1", "/usr/lib64/libb.so.1")
    made.file(OTHER, program("libb.so.1"), mode=0o755)
    return made


def test_each_question_has_its_own_answer_whatever_was_asked_before() -> None:
    libraries = System(guest()).libraries
    first = libraries.load([P("/usr/bin/program")])
    second = libraries.load([P(OTHER)])
    loader = P("/usr/lib64/ld-linux-x86-64.so.2")
    assert [problem.library for problem in first.unresolved] == ["libgone.so.1"]
    assert set(first.files) == {P("/usr/bin/program"), loader, P("/usr/lib64/liba.so.1")}
    assert second.unresolved == ()
    assert set(second.files) == {P(OTHER), loader, P("/usr/lib64/libb.so.1")}
    assert libraries.load([P("/usr/bin/program")]) == first


def test_a_file_is_read_once_for_all_that_ask() -> None:
    made, read = guest(), []
    plain = made.read_range

    class Watched(MemoryGuest):
        def read_range(self, path: P, offset_bytes: int, size_bytes: int) -> bytes:
            read.append(path)
            return plain(path, offset_bytes, size_bytes)

    watched = Watched()
    watched.nodes = made.nodes
    libraries = System(watched).libraries
    libraries.load([P("/usr/bin/program")])
    assert read
    read.clear()
    libraries.load([P("/usr/bin/program")])
    assert read == []


def test_the_programs_of_boot_are_a_fact() -> None:
    made = guest()
    made.file("/usr/sbin/init", program("libgone.so.1"), mode=0o755)
    system = System(made)
    (problem,) = system.libraries.of_boot.unresolved
    assert (problem.path, problem.library) == (P("/usr/sbin/init"), "libgone.so.1")
    assert system.libraries.of_boot is system.libraries.of_boot
    assert P("/usr/lib64/libgone.so.1") in system.libraries.candidates(problem)


def test_configuration_of_the_loader_that_cannot_be_read_is_said_with_each_answer() -> None:
    made = guest()
    made.file("/etc/ld.so.conf", b"").unreadable = "Input/output error"
    libraries = System(made).libraries
    for _ in range(2):
        assert libraries.load([P(OTHER)]).unread == ("/etc/ld.so.conf: Input/output error",)


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, ()), (b"# x\n", ()), (b"/a.so:/b.so\n", (Preload(1, "/a.so"), Preload(1, "/b.so")))],
)
def test_what_every_program_loads(content: bytes | None, expected: tuple[Preload, ...]) -> None:
    made = guest()
    if content is not None:
        made.file(str(PRELOAD), content)
    assert tuple(found.entry for found in System(made).libraries.preloaded) == expected


def test_a_preload_that_cannot_be_read_is_not_an_empty_one() -> None:
    made = guest()
    made.file(str(PRELOAD), b"").unreadable = "Input/output error"
    with pytest.raises(GuestReadError, match="Input/output error"):
        _ = System(made).libraries.preloaded


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (elf(soname="libz.so.1"), True),
        (elf(soname="libz.so.2"), False),
        (b"\x7fELF", False),
        (b"", False),
    ],
    ids=["its name", "another name", "cut off", "empty"],
)
def test_the_library_that_ldconfig_would_link(content: bytes, found: bool) -> None:
    made = guest()
    made.file("/usr/lib64/libz.so.1.3", content)
    libraries = System(made).libraries
    expected = P("/usr/lib64/libz.so.1.3") if found else None
    assert libraries.with_soname(P("/usr/lib64/libz.so.1")) == expected

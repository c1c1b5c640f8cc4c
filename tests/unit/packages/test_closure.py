"""Which libraries a program finds, by ld.so's rules: search paths, tokens, classes, musl; nothing is run."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.packages.closure import Closure
from tests.unit.packages.elf_files import AARCH64, I386, X86_64, elf

LOADER = "/lib64/ld-linux-x86-64.so.2"
PROGRAM = "/usr/bin/program"


def guest_with(program: bytes, *libraries: str) -> MemoryGuest:
    """A merged guest with a loader, the program, and sound libraries at these paths."""
    guest = MemoryGuest()
    for name in ("bin", "lib", "lib64"):
        guest.directory(f"/usr/{name}")
        guest.link(f"/{name}", f"usr/{name}")
    guest.file("/usr/lib64/ld-linux-x86-64.so.2", elf(soname="ld-linux-x86-64.so.2"))
    guest.file(PROGRAM, program, mode=0o755)
    for path in libraries:
        guest.file(path, elf(soname=path.rpartition("/")[2]))
    return guest


def lost(guest: MemoryGuest, path: str = PROGRAM) -> dict[str, str]:
    """Each library that cannot be loaded, and who needs it."""
    return {p.library: str(p.path) for p in Closure(guest).unresolved([GuestPath(path)])}


def program(*needed: str, rpath: str = "", runpath: str = "") -> bytes:
    return elf(*needed, interpreter=LOADER, rpath=rpath, runpath=runpath)


@pytest.mark.parametrize(
    "place",
    [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3",
    ],
)
def test_the_loaders_own_directories(place: str) -> None:
    assert lost(guest_with(program("liba.so.1"), f"{place}/liba.so.1")) == {}


def test_what_is_nowhere_is_lost() -> None:
    assert lost(guest_with(program("liba.so.1"), "/opt/lib/liba.so.1")) == {"liba.so.1": PROGRAM}


def test_ld_so_conf_and_what_it_includes() -> None:
    guest = guest_with(program("liba.so.1", "libb.so.1"), "/opt/a/liba.so.1", "/opt/b/libb.so.1")
    guest.file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n/opt/a\n")
    guest.file("/etc/ld.so.conf.d/b.conf", "# b\n/opt/b/\n")
    assert lost(guest) == {}


@pytest.mark.parametrize(
    "path",
    ["/opt/app/lib", "$ORIGIN/../../opt/app/lib", "${ORIGIN}/../../opt/app/lib", "/none:/opt/app/lib"],
)
@pytest.mark.parametrize("kind", ["rpath", "runpath"])
def test_search_paths_of_the_program(kind: str, path: str) -> None:
    binary = program("liba.so.1", **{kind: path})
    assert lost(guest_with(binary, "/opt/app/lib/liba.so.1")) == {}


@pytest.mark.parametrize(("kind", "found"), [("rpath", True), ("runpath", False)])
def test_a_runpath_serves_only_the_object_that_has_it(kind: str, found: bool) -> None:
    guest = guest_with(program("liba.so.1", **{kind: "/opt"}), "/opt/libb.so.1")
    guest.file("/opt/liba.so.1", elf("libb.so.1", soname="liba.so.1"))
    assert lost(guest) == ({} if found else {"libb.so.1": "/opt/liba.so.1"})


def test_a_library_of_another_class_or_machine_is_passed_over() -> None:
    guest = guest_with(program("liba.so.1"))
    guest.file("/usr/lib64/liba.so.1", elf(machine=AARCH64))
    guest.file("/usr/lib/liba.so.1", elf(machine=I386))
    assert lost(guest) == {"liba.so.1": PROGRAM}
    guest.file("/usr/lib/x86_64-linux-gnu/liba.so.1", elf(machine=X86_64))
    assert lost(guest) == {}


def test_a_32_bit_program_has_directories_of_its_own() -> None:
    guest = guest_with(elf("libc.so.6", machine=I386, interpreter="/lib/ld-linux.so.2"))
    guest.file("/usr/lib/ld-linux.so.2", elf(machine=I386))
    guest.file("/usr/lib64/libc.so.6", elf())
    assert lost(guest) == {"libc.so.6": PROGRAM}
    guest.file("/usr/lib/i386-linux-gnu/libc.so.6", elf(machine=I386))
    assert lost(guest) == {}


def test_musl_looks_where_its_own_path_file_says() -> None:
    loader = "/lib/ld-musl-x86_64.so.1"
    guest = guest_with(elf("libz.so.1", "libc.musl-x86_64.so.1", interpreter=loader), "/opt/lib/libz.so.1")
    guest.file("/usr/lib/ld-musl-x86_64.so.1", elf())
    assert lost(guest) == {"libz.so.1": PROGRAM}
    guest.file("/etc/ld-musl-x86_64.path", "/lib\n/opt/lib\n")
    assert lost(guest) == {}


def test_a_lost_loader_a_dangling_link_and_a_damaged_library() -> None:
    guest = guest_with(program("liba.so.1", "libb.so.1"), "/usr/lib64/libb.so.1")
    guest.link("/usr/lib64/liba.so.1", "liba.so.1.2.3")
    guest.nodes[GuestPath("/usr/lib64/libb.so.1")].content = b"\x7fELF\x02\x01\x01" + bytes(9)
    guest.remove("/usr/lib64/ld-linux-x86-64.so.2")
    found = {p.library: p.reason for p in Closure(guest).unresolved([GuestPath(PROGRAM)])}
    assert found[LOADER] == "the program's loader (interpreter) is not there"
    assert found["liba.so.1"] == "its link leads nowhere"
    assert found["libb.so.1"].startswith("is damaged")


def test_libraries_of_libraries_in_a_circle() -> None:
    guest = guest_with(program("liba.so.1"))
    guest.file("/usr/lib64/liba.so.1", elf("libb.so.1", soname="liba.so.1"))
    guest.file("/usr/lib64/libb.so.1", elf("liba.so.1", "libc.so.6", soname="libb.so.1"))
    assert lost(guest) == {"libc.so.6": "/usr/lib64/libb.so.1"}


def test_a_script_is_judged_by_its_interpreter() -> None:
    guest = guest_with(b"#! /usr/bin/perl -w\n")
    assert lost(guest) == {"/usr/bin/perl": PROGRAM}
    guest.file("/usr/bin/perl", program("libperl.so"), mode=0o755)
    assert lost(guest) == {"libperl.so": "/usr/bin/perl"}


def _cut_off() -> list[bytes]:
    whole = program("liba.so.1", runpath="/opt")
    return [whole[:size] for size in range(4, len(whole), 7)]


@pytest.mark.parametrize("content", _cut_off(), ids=len)
def test_a_program_cut_off_anywhere_is_never_sound(content: bytes) -> None:
    assert lost(guest_with(content, "/usr/lib64/liba.so.1"))

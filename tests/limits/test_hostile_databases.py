"""Package databases and library paths that were made to fill the memory: bounded, and said to be."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from guestrepair.errors import FormatError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.packages import dpkg_open, listed
from guestrepair.packages.closure import Closure
from guestrepair.system.boot_programs import find_boot_programs, module_directories, pam_modules
from tests.unit.packages.deb_guest import deb_guest
from tests.unit.packages.test_closure import guest_with, program

MIB = 1024 * 1024


# --- dpkg -------------------------------------------------------------------------------------------


def test_a_backup_whose_number_is_none() -> None:
    guest = deb_guest()
    status = guest.nodes[GuestPath("/var/lib/dpkg/status")].content
    guest.file("/var/lib/dpkg/status", b"")
    for name in ("\u00b2", "x", "1" * 200, "\u0663"):
        guest.file(f"/var/backups/dpkg.status.{name}", b"nothing")
    guest.file("/var/backups/dpkg.status.2.gz", gzip.compress(status))
    database = dpkg_open.open_dpkg(guest)
    assert [p.name for p in database.packages] == ["tool"]
    assert database.damage[0].reason == "is empty"


def test_lists_that_are_too_long_are_damage_and_not_read() -> None:
    guest = deb_guest()
    guest.file("/var/lib/dpkg/info/tool.list", b"/a\n" * 400_000)
    guest.file("/var/lib/dpkg/info/tool.md5sums", b"0" * 32 + b"  a\n" + b"\n" * 400_000)
    database = dpkg_open.open_dpkg(guest)
    assert list(database.files()) == []
    assert [d.path.rpartition("/")[2] for d in database.damage] == ["tool.list", "tool.md5sums"]
    assert all("that are read" in d.reason for d in database.damage)


def test_damage_of_many_packages_is_told_in_part() -> None:
    guest = deb_guest()
    stanza = "Package: a{}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
    guest.file("/var/lib/dpkg/status", "".join(stanza.format(n) for n in range(3_000)))
    database = dpkg_open.open_dpkg(guest)
    assert len(database.damage) == 1_001
    assert database.damage[-1].reason == "has 2000 more damaged files"


# --- apk --------------------------------------------------------------------------------------------


def apk_text(packages: int, files: int) -> str:
    one = "".join(f"R:f{n}\na:0:0:755\n" for n in range(files))
    return "".join(f"P:p{n}\nV:1\nA:x\nF:usr/p{n}\n{one}\n" for n in range(packages))


@pytest.mark.parametrize("packages", [3, 300], ids=["kept", "made on demand"])
def test_files_are_found_however_many_there_are(packages: int) -> None:
    guest = MemoryGuest()
    guest.file("/lib/apk/db/installed", apk_text(packages, 250))
    database = listed.open_apk(guest)
    assert sum(1 for _ in database.files()) == packages * 251
    assert [(f.path, f.package.name, f.mode) for f in database.lookup("/usr/p2/f7")] == [
        ("/usr/p2/f7", "p2", 0o755)
    ]
    assert [f.path for f in database.lookup("/usr/p1")] == ["/usr/p1"]
    assert database.lookup("/usr/p1/f999") == ()


def test_a_large_database_is_not_held_as_objects() -> None:
    guest = MemoryGuest()
    text = apk_text(400, 250).encode()
    guest.file("/lib/apk/db/installed", text)
    tracemalloc.start()
    try:
        database = listed.open_apk(guest)
        assert sum(1 for _ in database.files()) == 400 * 251
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(text)


# --- pacman -----------------------------------------------------------------------------------------


def pacman_guest(mtrees: list[bytes]) -> MemoryGuest:
    guest = MemoryGuest()
    for number, mtree in enumerate(mtrees):
        folder = f"/var/lib/pacman/local/p{number}-1"
        guest.file(f"{folder}/desc", f"%NAME%\np{number}\n\n%VERSION%\n1\n\n%ARCH%\nany\n\n")
        guest.file(f"{folder}/files", f"%FILES%\nusr/\nusr/f{number}\n\n")
        guest.file(f"{folder}/mtree", mtree)
    return guest


def test_an_mtree_that_is_too_much_is_damage() -> None:
    entry = b"#mtree\n./usr type=dir mode=755\n./usr/f%d type=file mode=644 size=3\n"
    padding = b"#" * (listed.MTREE_LIMIT_BYTES - 1000)
    mtrees = [zlib.compress(entry % n + padding, level=1, wbits=31) for n in range(5)]
    database = listed.open_pacman(pacman_guest(mtrees))
    assert [d.path for d in database.damage] == ["/var/lib/pacman/local/p4-1/mtree"]
    assert "not all of them were looked at" in database.damage[0].reason
    assert [f.size_bytes for f in database.files() if f.path.startswith("/usr/f")] == [3, 3, 3, 3, None]


def test_an_mtree_with_too_many_lines_is_damage() -> None:
    database = listed.open_pacman(pacman_guest([zlib.compress(b"./a\n" * 400_000, wbits=31)]))
    assert ["not all of them were looked at" in d.reason for d in database.damage] == [True]


def test_a_list_with_too_many_lines_is_damage() -> None:
    guest = pacman_guest([b"", b""])
    guest.file("/var/lib/pacman/local/p1-1/files", "a\n" * 400_000)
    database = listed.open_pacman(guest)
    assert [p.name for p in database.packages] == ["p0"]
    assert [d.path for d in database.damage] == ["/var/lib/pacman/local/p1-1"]


# --- libraries --------------------------------------------------------------------------------------


def test_library_directories_beyond_all_measure_are_said() -> None:
    guest = guest_with(program("liba.so.1"), "/opt/d1/liba.so.1")
    guest.file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*\n")
    for number in range(30):
        guest.file(f"/etc/ld.so.conf.d/{number}", "".join(f"/opt/d{number * 400 + n}\n" for n in range(400)))
    closure = Closure(guest)
    assert closure.unresolved([GuestPath("/usr/bin/program")]) == []
    assert len(closure.unread) == 1
    assert "not all of them were looked at" in closure.unread[0]


@pytest.mark.parametrize(
    ("files", "text"),
    [(300, "/a\n"), (5, "#" * 4 * MIB), (1, "/a\n" * 5_000)],
    ids=["files", "bytes", "lines"],
)
def test_included_files_beyond_all_measure_are_said(files: int, text: str) -> None:
    guest = guest_with(program("liba.so.1"))
    guest.file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*\n")
    for number in range(files):
        guest.file(f"/etc/ld.so.conf.d/{number}", text)
    closure = Closure(guest)
    closure.unresolved([GuestPath("/usr/bin/program")])
    assert ["not all of them were looked at" in reason for reason in closure.unread] == [True]


def test_an_include_of_itself_ends() -> None:
    guest = guest_with(program("liba.so.1"), "/opt/a/liba.so.1")
    guest.file("/etc/ld.so.conf", "include /etc/ld.so.con*\n/opt/a\n")
    closure = Closure(guest)
    assert closure.unresolved([GuestPath("/usr/bin/program")]) == []
    assert closure.unread == []


# --- programs of boot and login -----------------------------------------------------------------------


def test_pam_lines_of_open_brackets() -> None:
    guest = MemoryGuest()
    guest.file("/usr/lib/security/pam_a.so", b"x")
    guest.file(
        "/etc/pam.d/login", "auth [default=die x] pam_a.so " + "[" * 500_000 + "\n" + "[" * 500_000 + "\n"
    )
    directories = module_directories(guest)
    modules = list(pam_modules(guest, directories))
    assert modules == [d / "security/pam_a.so" for d in directories]
    assert find_boot_programs(guest).paths == (GuestPath("/usr/lib/security/pam_a.so"),)


def test_a_passwd_that_is_too_long_names_no_shells() -> None:
    guest = MemoryGuest()
    guest.file("/etc/passwd", b"\n" * 300_000)
    found = find_boot_programs(guest)
    assert found.paths == ()
    assert ["more than 200000 lines" in lost.reason for lost in found.unread] == [True]


def test_an_unreadable_number_of_packages_is_an_error() -> None:
    guest = MemoryGuest()
    guest.file("/lib/apk/db/installed", b"P:a\n\n" * 60_000)
    with pytest.raises(FormatError, match="more than 50000 packages"):
        listed.open_apk(guest)

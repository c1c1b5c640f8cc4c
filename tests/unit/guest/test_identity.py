"""Who a guest is, from what is left of it."""

from __future__ import annotations

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.system import ANALYZER
from guestrepair.formats.os_release import parse_os_release
from guestrepair.guest.identity import identify_system
from guestrepair.guest.memory import MemoryGuest

ELF_ARM = b"\x7fELF\x02\x01" + bytes(12) + (183).to_bytes(2, "little")


def test_os_release_is_read_leniently() -> None:
    text = b'ID=debian\nVERSION_ID="12"\n# x\nPRETTY_NAME=\'A "B"\'\nBROKEN="\nnonsense\n\xff=1\n'
    assert parse_os_release(text) == {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": 'A "B"'}


def test_a_debian_of_another_machine() -> None:
    guest = MemoryGuest()
    guest.file(
        "/usr/lib/os-release", 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\nVERSION_CODENAME=noble\n'
    )
    guest.link("/etc/os-release", "../usr/lib/os-release")
    guest.file("/usr/bin/bash", ELF_ARM)
    guest.file("/etc/hostname", "# name\nweb-1\n")
    found = identify_system(guest)
    assert (found.distro, found.version, found.arch, found.hostname) == (
        "ubuntu",
        "24.04",
        "aarch64",
        "web-1",
    )
    assert found.package_format == "deb"  # though its database is gone
    assert (found.id_like, found.codename) == (("debian",), "noble")


def test_an_old_centos() -> None:
    guest = MemoryGuest()
    guest.file("/etc/redhat-release", "CentOS release 6.10 (Final)\n")
    guest.file("/var/lib/rpm/Packages", b"x")
    found = identify_system(guest)
    assert (found.distro, found.version, found.package_format) == ("centos", "6.10", "rpm")


def test_nobody() -> None:
    assert identify_system(MemoryGuest()).distro == ""


def test_what_could_not_be_read_of_it_is_said_and_not_taken_for_an_older_system() -> None:
    guest = MemoryGuest()
    guest.file("/etc/os-release", "ID=ubuntu\n").unreadable = "Input/output error"
    guest.file("/etc/debian_version", "trixie/sid\n")
    found = identify_system(guest)
    assert found.unread == ("/etc/os-release: Input/output error",)
    guest.os = found
    _, unclear = run_analyzer(ANALYZER, Context(guest))
    assert any("/etc/os-release" in item.reason for item in unclear)

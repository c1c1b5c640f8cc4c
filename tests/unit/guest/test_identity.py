"""Who a guest is, from what is left of it."""

from __future__ import annotations

import stat
from typing import Literal

import pytest

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


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("/etc/debian_version", "7.11\n", ("debian", "7.11", "Debian 7.11")),
        (
            "/etc/redhat-release",
            "Nobodys Linux release 5 (X)\n",
            ("rhel", "5", "Nobodys Linux release 5 (X)"),
        ),
    ],
)
def test_one_from_before_os_release(path: str, text: str, expected: tuple[str, str, str]) -> None:
    guest = MemoryGuest()
    guest.file(path, text)
    found = identify_system(guest)
    assert (found.distro, found.version, found.product) == expected


@pytest.mark.parametrize(
    ("order", "machine", "name"),
    [
        ("little", 21, "ppc64le"),
        ("big", 21, "ppc64"),
        ("big", 22, "s390x"),
        ("little", 9999, "elf-machine-9999"),
    ],
)
def test_the_machine_is_that_of_a_program_that_can_be_read(
    order: Literal["little", "big"], machine: int, name: str
) -> None:
    guest = MemoryGuest()
    head = b"\x7fELF\x02" + (b"\x01" if order == "little" else b"\x02") + bytes(12)
    guest.file("/usr/bin/bash", b"\x7fELF\x02\x01")  # cut off
    guest.special("/bin/sh", stat.S_IFIFO)
    guest.file("/usr/sbin/init", head + machine.to_bytes(2, order))
    guest.file("/usr/lib/systemd/systemd", head + machine.to_bytes(2, order))
    assert identify_system(guest).arch == name


def test_the_name_of_an_old_red_hat() -> None:
    guest = MemoryGuest()
    guest.file("/etc/hostname", "\n# none\n")
    guest.file("/etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME='old-1'\n")
    assert identify_system(guest).hostname == "old-1"

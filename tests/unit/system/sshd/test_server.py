"""Which sshd a guest has: by its binary, else by its package, else by its distribution."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.packages import open_database
from guestrepair.system.sshd.server import BINARY_LIMIT_BYTES, NEWEST_RELEASE, Server, find_server
from tests.unit.packages.deb_guest import deb_guest

BINARY = b"\x7fELF\0/run/sshd\0OpenSSH_9.2p1 Debian-2\0usedns\0libwrap.so.0\0"


def found(guest: MemoryGuest) -> Server:
    server = find_server(guest, None)
    assert server is not None
    return server


def guest(distro: str, version: str, binary: bytes, *like: str, path: str = "/usr/sbin/sshd") -> MemoryGuest:
    made = MemoryGuest(os=OperatingSystem(distro, version, id_like=like))
    made.file(path, binary, mode=0o755)
    return made


def test_the_binary_says_what_it_is() -> None:
    server = found(guest("debian", "11", BINARY))
    assert (server.release, server.release_source) == ((9, 2), "/usr/sbin/sshd: OpenSSH_9.2p1 Debian-2")
    assert server.paths == {"/run/sshd"}
    assert "usedns" in server.words
    assert server.links_libwrap
    assert server.is_known


@pytest.mark.parametrize(
    "path", ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd", "/opt/openssh/sbin/sshd"]
)
def test_it_lies_where_distributions_put_it(path: str) -> None:
    server = found(guest("arch", "", BINARY, path=path))
    assert (server.binary, server.present, server.family) == (P(path), True, "arch")


@pytest.mark.parametrize(
    ("distro", "version", "like", "family", "major", "release"),
    [
        ("debian", "12", (), "debian", 12, (9, 2)),
        ("ubuntu", "22.04", (), "ubuntu", 22, (8, 9)),
        ("centos", "7", ("rhel", "fedora"), "rhel", 7, (7, 4)),
        ("unheard-of", "9.3", ("rhel",), "rhel", 9, (8, 7)),
        ("opensuse-leap", "15.6", ("suse",), "suse", 15, (8, 4)),
        ("arch", "", (), "arch", 0, NEWEST_RELEASE),
        ("", "", (), "", 0, NEWEST_RELEASE),
    ],
)
def test_a_silent_binary_is_taken_for_its_distributions(
    distro: str, version: str, like: tuple[str, ...], family: str, major: int, release: tuple[int, int]
) -> None:
    server = found(guest(distro, version, b"\x7fELF", *like))
    assert (server.family, server.major, server.release) == (family, major, release)
    assert not server.is_known


def test_a_guest_without_one_has_none() -> None:
    assert find_server(MemoryGuest(), None) is None
    made = MemoryGuest()
    made.directory("/usr/sbin/sshd")
    assert find_server(made, open_database(deb_guest())) is None


@pytest.mark.parametrize("too_large", [False, True])
def test_a_binary_that_cannot_be_read_is_there_and_says_why(too_large: bool) -> None:
    class Torn(MemoryGuest):
        def read_range(self, path: P, offset_bytes: int, size_bytes: int) -> bytes:
            raise GuestReadError(path, "input/output error")

    made: MemoryGuest = MemoryGuest() if too_large else Torn()
    made.file("/usr/sbin/sshd", BINARY).size_bytes = BINARY_LIMIT_BYTES + 1 if too_large else None
    server = found(made)
    assert (server.present, server.is_known, server.paths) == (True, False, frozenset())
    assert "more than" in server.unread if too_large else server.unread == "input/output error"

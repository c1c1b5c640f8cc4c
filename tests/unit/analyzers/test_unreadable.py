"""What cannot be read leads to no verdict on what hangs on it: it is said, and never becomes a repair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.packages import ANALYZER as PACKAGES
from guestrepair.analyzers.sshd import ANALYZER as SSHD
from guestrepair.errors import GuestReadError
from guestrepair.guest.accounts import AccountNames
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, GuestPath, Inconclusive, RestoreAttributes
from guestrepair.packages import open_database
from guestrepair.packages.sources import DonorSource, resolve_sources
from guestrepair.system.sshd.server import BINARY_LIMIT_BYTES
from tests.unit.analyzers import sshd_guest
from tests.unit.packages.deb_guest import deb_guest
from tests.unit.packages.elf_files import elf
from tests.unit.packages.test_closure import LOADER

PASSWD, GROUP = "/etc/passwd", "/etc/group"
OWNED = "/usr/bin/other"


def spoil(guest: MemoryGuest, path: str) -> None:
    guest.nodes[GuestPath(path)].unreadable = "Input/output error"


def with_owner() -> MemoryGuest:
    """A sound guest in which a file belongs to an account of the system, and the database says so."""
    guest = deb_guest()
    guest.file(PASSWD, "root:x:0:0::/root:/bin/sh\nchrony:x:998:996::/:/bin/false\n")
    guest.file(GROUP, "root:x:0:\nchrony:x:996:\n")
    guest.file("/var/lib/dpkg/statoverride", f"chrony chrony 0755 {OWNED}\n")
    guest.file(OWNED, b"another program", mode=0o755, uid=998, gid=996)
    return guest


def scan(guest: MemoryGuest) -> tuple[list[Finding], list[Inconclusive]]:
    return run_analyzer(PACKAGES, Context(guest, packages=open_database(guest)))


def test_an_owner_is_compared_by_name() -> None:
    guest = with_owner()
    assert scan(guest) == ([], [])
    guest.nodes[GuestPath(OWNED)].uid = 0
    assert [f.rule for f in scan(guest)[0]] == ["packages/wrong-owner"]


@pytest.mark.parametrize("path", [PASSWD, GROUP])
def test_where_accounts_cannot_be_read_owners_are_inconclusive_and_not_wrong(path: str) -> None:
    guest = with_owner()
    spoil(guest, path)
    found, unclear = scan(guest)
    assert found == []
    assert any("owners of 1 packaged paths were not compared" in item.reason for item in unclear)
    assert all(path in item.reason for item in unclear)


@pytest.mark.parametrize("path", [PASSWD, GROUP])
@pytest.mark.parametrize("content", [None, b"", b"\0\0\0"])
def test_where_accounts_are_lost_no_owner_is_wrong(path: str, content: bytes | None) -> None:
    guest = with_owner()
    guest.remove(path)
    if content is not None:
        guest.file(path, content)
    assert scan(guest)[0] == []


@pytest.mark.parametrize("path", [PASSWD, GROUP])
def test_root_is_known_whatever_happened_to_the_accounts(path: str) -> None:
    guest = with_owner()
    guest.file("/var/lib/dpkg/statoverride", f"root root 0755 {OWNED}\n")
    spoil(guest, path)
    assert [(f.rule, f.subject) for f in scan(guest)[0]] == [("packages/wrong-owner", OWNED)]


def test_accounts_tell_yes_no_and_unknown() -> None:
    guest = with_owner()
    accounts = AccountNames(guest)
    assert [accounts.is_user(998, name) for name in ("chrony", "root", "nobody", "998")] == [
        True, False, False, True,
    ]  # fmt: skip
    assert accounts.cannot_name(4711, 4711) == ""
    spoil(guest, PASSWD)
    accounts = AccountNames(guest)
    assert [accounts.is_user(998, name) for name in ("chrony", "root", "998")] == [None, False, True]
    assert accounts.is_user(0, "root") is True
    assert accounts.cannot_name(0, 996) == ""
    assert PASSWD in accounts.cannot_name(998, 996)


@pytest.mark.parametrize("damage", [spoil, MemoryGuest.remove])
def test_a_donor_without_names_gives_no_owner(
    damage: Callable[[MemoryGuest, str], None], tmp_path: Path
) -> None:
    guest, donor = with_owner(), with_owner()
    guest.file(PASSWD, "root:x:0:0::/root:/bin/sh\nother:x:998:0::/:/bin/sh\nchrony:x:105:996::/:/bin/sh\n")
    change = RestoreAttributes(path=GuestPath(OWNED), package="tool", version="1.0-1", architecture="amd64")
    resolved = resolve_sources(guest, [change], [DonorSource(donor, "donor x")], tmp_path).resolved
    assert resolved[change].uid == 105
    damage(donor, PASSWD)
    resolution = resolve_sources(guest, [change], [DonorSource(donor, "donor x")], tmp_path)
    assert resolution.resolved == {}
    assert PASSWD in resolution.refused[change][0]


def test_a_directory_of_libraries_that_cannot_be_known_is_no_missing_library() -> None:
    guest = deb_guest()
    guest.file("/usr/lib64/ld-linux-x86-64.so.2", elf(soname="ld-linux-x86-64.so.2"))
    guest.link("/lib64", "usr/lib64")
    guest.file("/usr/sbin/sshd", elf("libfar.so.1", interpreter=LOADER), mode=0o755)
    guest.file("/opt/far/libfar.so.1", elf(soname="libfar.so.1"))
    guest.file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
    guest.file("/etc/ld.so.conf.d/far.conf", "/opt/far\n")
    assert scan(guest) == ([], [])
    spoil(guest, "/etc/ld.so.conf.d/far.conf")
    found, unclear = scan(guest)
    assert found == []
    assert ["far.conf" in item.reason for item in unclear] == [True]


@pytest.mark.parametrize("path", ["/etc/nsswitch.conf", "/etc/pam.d/login"])
def test_programs_that_cannot_be_known_are_said(path: str) -> None:
    guest = deb_guest()
    guest.file(path, "auth required pam_unix.so\n")
    spoil(guest, path)
    assert [path in item.reason for item in scan(guest)[1]] == [True]


@pytest.mark.parametrize(
    "path", ["/var/lib/dpkg/diversions", "/var/lib/dpkg/statoverride", "/etc/dpkg/dpkg.cfg"]
)
def test_what_the_administrator_wanted_otherwise_is_not_taken_for_damage(path: str) -> None:
    guest = deb_guest()
    guest.file(path, "")
    spoil(guest, path)
    with pytest.raises(GuestReadError, match=path):
        open_database(guest)


def sshd(guest: MemoryGuest) -> tuple[list[str], list[str]]:
    found, unclear = run_analyzer(SSHD, Context(guest))
    return [f.rule for f in found if f.repair is not None and f.repair.changes], [i.reason for i in unclear]


def without_user(guest: MemoryGuest) -> None:
    passwd = guest.nodes[GuestPath(PASSWD)]
    passwd.content = b"".join(
        line for line in passwd.content.splitlines(keepends=True) if not line.startswith(b"sshd:")
    )
    guest.file("/usr/lib/passwd", sshd_guest.PASSWD)
    guest.file("/etc/nsswitch.conf", "passwd: files altfiles\n")


def by_init_script(guest: MemoryGuest) -> None:
    for path in [p for p in guest.nodes if p.name == "ssh.service"]:
        guest.remove(str(path))
    guest.file("/etc/init.d/ssh", "mkdir -p /run/sshd\n", mode=0o755)


def by_tmpfiles(guest: MemoryGuest) -> None:
    unit = next(n for p, n in guest.nodes.items() if p.name == "ssh.service" and n.content)
    unit.content = unit.content.replace(b"RuntimeDirectory=sshd\n", b"")
    guest.file("/usr/lib/tmpfiles.d/sshd.conf", "d /run/sshd 0755 root root -\n")


@pytest.mark.parametrize(
    ("change", "path", "rule"),
    [
        (without_user, "/usr/lib/passwd", "sshd/privsep-user-missing"),
        (without_user, "/etc/nsswitch.conf", "sshd/privsep-user-missing"),
        (by_init_script, "/etc/init.d/ssh", "sshd/privsep-dir-missing"),
        (by_tmpfiles, "/usr/lib/tmpfiles.d/sshd.conf", "sshd/privsep-dir-missing"),
    ],
)
def test_what_makes_sshd_right_is_not_missing_when_it_cannot_be_read(
    change: Callable[[MemoryGuest], None], path: str, rule: str
) -> None:
    guest = sshd_guest.debian()
    change(guest)
    assert rule not in sshd(guest)[0], "the guest of this test is sound"
    spoil(guest, path)
    repaired, unclear = sshd(guest)
    assert rule not in repaired
    assert any(path in reason for reason in unclear)


def test_an_sshd_that_cannot_be_read_is_said_and_its_directory_is_not_guessed() -> None:
    guest = sshd_guest.debian()
    guest.os = OperatingSystem(distro="unknown")
    binary = guest.nodes[GuestPath("/usr/sbin/sshd")]
    assert "sshd/privsep-dir-missing" not in sshd(guest)[0], "its strings name the directory"
    binary.size_bytes = BINARY_LIMIT_BYTES + 1
    repaired, unclear = sshd(guest)
    assert "sshd/privsep-dir-missing" not in repaired
    assert any("cannot be read, and says nothing" in reason for reason in unclear)

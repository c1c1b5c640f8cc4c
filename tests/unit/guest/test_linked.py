"""A guest with links that are still to be made: behind them lies what will lie there, all else is its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.filesystem_state import CheckResult, FilesystemUsage
from guestrepair.guest.linked import LinkedGuest
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath as P


@pytest.fixture
def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file("/usr/lib/a.so", b"a").xattrs["security.selinux"] = b"lib_t\0"
    made.file("/usr/lib/sub/b.so", b"bb")
    made.directory("/lib")
    made.file("/lib/own", b"own").xattrs["security.selinux"] = b"own_t\0"
    made.devices["/dev/sda"] = b"boot sector"
    made.stored["/dev/sda"] = [(0, 4)]
    made.usages["/"] = FilesystemUsage(1, 2, 3, 4, 5)
    made.top_names["/dev/sda"] = ("etc",)
    made.volumes["/dev/sda"] = {"/etc/fstab": b"none"}
    made.checks["/dev/sda"] = CheckResult(clean=True, output="clean")
    made.deleted["/usr/lib/gone"] = 7
    made.file("/srv/bad").damaged = "its checksum is wrong"
    return made


@pytest.fixture
def linked(guest: MemoryGuest) -> LinkedGuest:
    """/lib is to be a link, and is a directory with a file of its own now."""
    return LinkedGuest(guest, {"/lib": "usr/lib"}, occupied=("/lib",))


def test_files_are_read_through_the_link(linked: Guest) -> None:
    assert linked.read_range(P("/lib/a.so"), 0, 9) == b"a"
    assert linked.read_tree(P("/lib/sub")) == {"b.so": b"bb"}
    assert linked.read_tree(P("/lib"), exclude=("b*",)) == {"a.so": b"a"}
    assert linked.label(P("/lib/a.so")) == "lib_t"
    assert linked.label(P("/usr/lib/own")) == "own_t"  # it will be moved there
    assert linked.listdir(P("/lib/sub")) == ("b.so",)
    found = linked.lstat_many([P("/lib"), P("/lib/own"), P("/lib/none")])
    assert [None if s is None else s.is_symlink for s in found.values()] == [True, False, None]


def test_a_link_that_is_missing_altogether_is_listed(guest: MemoryGuest) -> None:
    guest.remove("/lib")
    linked = LinkedGuest(guest, {"/lib": "usr/lib", "/lib64": "usr/lib64"})
    assert {"lib", "lib64"} <= set(linked.listdir(P("/")))
    assert linked.readlink(P("/lib64")) == "usr/lib64"
    with pytest.raises(GuestReadError):
        linked.listdir(P("/lib64"))  # it leads nowhere


def test_its_disks_are_those_of_the_guest(guest: MemoryGuest, linked: Guest) -> None:
    asked: list[Callable[[Guest], object]] = [
        lambda of: of.read_device("/dev/sda", 5, 6),
        lambda of: of.stored_bytes("/dev/sda", 2, 10),
        lambda of: of.usage("/"),
        lambda of: of.peek("/dev/sda"),
        lambda of: of.peek_file("/dev/sda", "/etc/fstab", limit_bytes=9),
        lambda of: of.check_filesystem("/dev/sda"),
        lambda of: of.deletion_times([P("/usr/lib/gone"), P("/usr/lib/a.so")]),
    ]
    assert [ask(linked) for ask in asked] == [ask(guest) for ask in asked]
    for ask in (lambda: linked.read_device("/dev/sdb", 0, 1), lambda: linked.peek("/dev/sdb")):
        with pytest.raises(GuestReadError, match="/dev/sdb"):
            ask()


def test_damage_that_was_met_is_told(linked: Guest) -> None:
    assert linked.lstat(P("/srv/bad")) is None
    assert linked.damage == {"/srv/bad": "its checksum is wrong"}

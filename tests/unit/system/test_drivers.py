"""Which drivers the kernels have, and what modprobe will not load."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath
from guestrepair.system.drivers import Drivers

MODULES = "/usr/lib/modules"


def kernel(guest: MemoryGuest, release: str, loadable: str = "kernel/fs/xfs/xfs.ko.xz:\n") -> None:
    guest.file(f"{MODULES}/{release}/modules.dep", loadable)
    guest.file(f"{MODULES}/{release}/modules.builtin", "kernel/fs/ext4/ext4.ko\n")


@pytest.mark.parametrize(
    ("releases", "known"),
    [
        ((), ()),
        (("6.1.0-18-amd64",), ((6, 1),)),
        (("3.10.0-1160.el7", "6.1"), ((3, 10), (6, 1))),
        (("6.1", "custom"), ()),
    ],
)
def test_releases_are_known_when_each_name_tells_one(
    releases: tuple[str, ...], known: tuple[tuple[int, int], ...]
) -> None:
    guest = MemoryGuest()
    for release in releases:
        kernel(guest, release)
    assert Drivers(guest).releases == known
    assert [k.release for k in Drivers(guest).kernels] == sorted(releases)


def test_a_kernel_has_what_is_loadable_and_what_is_built_in() -> None:
    guest = MemoryGuest()
    kernel(guest, "6.1")
    (found,) = Drivers(guest).kernels
    assert [found.has_any({name}) for name in ("xfs", "ext4", "btrfs")] == [True, True, False]


def test_a_kernel_without_lists_says_nothing() -> None:
    guest = MemoryGuest()
    guest.directory(f"{MODULES}/6.1")
    kernel(guest, "6.2", "")
    assert Drivers(guest).kernels == ()


@pytest.mark.parametrize("name", ["modules.dep", "modules.builtin"])
@pytest.mark.parametrize("size", [None, 1 << 40])
def test_a_list_that_cannot_be_read_is_an_error(name: str, size: int | None) -> None:
    guest = MemoryGuest()
    kernel(guest, "6.1")
    node = guest.nodes[GuestPath(f"{MODULES}/6.1/{name}")]
    node.size_bytes, node.unreadable = size, "" if size else "Input/output error"
    with pytest.raises(GuestReadError, match=name):
        _ = Drivers(guest).kernels


def test_a_kernel_whose_other_list_is_missing_may_have_any_driver() -> None:
    guest = MemoryGuest()
    kernel(guest, "6.1")
    guest.remove(f"{MODULES}/6.1/modules.builtin")
    with pytest.raises(GuestReadError, match=r"modules\.builtin: no such file"):
        _ = Drivers(guest).kernels


def test_a_file_in_etc_replaces_one_of_its_name_in_usr_lib() -> None:
    guest = MemoryGuest()
    guest.file("/etc/modprobe.d/a.conf", "# nothing\nblacklist xfs\n")
    guest.file("/usr/lib/modprobe.d/a.conf", "blacklist vfat\n")
    guest.file("/usr/lib/modprobe.d/b.conf", "install udf /bin/true\n")
    found = [(place, b.name) for place, b in Drivers(guest).blocked]
    assert found == [("/etc/modprobe.d/a.conf:2", "xfs"), ("/usr/lib/modprobe.d/b.conf:1", "udf")]


def test_rules_that_cannot_be_read_are_named_and_the_others_hold() -> None:
    guest = MemoryGuest()
    guest.file("/etc/modprobe.d/a.conf", "blacklist xfs\n").unreadable = "bad sector"
    guest.file("/etc/modprobe.d/b.conf", "blacklist vfat\n")
    drivers = Drivers(guest)
    assert [b.name for _, b in drivers.blocked] == ["vfat"]
    assert [each.path for each in drivers.unread] == ["/etc/modprobe.d/a.conf"]

"""Packaged files by the names where they lie, what brings one back, and the packages that boot needs."""

from __future__ import annotations

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.dpkg_alternatives import Alternative
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.package_formats import (
    PACKAGE_FORMATS,
    format_left,
    format_named,
    format_of,
    format_there,
)
from guestrepair.model import GuestPath as P
from guestrepair.model import PackagedKind
from guestrepair.packages import open_database
from guestrepair.packages.base import Flag, Package, PackageDatabase, PackagedFile
from guestrepair.packages.rpm import RpmDatabase
from guestrepair.system.fact import Unreadable
from guestrepair.system.guest_system import System
from guestrepair.system.packaged import Packaged
from tests.unit.packages.deb_guest import deb_guest

TOOL = Package("tool", "1.0-1", "amd64")


def packaged(guest: MemoryGuest) -> Packaged:
    found = System(guest, open_database(guest)).packaged
    assert found is not None
    return found


@pytest.mark.parametrize(("merged", "path"), [(True, "/usr/bin/tool"), (False, "/bin/tool")])
def test_a_file_is_named_where_it_lies(merged: bool, path: str) -> None:
    found = packaged(deb_guest(merged=merged))
    assert path in {file.path for file in found.files()}
    for name in ("/bin/tool", "/usr/bin/tool"):
        assert [file.path for file in found.lookup(name)] == [path]
        assert [file.path for file in found.lookup_many([name])[name]] == [path]


def test_without_a_database_nothing_is_packaged() -> None:
    system = System(MemoryGuest())
    assert system.packaged is None
    assert system.boot_packages == frozenset()


class Listed(PackageDatabase):
    """A database of the entries given."""

    format = "rpm"

    def __init__(self, *entries: PackagedFile) -> None:
        self.entries = entries
        self.packages = (TOOL,)

    def files(self):  # type: ignore[no-untyped-def]
        return iter(self.entries)


@pytest.mark.parametrize(
    ("kind", "flags", "wanted", "comes_back"),
    [
        (PackagedKind.FILE, (), (), True),
        (PackagedKind.FILE, (), (PackagedKind.FILE,), True),
        (PackagedKind.FILE, (), (PackagedKind.SYMLINK,), False),
        (PackagedKind.FILE, (Flag.GHOST,), (), False),
        (PackagedKind.DIRECTORY, (Flag.GHOST,), (), True),
    ],
)
def test_what_a_package_has_to_give(
    kind: PackagedKind, flags: tuple[Flag, ...], wanted: tuple[PackagedKind, ...], comes_back: bool
) -> None:
    entry = PackagedFile("/a", kind, TOOL, flags=frozenset(flags))
    found = System(MemoryGuest(), Listed(entry)).packaged
    assert found is not None
    assert (found.restore(P("/a"), *wanted) is not None) is comes_back
    assert found.restore(P("/b")) is None


def test_the_packages_that_boot_needs() -> None:
    guest = deb_guest()
    assert System(guest, open_database(guest)).boot_packages == {TOOL}  # sudo is its


# --- alternatives --------------------------------------------------------------------------------------


def test_alternatives_and_those_that_cannot_be_read() -> None:
    guest = MemoryGuest()
    guest.file("/var/lib/dpkg/alternatives/a", "auto\n/usr/bin/a\n\n/usr/bin/b\n10\n\n")
    guest.file("/var/lib/dpkg/alternatives/b", "neither\n")
    good, bad = System(guest).alternatives
    assert isinstance(good, Alternative)
    assert good.link == "/usr/bin/a"
    assert isinstance(bad, Unreadable)
    assert bad.path == "/var/lib/dpkg/alternatives/b"
    assert System(MemoryGuest()).alternatives == ()


# --- kinds of databases --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [each.name for each in PACKAGE_FORMATS])
def test_each_kind_is_recognized_by_any_of_its_signs(name: str) -> None:
    kind = format_named(name)
    assert kind is not None
    for marker in kind.markers:
        guest = MemoryGuest()
        guest.file(str(marker), b"")
        assert format_there(guest) == name
    for directory in kind.directories:
        guest = MemoryGuest()
        guest.directory(str(directory))
        assert (format_there(guest), format_left(guest)) == ("", name)
    assert {format_of((each,)) for each in kind.distributions} == {name}


def test_a_database_of_which_only_the_directory_is_left_is_no_guest_without_one() -> None:
    guest = MemoryGuest()
    guest.os = type(guest.os)()
    assert open_database(guest) is None
    guest.directory("/var/lib/dpkg")
    with pytest.raises(FormatError, match="status is missing"):
        open_database(guest)


def test_an_unknown_kind_has_a_hint_too() -> None:
    database = RpmDatabase([])
    database.format = "new"
    assert database.records_attributes
    assert "backup" in database.damage_hint

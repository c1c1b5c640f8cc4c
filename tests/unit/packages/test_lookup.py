"""Many paths are looked up at once, in every kind of database; a path costs its package, not the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, PackagedKind, RestoreFile
from guestrepair.packages.base import Flag, Package, PackageDatabase, PackagedFile, Provenance
from guestrepair.packages.dpkg_open import open_dpkg
from guestrepair.packages.indexed import IndexedDatabase, PathIndex
from guestrepair.packages.listed import open_apk, open_pacman
from guestrepair.packages.rpm import RpmDatabase

PACKAGES, FILES = 4, 3
"""Package ``pN`` has /usr, /usr/pN, /usr/pN/f0 … and, by its old name, /bin/tN."""


def paths_of(number: int) -> list[str]:
    return [f"/usr/p{number}/f{n}" for n in range(FILES)]


def dpkg() -> PackageDatabase:
    guest = MemoryGuest()
    status = ""
    for n in range(PACKAGES):
        status += f"Package: p{n}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
        names = ["/.", "/usr", f"/usr/p{n}", *paths_of(n), "/bin", f"/bin/t{n}"]
        guest.file(f"/var/lib/dpkg/info/p{n}.list", "".join(f"{name}\n" for name in names))
    guest.file("/var/lib/dpkg/status", status)
    guest.file("/var/lib/dpkg/diversions", "/usr/p1/f1\n/usr/p1/f1.real\np3\n")
    return open_dpkg(guest)


def rpm() -> PackageDatabase:
    lines = []
    for n in range(PACKAGES):
        base = ["usr", f"p{n}", *(f"f{k}" for k in range(FILES)), "bin", f"t{n}"]
        dirs = ["/", "/usr/", f"/usr/p{n}/", "/bin/"]
        where = [0, 1, *(2 for _ in range(FILES)), 0, 3]
        mode = [0o040755, 0o040755, *(0o100644 for _ in range(FILES)), 0o040755, 0o100755]
        data = {"name": f"p{n}", "version": "1", "arch": "x", "algo": 8}
        lines.append(json.dumps({**data, "base": base, "dirs": dirs, "dir": where, "mode": mode}).encode())
    return RpmDatabase(lines)


def apk() -> PackageDatabase:
    guest = MemoryGuest()
    one = "".join(f"R:f{k}\n" for k in range(FILES))
    text = "".join(f"P:p{n}\nV:1\nA:x\nF:usr\nF:usr/p{n}\n{one}F:bin\nR:t{n}\n\n" for n in range(PACKAGES))
    guest.file("/lib/apk/db/installed", text)
    return open_apk(guest)


def pacman() -> PackageDatabase:
    guest = MemoryGuest()
    for n in range(PACKAGES):
        folder = f"/var/lib/pacman/local/p{n}-1"
        guest.file(f"{folder}/desc", f"%NAME%\np{n}\n\n%VERSION%\n1\n\n%ARCH%\nany\n\n")
        names = "".join(f"{path[1:]}\n" for path in paths_of(n))
        guest.file(f"{folder}/files", f"%FILES%\nusr/\nusr/p{n}/\n{names}bin/\nbin/t{n}\n\n")
    return open_pacman(guest)


EVERY = pytest.mark.parametrize("make", [dpkg, rpm, apk, pacman])


def owners(database: PackageDatabase, *paths: str) -> dict[str, list[str]]:
    found = database.lookup_many(paths)
    return {path: [file.package.name for file in files] for path, files in found.items()}


@EVERY
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/p2/f1", ["p2"]),
        ("/usr/p2", ["p2"]),
        ("/usr", ["p0", "p1", "p2", "p3"]),
        ("/bin/t1", ["p1"]),
        ("/usr/bin/t1", ["p1"]),
        ("/usr/p2/f9", []),
        ("/usr/p2/", []),
        ("", []),
        ("/usr/p2/f1\0", []),
        ("\udcff", []),
        ("/../usr/p2/f1", []),
    ],
)
def test_each_owner_of_a_path_is_found_under_any_name_of_it(
    make: Callable[[], PackageDatabase], path: str, expected: list[str]
) -> None:
    database = make()
    assert owners(database, path) == {path: expected}
    assert [file.package.name for file in database.lookup(path)] == expected


@EVERY
def test_the_database_has_an_answer_for_every_path_that_it_lists(
    make: Callable[[], PackageDatabase],
) -> None:
    database = make()
    files = list(database.files())
    found = database.lookup_many(file.path for file in files)
    assert all(file in found[file.path] for file in files)
    assert len(files) == PACKAGES * (FILES + 4)


@EVERY
def test_paths_asked_for_together_are_answered_as_one_by_one(make: Callable[[], PackageDatabase]) -> None:
    database = make()
    paths = [file.path for file in database.files()] + ["/nowhere", "/usr/bin/t2"]
    assert database.lookup_many(paths) == {path: database.lookup(path) for path in paths}
    assert database.lookup_many(()) == {}


def test_a_diverted_file_is_found_where_it_lies() -> None:
    assert owners(dpkg(), "/usr/p1/f1", "/usr/p1/f1.real") == {
        "/usr/p1/f1": [],
        "/usr/p1/f1.real": ["p1"],
    }


@pytest.mark.parametrize(
    ("make", "name", "records"),
    [(dpkg, "deb", False), (rpm, "rpm", True), (apk, "apk", True), (pacman, "pacman", True)],
)
def test_a_database_says_what_is_true_of_its_kind(
    make: Callable[[], PackageDatabase], name: str, records: bool
) -> None:
    database = make()
    assert (database.format, database.records_attributes) == (name, records)
    assert database.damage_hint != "restore it from a backup of the guest"


class Counting(IndexedDatabase):
    """A database of the package format's own shape that counts how often a list is gone through."""

    format = "rpm"

    def __init__(self, packages: int) -> None:
        self.packages = [Package(f"p{n}", "1", "x") for n in range(packages)]
        self.read = 0

    def _files_of(self, number: int) -> Iterator[PackagedFile]:
        self.read += 1
        for path in paths_of(number):
            yield PackagedFile(path, PackagedKind.FILE, self.packages[number])


@pytest.mark.parametrize("packages", [100, 1000])
def test_a_path_costs_the_list_of_its_package_and_not_the_database(packages: int) -> None:
    database = Counting(packages)
    database.lookup("/usr/p1/f1")
    assert database.read == packages + 1, "once through all of them, to know which has what"
    database.read = 0
    for number in range(10):
        database.lookup(f"/usr/p{number}/f1")
    assert database.read == 10
    database.read = 0
    database.lookup_many([*paths_of(1), *paths_of(2), "/nowhere"])
    assert database.read == 2


def test_the_index_names_every_list_that_has_a_path() -> None:
    index = PathIndex([["/a", "/b"], [], ["/b"]])
    assert [list(index.holders(path)) for path in ("/a", "/b", "/c")] == [[0], [0, 2], []]


# --- the change that brings a file back ----------------------------------------------------------------

TOOL = PackagedFile(
    "/bin/tool",
    PackagedKind.FILE,
    Package("tool", "1.0-1", "amd64"),
    digest="md5:00",
    mode=0o755,
    owner="root",
    group="root",
    capabilities="cap_net_raw=ep",
    flags=frozenset({Flag.CONFIG}),
    mtime=7,
)


def merged() -> MemoryGuest:
    guest = MemoryGuest()
    guest.directory("/usr/bin")
    guest.link("/bin", "usr/bin")
    return guest


def test_a_file_comes_back_where_its_directory_really_is_with_all_that_is_recorded() -> None:
    assert TOOL.restore(merged()) == RestoreFile(
        path=GuestPath("/usr/bin/tool"),
        package="tool",
        version="1.0-1",
        architecture="amd64",
        digest="md5:00",
        mode=0o755,
        owner="root",
        group="root",
        capabilities="cap_net_raw=ep",
        mtime=7,
    )


@pytest.mark.parametrize("provenance", [Provenance.DONOR, Provenance.UNPACKED])
def test_what_a_donor_or_a_package_file_said_is_asked_of_it_again(provenance: Provenance) -> None:
    file = PackagedFile("/a", PackagedKind.OTHER, TOOL.package, mode=0o700, owner="x", provenance=provenance)
    change = file.restore(merged())
    assert (change.mode, change.owner, change.group, change.capabilities) == (None, None, None, None)

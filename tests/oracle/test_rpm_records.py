"""rpm itself as the judge of an erased record: two records as a killed update leaves them, then one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.errors import FormatError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.model import EraseRecords, GuestPath, RpmRecord
from guestrepair.packages import open_database
from guestrepair.packages.base import Agreement, Duplicate
from guestrepair.packages.rpm_open import install_times
from guestrepair.packages.rpm_write import erased_database

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="rpm --root is for root only"),
    pytest.mark.skipif(not all(map(shutil.which, ("rpm", "rpmbuild", "rpmdb"))), reason="rpm is missing"),
]
PLACE = GuestPath("/var/lib/rpm/rpmdb.sqlite")
SPEC = """\
Name: {name}
Version: 1.0
Release: {release}
Summary: a tool
License: none
BuildArch: noarch
AutoReqProv: no
%description
A tool.
%install
mkdir -p %{{buildroot}}/usr/bin
echo {release} > %{{buildroot}}/usr/bin/{name}
%files
/usr/bin/{name}
"""


def run(*command: object, input_bytes: bytes | None = None) -> bytes:
    done = subprocess.run(
        [str(word) for word in command], input=input_bytes, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def on(root: Path, program: str, *words: object, input_bytes: bytes | None = None) -> bytes:
    place = ("--root", root, "--dbpath", "/var/lib/rpm", "--define", "_db_backend sqlite")
    return run(program, *place, *words, input_bytes=input_bytes)


def header(work: Path, name: str, release: int) -> bytes:
    """The record of one package, installed alone."""
    folder = work / f"{name}-{release}"
    (folder / "root/var/lib/rpm").mkdir(parents=True)
    (folder / "spec").write_text(SPEC.format(name=name, release=release))
    defined = ("--define", f"_topdir {folder}", "--define", f"_rpmdir {folder}")
    run("rpmbuild", "-bb", "--quiet", *defined, folder / "spec")
    (package,) = folder.rglob("*.rpm")
    root = folder / "root"
    on(root, "rpm", "--initdb")
    on(
        root,
        "rpm",
        "--define",
        "_pkgverify_level none",
        "--nosignature",
        "--noplugins",
        "--justdb",
        "-i",
        package,
    )
    return on(root, "rpmdb", "--exportdb")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with two records of tool, one of other, and the files of the newer ones."""
    root = tmp_path / "guest"
    (root / "var/lib/rpm").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    on(root, "rpm", "--initdb")
    for name, release in (("tool", 1), ("other", 1), ("tool", 2)):
        on(root, "rpmdb", "--importdb", input_bytes=header(tmp_path, name, release))
        (root / "usr/bin" / name).write_text(f"{release}\n")
    return root


def duplicate(root: Path) -> Duplicate:
    database = open_database(HostDirectoryGuest(root, os_release=OperatingSystem(package_format="rpm")))
    assert database is not None
    (found,) = database.duplicates
    return found


def erasing(found: Duplicate, at: int) -> RpmRecord:
    package = found.records[at]
    return RpmRecord(
        number=found.numbers[at],
        name=package.name,
        version=package.version,
        architecture=package.architecture,
    )


def test_rpm_finds_the_newer_record_alone_and_nothing_else_changed(root: Path, tmp_path: Path) -> None:
    found = duplicate(root)
    assert (found.agreement, found.compared) == (Agreement.NEWER, 1)
    before = on(root, "rpm", "-qa").split()
    guest, made = HostDirectoryGuest(root), tmp_path / "made"
    erased_database(guest, EraseRecords(path=PLACE, records=(erasing(found, 1),)), made)
    shutil.copy(made, root / "var/lib/rpm/rpmdb.sqlite")
    for journal in ("-wal", "-shm"):
        (root / f"var/lib/rpm/rpmdb.sqlite{journal}").unlink(missing_ok=True)
    assert sorted(on(root, "rpm", "-qa").split()) == sorted(set(before) - {b"tool-1.0-1.noarch"})
    assert on(root, "rpm", "-qf", "/usr/bin/tool").split() == [b"tool-1.0-2.noarch"]
    assert on(root, "rpm", "-V", "--nouser", "--nogroup", "--nomtime", "tool") == b""
    on(root, "rpmdb", "--verifydb")


def test_the_times_of_installation_are_rpms_own(root: Path) -> None:
    said = on(root, "rpm", "-qa", "--qf", "%{NAME} %{EVR} %{INSTALLTIME}\n").decode().split("\n")
    problems: list[str] = []
    found = install_times(HostDirectoryGuest(root), lambda _path, why: problems.append(why))
    ours = [f"{each.package.name} {each.package.version} {each.seconds}" for each in found]
    assert (sorted(ours), problems) == (sorted(filter(None, said)), [])
    print(f"\nrpm: {len(ours)} times of installation")


@pytest.mark.parametrize("lies", ["another number", "another version", "all of them", "a package of its own"])
def test_a_record_that_is_not_the_one_that_is_meant_stays(lies: str, root: Path, tmp_path: Path) -> None:
    found = duplicate(root)
    older, newer = erasing(found, 1), erasing(found, 0)
    wrong = {
        "another number": (RpmRecord(number=99, name="tool", version="1.0-1", architecture="noarch"),),
        "another version": (
            RpmRecord(number=older.number, name="tool", version="1.0-2", architecture="noarch"),
        ),
        "all of them": (older, newer),
        "a package of its own": (RpmRecord(number=2, name="other", version="1.0-1", architecture="noarch"),),
    }[lies]
    with pytest.raises(FormatError):
        erased_database(HostDirectoryGuest(root), EraseRecords(path=PLACE, records=wrong), tmp_path / "made")


def test_files_that_are_still_the_older_ones(root: Path) -> None:
    (root / "usr/bin/tool").write_text("1\n")
    assert duplicate(root).agreement is Agreement.OLDER

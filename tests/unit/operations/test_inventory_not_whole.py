"""An inventory that cannot be whole says so: not mounted, damaged, too much, ended in the middle."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context
from guestrepair.errors import BudgetError, GuestReadError, LeftOutError, UsageError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.inventory.model import Inventory
from guestrepair.model import GuestPath
from guestrepair.operations import inventory as operation
from guestrepair.operations.inventory import MAX_LOST, inspect_full, take_inventory
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.packages import open_database
from guestrepair.report.data import Report
from guestrepair.report.json import render
from tests.support.schemas import check_report
from tests.unit.compare.pair import guest
from tests.unit.session.test_session import made

__all__ = ["made"]  # a fixture


def taken(of: MemoryGuest, digests: str = "all", **stopped: str) -> tuple[Inventory, list[str]]:
    context = Context(of, options=AnalysisOptions(digests=digests))
    for name, reason in stopped.items():
        setattr(context, name, reason)
    if not stopped:
        context.packages = open_database(of)
    found, inconclusive = take_inventory(context)
    assert {each.analyzer for each in inconclusive} <= {"inventory"}
    return found, [each.reason for each in inconclusive]


def modified(of: MemoryGuest) -> tuple[set[tuple[str, str, str, str]], list[str]]:
    found, lost = taken(of, "none")
    assert found.modified is not None
    return {(f.path, f.what.value, f.recorded, f.observed) for f in found.modified.files}, lost


def test_a_disk_is_inspected_with_its_inventory(made: Path, tmp_path: Path) -> None:
    disk = Path(shutil.copyfile(made / "system.raw", tmp_path / "disk.raw"))
    before = disk.read_bytes()
    progress: list[str] = []
    ui = UserInterface(progress=progress.append)
    report = inspect_full(disk, ImageOptions(host_only=True), AnalysisOptions(), ui)
    check_report(render(Report(images=[report])))
    assert report.errors == []
    assert report.inventory is not None
    assert report.inventory.accounts is not None
    assert [account.name for account in report.inventory.accounts] == ["root"]
    assert report.inventory.packages is None
    reasons = [each.reason for each in report.inconclusive]
    assert any(r.startswith("packages: /var/lib/dpkg/status is missing") for r in reasons)
    assert any(r.startswith("mounts: /home is not mounted here") for r in reasons)
    assert progress.index("reading the package database") < progress.index("taking inventory: units")
    assert disk.read_bytes() == before


def test_a_disk_without_a_system_has_no_inventory(made: Path) -> None:
    report = inspect_full(made / "home.raw", ImageOptions(host_only=True), AnalysisOptions(), UserInterface())
    assert report.inventory is None
    assert [error.stage for error in report.errors] == ["system"]


@pytest.mark.parametrize("name", ["packages_error", "packages_stopped"])
def test_why_there_are_no_packages_is_said(name: str) -> None:
    found, lost = taken(guest(), **{name: "/var/lib/dpkg/status: Input/output error"})
    assert (found.packages, found.modified) == (None, None)
    assert lost == ["packages: /var/lib/dpkg/status: Input/output error"]
    assert found.accounts  # the rest is there


def test_what_differs_without_hashing_is_told_as_recorded_and_as_it_is() -> None:
    of = guest()
    of.remove("/usr/lib/libx.so.1")
    of.link("/usr/lib/libx.so.1", "/srv/evil.so")
    of.remove("/usr/share/tool/data")
    of.special("/usr/share/tool/data", stat.S_IFIFO)
    found, lost = modified(of)
    (kind,) = [row for row in found if row[1] == "kind"]
    assert kind[:3] == ("/usr/share/tool/data", "kind", "file")
    assert kind[3].startswith("mode 010")
    assert {row for row in found if row[1] == "target"} == set()  # dpkg records no targets
    assert lost == []


def test_packaged_files_below_what_is_not_mounted_are_not_called_missing() -> None:
    of = guest()
    for path in [p for p in of.nodes if GuestPath("/usr/share") in p.parents]:
        of.remove(str(path))
    of.file("/etc/fstab", "/dev/sdb1 /usr/share ext4 defaults 0 2\n")
    of.unmounted = (("/usr/share", "no such device"),)
    found, lost = modified(of)
    assert not any(row[1] == "missing" for row in found)
    assert "modified: packaged files below /usr/share were not looked at: not mounted" in lost
    assert any(line.startswith("mounts: /usr/share is not mounted here (no such device)") for line in lost)


def test_owners_that_have_no_names_are_not_compared() -> None:
    of = guest()
    of.file("/var/lib/dpkg/statoverride", "alice alice 0755 /usr/bin/other\n")
    assert ("/usr/bin/other", "owner", "alice:alice", "root:root") in modified(of)[0]
    of.nodes[GuestPath("/usr/bin/other")].uid = of.nodes[GuestPath("/usr/bin/other")].gid = 1000
    of.nodes[GuestPath("/etc/passwd")].unreadable = "Input/output error"
    found, lost = modified(of)
    assert not any(row[1] == "owner" for row in found)
    said = "modified: the owners of 1 packaged paths were not compared: passwd or group is unreadable"
    assert said in lost


def test_a_file_that_cannot_be_hashed_is_not_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    of = guest()
    whole, _ = taken(of)
    monkeypatch.setattr(of, "digests", lambda *_what, **_more: {})  # none of them can be hashed
    found, lost = taken(of)
    assert whole.modified is not None
    assert found.modified is not None
    assert whole.modified.compared > found.modified.compared == 0
    (line,) = lost
    said = f"modified: {whole.modified.compared} packaged files could not be read to be hashed, /"
    assert line.startswith(said)


def test_more_differences_than_are_listed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "MAX_MODIFIED", 2)
    of = guest()
    for path in ("/usr/bin/tool", "/usr/bin/other", "/usr/bin/sudo", "/usr/share/tool/data"):
        of.nodes[GuestPath(path)].mode ^= 0o2
    found, lost = modified(of)
    assert len(found) == 2
    assert "modified: 2 more differences than the 2 that are listed" in lost


def test_damage_is_said_once_each_and_that_there_is_more() -> None:
    of = guest()
    for number in range(MAX_LOST + 20):
        of.file(f"/usr/local/bin/x{number:03}", "x").damaged = "bad extent"
        of.lstat(GuestPath(f"/usr/local/bin/x{number:03}"))
    _, lost = taken(of)
    files = [line for line in lost if line.startswith("files:")]
    assert files[0] == "files: /usr/local/bin/x000: bad extent"
    assert files[-1] == "files: there is more that could not be read"
    assert len(files) == len(set(files)) == MAX_LOST + 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (GuestReadError("/etc/x", "Input/output error"), "/etc/x: Input/output error"),
        (BudgetError("this", "stopped after 30 s"), "stopped after 30 s"),
        (MemoryError(), "stopped: the host is out of memory"),
        (ZeroDivisionError("by zero"), "a fault of guestrepair itself: ZeroDivisionError: by zero"),
    ],
)
def test_a_section_that_ends_in_the_middle_costs_itself(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_what: object) -> None:
        raise error

    monkeypatch.setattr("guestrepair.inventory.services.units", broken)
    found, lost = taken(guest())
    assert found.units is None
    assert lost == [f"units: {said}"]
    assert found.accounts
    assert found.groups


def test_what_is_wrong_with_the_options_ends_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_what: object) -> None:
        raise UsageError("no such platform")

    monkeypatch.setattr("guestrepair.inventory.services.units", broken)
    with pytest.raises(UsageError):
        taken(guest())
    assert issubclass(LeftOutError, GuestReadError)  # --host-only costs a section, not the inventory

"""The inventory of a whole image, and what a section that cannot be read costs: itself."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context
from guestrepair.errors import ApplianceError, BudgetError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.view import Stat
from guestrepair.inventory.model import Inventory
from guestrepair.model import GuestPath
from guestrepair.operations import inventory
from guestrepair.operations.inventory import inspect_full, take_inventory
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.packages import open_database
from guestrepair.report.data import Report
from guestrepair.report.json import render
from tests.support.schemas import check_report
from tests.unit.compare.pair import guest
from tests.unit.session.test_session import made

__all__ = ["made"]  # a fixture


def taken(of: MemoryGuest, digests: str = "all") -> tuple[Inventory, list[str]]:
    context = Context(of, options=AnalysisOptions(digests=digests, now=0))
    context.packages = open_database(of)
    found, inconclusive = take_inventory(context)
    assert {each.analyzer for each in inconclusive} <= {"inventory"}
    return found, [each.reason for each in inconclusive]


def rows(found: Inventory) -> set[tuple[str, str, str]]:
    assert found.modified is not None
    return {(f.path, f.what.value, f.observed) for f in found.modified.files}


def test_of_a_whole_image(made: Path) -> None:
    progress: list[str] = []
    ui = UserInterface(progress=progress.append)
    report = inspect_full(made / "system.raw", ImageOptions(host_only=True), AnalysisOptions(), ui)
    check_report(render(Report(images=[report])))
    assert report.errors == []
    assert report.inventory is not None
    assert report.inventory.accounts is not None
    assert [a.name for a in report.inventory.accounts] == ["root"]
    assert report.inventory.packages is None
    reasons = [i.reason for i in report.inconclusive]
    assert any(r.startswith("packages: ") for r in reasons)  # its database is empty
    assert any(r.startswith("mounts: /home is not mounted here") for r in reasons)
    assert "taking inventory: accounts" in progress


class Faulty(MemoryGuest):
    """A guest of which one path is the end of whoever looks at it."""

    error: BaseException | None = None
    begun_again = 0

    def lstat(self, path: GuestPath) -> Stat | None:
        if self.error is not None and path == GuestPath("/etc/group"):
            raise self.error
        return super().lstat(path)

    def start_over(self) -> None:
        self.begun_again += 1


def faulty(error: BaseException) -> Faulty:
    of = Faulty()
    of.nodes = guest().nodes
    of.error = error
    return of


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BudgetError("it", "stopped after 45 s"), "stopped after 45 s"),
        (MemoryError(), "stopped: the host is out of memory"),
        (KeyError("x"), "a fault of guestrepair itself: KeyError: 'x'"),
    ],
)
def test_a_section_that_is_ended_costs_itself(error: Exception, said: str) -> None:
    of = faulty(error)
    found, reasons = taken(of)
    assert found.groups is None
    assert f"groups: {said}" in reasons
    assert found.units is not None
    assert found.packages is not None
    assert (of.begun_again > 0) == said.startswith("stopped")  # what was left half read is read again


def test_an_appliance_that_is_gone_is_the_end() -> None:
    with pytest.raises(ApplianceError):
        taken(faulty(ApplianceError("it has ended")))


def test_what_is_not_mounted_and_what_is_damaged_is_said() -> None:
    of = guest()
    of.unmounted = (("/usr/share", "no such device"), ("/mnt", "no such device"))
    of.nodes[GuestPath("/usr/lib/libx.so.1.2")].damaged = "its checksum is wrong"
    found, reasons = taken(of)
    assert "modified: packaged files below /usr/share were not looked at: not mounted" in reasons
    assert "mounts: /mnt is not mounted here (no such device): what lies there was not looked at" in reasons
    assert "files: /usr/lib/libx.so.1.2: its checksum is wrong" in reasons
    # Nothing below what is not mounted is called missing; of what is damaged the reason stands beside it.
    assert {(path, what) for path, what, _ in rows(found)} == {
        ("/etc/tool.conf", "content"), ("/usr/lib/libx.so.1.2", "missing")
    }  # fmt: skip


def test_another_kind_of_file_in_the_place_of_one() -> None:
    of = guest()
    of.remove("/usr/bin/other")
    of.special("/usr/bin/other", stat.S_IFIFO, mode=0o644)
    assert ("/usr/bin/other", "kind", "mode 010644") in rows(taken(of)[0])


def test_a_file_that_cannot_be_hashed_is_not_called_the_same() -> None:
    of = guest()
    whole, _ = taken(of)
    of.nodes[GuestPath("/usr/share/tool/data")].size_bytes = 4

    class Unhashed(MemoryGuest):
        def digests(
            self, algorithm: str, paths: Sequence[GuestPath], *, through_filesystem: bool = False
        ) -> Mapping[GuestPath, str]:
            some = [path for path in paths if path != GuestPath("/usr/share/tool/data")]
            return super().digests(algorithm, some, through_filesystem=through_filesystem)

    other = Unhashed()
    other.nodes = of.nodes
    found, reasons = taken(other)
    assert found.modified is not None
    assert whole.modified is not None
    assert found.modified.compared == whole.modified.compared - 1
    assert "modified: 1 packaged files could not be read to be hashed, /usr/share/tool/data first" in reasons


def test_no_more_is_listed_than_anybody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MAX_MODIFIED", 2)
    of = guest()
    for path in ("/usr/bin/other", "/usr/share/tool/data", "/usr/share/doc/tool/README"):
        of.remove(path)
    found, reasons = taken(of)
    assert len(rows(found)) == 2
    assert "modified: 2 more differences than the 2 that are listed" in reasons


def test_reasons_do_not_fill_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MAX_LOST", 2)
    of = guest()
    of.unmounted = tuple((f"/mnt/{n}", "no such device") for n in range(5))
    said = [reason for reason in taken(of)[1] if reason.startswith("mounts: ")]
    assert len(said) == 3
    assert said[-1] == "mounts: there is more that could not be read"  # and not that this is all

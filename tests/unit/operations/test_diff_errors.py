"""A comparison that cannot be made, or not whole, says which of the two it is about, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.errors import (
    BindingError,
    BudgetError,
    FormatError,
    GuestReadError,
    GuestRepairError,
    NoSystemError,
)
from guestrepair.operations import diff as operation
from guestrepair.operations.diff import DiffOptions, diff, parse_given
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.report.data import DiffReport
from guestrepair.session.live import LiveGuest
from tests.unit.operations.test_diff_confirmed import appliances, compared, made
from tests.unit.session.fake_appliance import FakeAppliance

__all__ = ["appliances", "made"]  # fixtures
ALONE = ImageOptions(host_only=True)


def of(made: Path, one: str = "a.raw", other: str = "b.raw", **options: Path) -> tuple[DiffReport, list[str]]:
    said: list[str] = []
    ui = UserInterface(progress=said.append, note=said.append)
    how = DiffOptions(state_dir=options.get("state_dir"))
    return diff(str(made / one), str(made / other), ALONE, how, ui), said


def test_two_systems_are_compared_and_neither_is_written_to(made: Path) -> None:
    before = [(made / name).read_bytes() for name in ("a.raw", "b.raw")]
    report, said = of(made)
    names = {d.name for d in report.comparison.shown(noise=False)}
    assert {"/srv/new", "/srv/hidden"} <= names
    assert report.unconfirmed == ("A", "B")
    assert [line for line in said if line.startswith("opening")] == [
        f"opening {made / 'a.raw'}", f"opening {made / 'b.raw'}",
    ]  # fmt: skip
    assert [(made / name).read_bytes() for name in ("a.raw", "b.raw")] == before


@pytest.mark.parametrize("swapped", [False, True])
def test_a_disk_without_a_system_is_named(swapped: bool, made: Path, tmp_path: Path) -> None:
    (tmp_path / "data.raw").write_bytes(bytes(1 << 20))
    pair = (str(tmp_path / "data.raw"), "b.raw")
    with pytest.raises(NoSystemError) as said:
        of(made, *(pair[::-1] if swapped else pair))
    assert said.value.message.startswith(f"{tmp_path / 'data.raw'}: no partition table")


def test_an_image_before_a_repair_that_it_never_had(made: Path, tmp_path: Path) -> None:
    with pytest.raises(GuestRepairError, match=r"b\.raw.*no repair"):
        of(made, "a.raw", f"{made / 'b.raw'}@before", state_dir=tmp_path)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GuestReadError("/var/lib/dpkg/status", "Input/output error"), "Input/output error"),
        (BindingError("no module named rpm", hint="apt install python3-rpm"), "rpm; apt install python3-rpm"),
        (FormatError("line 3 is no field"), "line 3 is no field"),
        (BudgetError("the package database", "stopped after 60 s"), "stopped after 60 s"),
    ],
)
def test_a_package_database_that_cannot_be_read_costs_the_packages(
    error: Exception, reason: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_over: list[LiveGuest] = []

    def broken(guest: LiveGuest) -> None:
        raise error

    def start_over(guest: LiveGuest) -> None:
        started_over.append(guest)

    monkeypatch.setattr(operation, "open_database", broken)
    monkeypatch.setattr(LiveGuest, "start_over", start_over)
    report, _ = of(made)
    lost = {(each.side, each.what): each.reason for each in report.comparison.not_compared}
    assert all(reason in lost[side, "packages"] for side in ("A", "B"))
    assert len(started_over) == (2 if isinstance(error, BudgetError) else 0)
    assert {"/srv/new", "/srv/hidden"} <= {d.name for d in report.comparison.shown(noise=False)}


def test_what_the_appliance_cannot_look_up_is_not_confirmed(
    made: Path,
    appliances: dict[str, FakeAppliance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def doubt(_guest: LiveGuest, _paths: object) -> None:
        raise GuestReadError("/srv/new", "Input/output error")

    monkeypatch.setattr(LiveGuest, "doubt", doubt)
    report, found, _ = compared(monkeypatch, tmp_path, made, appliances, "a")
    assert "/srv/new" in found
    assert [(n.side, n.what, n.reason) for n in report.comparison.not_compared][-1] == (
        "A", "/srv/new", "Input/output error",
    )  # fmt: skip


def test_an_address_is_shown_without_its_secret() -> None:
    given = parse_given("https://host/a.raw?X-Amz-Signature=abc")
    assert given.moment == ""
    assert given.shown.startswith("https://host/a.raw")
    assert "abc" not in given.shown

"""Who is asked to confirm what the host has read: a healthy verdict of certain facts needs nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import GuestReadError, NoSystemError
from guestrepair.guest.devices import BlockDevices, Disk
from guestrepair.model import Effect, Finding, GuestPath, Severity
from guestrepair.operations.opening import Stopwatch, find_guest, until_confirmed
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.scan import to_be_confirmed
from guestrepair.report import json, table
from guestrepair.report.data import ImageReport, Report, StageError
from guestrepair.session.session import Session
from tests.support.schemas import check_report
from tests.unit.session.fake_appliance import FakeAppliance, session_on
from tests.unit.session.test_session import MIB, made

__all__ = ["made"]


@pytest.fixture
def appliance(made: Path) -> FakeAppliance:
    return FakeAppliance({"/dev/sda": made / "system"}, {"/dev/sda": made / "system.raw"})


@contextlib.contextmanager
def on_host(appliance: FakeAppliance, folder: Path) -> Iterator[Session]:
    image = appliance.devices["/dev/sda"]
    (folder / "overlay").mkdir()
    overlay = create_overlay(folder / "overlay", examine(image))
    disks = [Disk("/dev/sda", str(image), 16 * MIB)]
    with session_on(appliance, disks, {"/dev/sda": overlay}) as session:
        yield session


def confirmed(session: Session, claim: str = "", *, asks: bool = False) -> tuple[bool, list[str]]:
    """Whether the appliance has confirmed a look at the system, and what was said of it."""
    said: list[str] = []

    def look() -> str:
        _, guest = find_guest(session, ImageOptions(), UserInterface())
        assert not guest.exists(GuestPath("/srv/none"))
        if asks:
            with contextlib.suppress(GuestReadError):
                guest.check_filesystem("/dev/sda")
        return claim

    watch = Stopwatch(ImageReport(path="x"))
    assert until_confirmed(session, watch, look, lambda found: found, said.append) == claim
    return session.confirmed, said


def test_certain_facts_without_a_claim_need_nobody(appliance: FakeAppliance, tmp_path: Path) -> None:
    with on_host(appliance, tmp_path) as session:
        done, (line,) = confirmed(session)
        assert not done
        assert line.startswith("answered by this host alone: it was certain of all")
        assert appliance.calls["glob_expand"] == 0


def test_a_claim_is_confirmed(appliance: FakeAppliance, tmp_path: Path) -> None:
    with on_host(appliance, tmp_path) as session:
        done, (line,) = confirmed(session, "a/b of /c")
        assert done
        assert line == "the appliance is to confirm it: a/b of /c"
        assert appliance.calls["glob_expand"] > 0  # what is missing is looked for


def test_what_the_appliance_was_asked_is_confirmed_by_it(appliance: FakeAppliance, tmp_path: Path) -> None:
    """Whether it was faster than the host does not matter: what was asked decides."""
    with on_host(appliance, tmp_path) as session:
        session.starting.handle()  # it runs long before anything is read
        assert not confirmed(session)[0]
        assert confirmed(session, asks=True)[0]


def test_a_mount_that_is_not_certain_is_confirmed(
    appliance: FakeAppliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "guestrepair.session.host.mounting.MOUNT_DOUBTS", {"ext4": lambda *_: "it has features"}
    )
    with on_host(appliance, tmp_path) as session:
        done, (line,) = confirmed(session)
        assert done
        assert line == "the appliance is to confirm it: /dev/sda: it has features"


def test_a_mount_that_fails_is_found_out_where_it_was_not_certain(
    appliance: FakeAppliance, tmp_path: Path
) -> None:
    appliance.broken["/dev/sda"] = "wrong fs type, bad superblock"
    with on_host(appliance, tmp_path) as session:
        with pytest.raises(NoSystemError, match="wrong fs type"):
            confirmed(session, "a claim")
        assert session.confirmed  # that there is none


def test_what_a_report_claims() -> None:
    def found(severity: Severity) -> Finding:
        return Finding("a/b", severity, "/c", "text", effect=Effect.HYGIENE)

    report = ImageReport(path="x")
    assert to_be_confirmed(report, ScanOptions(), None) == ""
    report.findings = [found(Severity.NOTE)]
    assert to_be_confirmed(report, ScanOptions(), None) == ""
    assert to_be_confirmed(report, ScanOptions(), lambda *_: None)
    assert to_be_confirmed(report, ScanOptions(notes_count=True), None) == "a/b of /c"
    report.findings.append(found(Severity.WARNING))
    assert to_be_confirmed(report, ScanOptions(), None) == "a/b of /c"


def test_a_report_says_who_has_read_it() -> None:
    report = ImageReport(path="x", block=BlockDevices(), on_host_alone=True)
    line = "read by this host alone (--host-only): no appliance has confirmed it"
    assert f"  {line}\n" in table.render_image(report)
    document = json.document(Report([report]))
    check_report(json.render(Report([report])))
    assert document["images"][0]["confirmed"] is False
    report.on_host_alone = False
    assert "certain of all that it read" in table.render_image(report)
    report.errors = [StageError("system", "none")]
    assert "host alone" not in table.render_image(report)
    report.confirmed = True
    assert "host alone" not in table.render_image(report)
    assert json.document(Report([report]))["images"][0]["confirmed"] is True

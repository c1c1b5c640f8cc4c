"""A whole scan or inspection of small disks, read on the host alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.analyzers.base import AnalysisOptions, Context
from guestrepair.errors import ImageAccessError, SourceError, UsageError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Finding, Severity
from guestrepair.operations.analysis import analyze, chosen_analyzers, rules_of, without_sshd
from guestrepair.operations.examined import Examined, examined
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.operations.scan import counted, inspect, scan
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.json import render
from guestrepair.session.live import LiveGuest
from guestrepair.system.guest_system import System
from tests.support.schemas import check_report
from tests.support.sparse import copy_sparse
from tests.unit.session.test_session import ROOT_UUID, made

__all__ = ["made"]  # a fixture
ALONE = ImageOptions(host_only=True)
FSTAB = ScanOptions(only=("fstab",))


@pytest.fixture
def disk(made: Path, tmp_path: Path) -> Path:
    return copy_sparse(made / "system.raw", tmp_path / "disk.raw")


def checked(report: ImageReport) -> ImageReport:
    """The report, once its JSON is as the schema says."""
    check_report(render(Report(images=[report])))
    return report


def test_a_scan_tells_of_the_guest_and_what_is_wrong(disk: Path) -> None:
    progress: list[str] = []
    report = checked(scan(disk, ALONE, FSTAB, UserInterface(progress=progress.append)))
    assert report.errors == []
    assert report.os is not None
    assert (report.os.distro, report.os.hostname) == ("debian", "here")
    assert [(f.rule, str(f.subject)) for f in report.findings] == [("fstab/source-not-found", "/etc/fstab:2")]
    assert report.findings[0].severity is Severity.WARNING  # /home's disk was not given
    assert (report.confirmed, report.partly, report.round_trips) == (False, True, 0)
    assert report.ran
    assert "reading the package database" in progress


def test_nothing_is_written_by_it(disk: Path) -> None:
    before = disk.read_bytes()
    scan(disk, ALONE, FSTAB, UserInterface())
    assert disk.read_bytes() == before


def test_more_may_be_asked_of_the_guest_in_the_same_launch(disk: Path) -> None:
    names: list[str] = []

    def then(guest: LiveGuest, report: ImageReport) -> None:
        names.append(guest.os.hostname + str(len(report.findings)))

    scan(disk, ALONE, FSTAB, UserInterface(), then)
    assert names == ["here1"]


def test_a_disk_without_a_system_is_no_healthy_one(made: Path) -> None:
    report = checked(scan(made / "home.raw", ALONE, ScanOptions(), UserInterface()))
    assert not report.analyzed
    assert [error.stage for error in report.errors] == ["system"]
    assert Report(images=[report]).exit_status(Severity.ERROR) == 3


def test_what_is_no_image_is_one_error(tmp_path: Path) -> None:
    missing = checked(scan(tmp_path / "none.raw", ALONE, ScanOptions(), UserInterface()))
    assert "none.raw" in missing.errors[0].message
    text = tmp_path / "text.img"
    text.write_text("no disk at all\n" * 100)
    assert "a text file" in checked(scan(text, ALONE, ScanOptions(), UserInterface())).errors[0].message


def test_an_analyzer_that_there_is_not_is_wrong_usage(disk: Path) -> None:
    with pytest.raises(UsageError, match="nonsense"):
        scan(disk, ALONE, ScanOptions(only=("nonsense",)), UserInterface())


def test_an_inspection_tells_of_disks_and_system(disk: Path, made: Path) -> None:
    report = checked(inspect(disk, ALONE, UserInterface()))
    assert [(m.target, m.type, m.uuid) for m in report.mounts] == [("/", "ext4", ROOT_UUID)]
    assert (report.findings, report.errors, report.confirmed) == ([], [], False)

    data = checked(inspect(made / "home.raw", ALONE, UserInterface()))
    assert data.block is not None
    assert [device.content for device in data.block.devices] == ["ext4"]
    assert [error.stage for error in data.errors] == ["system"]


# --- what ends it in the middle


def fail(_guest: LiveGuest, _report: ImageReport) -> None:
    raise KeyError("x")


def test_what_nobody_has_confirmed_is_dropped_with_the_fault(disk: Path) -> None:
    """Whatever was found so far may be wrong: that a fault came after it makes it no better."""
    report = checked(scan(disk, ALONE, FSTAB, UserInterface(), fail))
    assert (report.findings, report.inconclusive, report.analyzed) == ([], [], False)
    assert "a fault of guestrepair itself: KeyError: 'x'" in report.errors[0].message
    assert Report(images=[report]).exit_status(Severity.ERROR) == 3

    described = checked(inspect(disk, ALONE, UserInterface(), fail))
    assert "KeyError" in described.errors[-1].message
    assert described.inventory is None


def test_what_was_not_read_whole_gives_no_findings(tmp_path: Path) -> None:
    @contextlib.contextmanager
    def cut_off() -> Iterator[Examined]:
        yield Examined(())
        raise SourceError("https://host/a.raw: the connection ended")

    finding = Finding("a/b", Severity.ERROR, "/c", "text")
    report = ImageReport(path="x", findings=[finding], analyzed=True)
    with pytest.raises(SourceError), counted(report, cut_off()):
        pass
    assert (report.findings, report.analyzed, report.read_bytes) == ([], False, None)
    with pytest.raises(ImageAccessError), counted(report, examined(tmp_path / "none.raw", ALONE)):
        pass


# --- what else a scan may be asked


def test_what_fleets_compare_systems_by(disk: Path) -> None:
    report = checked(scan(disk, ALONE, ScanOptions(only=("fstab",), brief=True), UserInterface()))
    assert report.brief is not None
    assert scan(disk, ALONE, FSTAB, UserInterface()).brief is None


def test_a_platform_that_was_named_gets_a_verdict(disk: Path) -> None:
    options = ScanOptions(only=("fstab", "platform"), analysis=AnalysisOptions(platforms=("kvm", "gce")))
    report = checked(scan(disk, ALONE, options, UserInterface()))
    assert [verdict.name for verdict in report.platforms] == ["kvm", "gce"]
    assert all(
        verdict.fits is not True for verdict in report.platforms
    )  # not all that they require was judged


@pytest.mark.parametrize(
    ("only", "skip", "rules"),
    [
        (("fstab",), ("fstab/b*",), {"fstab/order": True, "fstab/bad-option": False}),
        (("fstab/bad-*",), (), {"fstab/order": False, "fstab/bad-option": True}),
    ],
)
def test_areas_and_rules_are_chosen_by_name(
    only: tuple[str, ...], skip: tuple[str, ...], rules: dict[str, bool]
) -> None:
    options = ScanOptions(only=only, skip=skip)
    analyzers = chosen_analyzers(options)
    assert [analyzer.name for analyzer in analyzers] == ["fstab"]
    ran = rules_of(analyzers, options)
    for rule, wanted in rules.items():
        assert (rule in ran) is wanted
    assert chosen_analyzers(ScanOptions(skip=("fstab",))) == [
        a for a in chosen_analyzers(ScanOptions()) if a.name != "fstab"
    ]


def test_damage_is_inconclusive_though_nobody_asked_about_filesystems() -> None:
    guest = MemoryGuest()
    guest.file("/etc/fstab").damaged = "its checksum is wrong"
    context = Context(guest, packages_stopped="no rpm here")
    found = analyze(chosen_analyzers(FSTAB), context, FSTAB, UserInterface())
    reasons = {(each.analyzer, each.reason) for each in found.inconclusive}
    assert ("filesystems", "/etc/fstab: its checksum is wrong; its filesystem was not looked at") in reasons
    assert ("packages", "no rpm here") in reasons


def test_without_sshd_is_said_only_where_that_is_certain() -> None:
    guest = MemoryGuest()
    assert without_sshd(System(guest))
    guest.directory("/usr/sbin").unreadable = "Input/output error"
    guest.file("/usr/sbin/sshd", mode=0o755).unreadable = "Input/output error"
    assert not without_sshd(System(guest))

"""Opening an image: who is asked, what is said of it, and what an error on the way costs."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.disk import examine
from guestrepair.disk.attach.location import parse_image_name
from guestrepair.disk.overlay import create_overlay
from guestrepair.errors import (
    ApplianceError,
    BindingError,
    BudgetError,
    FormatError,
    GuestReadError,
    NoSystemError,
)
from guestrepair.guest.devices import Disk
from guestrepair.model import GuestPath
from guestrepair.operations import opening
from guestrepair.operations.opening import Stopwatch
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.report.data import ImageReport
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from tests.unit.operations.failing_guest import Failing
from tests.unit.session.fake_appliance import FakeAppliance, session_on
from tests.unit.session.test_session import MIB, made

__all__ = ["made"]  # a fixture
ALONE = ImageOptions(host_only=True)
ELSEWHERE = parse_image_name("https://host/disk.raw")
RELEASE = GuestPath("/etc/os-release")


def test_waiting_for_the_appliance_is_a_stage_of_its_own() -> None:
    report = ImageReport(path="x")
    waited = [0.0]
    watch = Stopwatch(report, lambda: waited[0])
    watch.lap("disks")
    waited[0] = 30.0
    watch.lap("analyzer fstab")
    watch.lap("close")
    assert [stage for stage, _ in report.timings] == [
        "disks", "waiting for the appliance", "analyzer fstab", "close"
    ]  # fmt: skip
    assert report.timings[1][1] == 30.0
    assert sum(seconds for _, seconds in report.timings) < 1


def test_that_nothing_confines_who_reads_the_image_is_said(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = ImageReport(path="x")
    monkeypatch.setattr(opening, "confinement", lambda: "")
    opening.describe_image(report, [examine(made / "home.raw")])
    assert (report.format, report.size_bytes, report.confined) == ("raw", 16 * MIB, False)
    assert "Landlock" in report.warnings[0]


def test_what_is_only_read_and_what_has_no_records_was_never_interrupted(made: Path, tmp_path: Path) -> None:
    image = examine(made / "home.raw")
    elsewhere = dataclasses.replace(image, path=ELSEWHERE)
    assert opening.warn_of_interruption(elsewhere, tmp_path / "state") == []
    assert not (tmp_path / "state").exists()
    (tmp_path / "file").write_text("")
    assert opening.warn_of_interruption(image, tmp_path / "file/below") == []


def test_no_further_disks_take_no_room() -> None:
    with contextlib.ExitStack() as stack:
        assert opening.throwaway_disks(stack, [], UserInterface()) == []


def test_what_an_image_takes_on_its_host_is_known_of_files_alone(made: Path, tmp_path: Path) -> None:
    image = examine(made / "home.raw")
    assert opening.image_file(image).allocated_bytes == (made / "home.raw").stat().st_blocks * 512
    for path in (tmp_path / "moved.raw", ELSEWHERE):
        assert opening.image_file(dataclasses.replace(image, path=path)).allocated_bytes is None


def test_an_overlay_without_room_ends_the_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """qemu waits for room without end: who talks to it would do so, too."""
    watched: list[tuple[Path, Callable[[], None]]] = []

    def watching(directory: Path, give_up: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
        watched.append((directory, give_up))
        return contextlib.nullcontext()

    ended, said = list[str](), list[str]()
    monkeypatch.setattr(opening, "watched_space", watching)
    monkeypatch.setattr(opening, "end_machines", lambda: ended.append("all"))
    opening.ended_without_room(tmp_path, UserInterface(note=said.append), "the repair is dropped")
    ((directory, give_up),) = watched
    assert (directory, ended) == (tmp_path, [])
    give_up()
    assert ended == ["all"]
    assert said == [f"no room left in {tmp_path}: the repair is dropped"]


def test_a_donor_is_read_by_the_host_and_named(made: Path) -> None:
    donor = examine(made / "system.raw")
    with contextlib.ExitStack() as stack:
        (found,) = opening.donor_sessions(stack, [donor], ALONE, UserInterface()).items()
        path, session = found
        assert path == donor.path
        root = session.choose_root()
        assert root.os.hostname == "here"
        assert session.guest(root).exists(RELEASE)
    assert opening.donor_keys(donor, ALONE, UserInterface()).ask is None


def test_digests_of_what_images_share_are_kept(made: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone.qcow2"
    of = ["-b", str(made / "system.raw"), "-F", "raw"]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *of, clone], check=True)
    kept = dataclasses.replace(ALONE, known_digests=tmp_path / "known.sqlite")

    def digests(image: Path) -> object:
        with opening.read_only_session(
            [examine(image, allow_backing=[made])], kept, UserInterface()
        ) as session:
            return session.guest(session.choose_root()).digests("md5", [RELEASE])

    expected = digests(made / "system.raw")
    assert not (tmp_path / "known.sqlite").exists()  # that one shares nothing
    assert digests(clone) == expected
    assert (tmp_path / "known.sqlite").exists()
    assert digests(clone) == expected


# --- who confirms it


@contextlib.contextmanager
def contradicted(made: Path, tmp_path: Path) -> Iterator[Session]:
    """The host reads a disk without a system; the appliance's kernel sees one on it."""
    appliance = FakeAppliance({"/dev/sda": made / "system"}, {"/dev/sda": made / "home.raw"})
    overlay = create_overlay(tmp_path, examine(made / "home.raw"))
    disks = [Disk("/dev/sda", "/images/a.raw", 16 * MIB)]
    with session_on(appliance, disks, {"/dev/sda": overlay}) as session:
        yield session


def test_that_there_is_no_system_is_confirmed_before_it_is_said(made: Path, tmp_path: Path) -> None:
    with contradicted(made, tmp_path) as session:
        looks: list[str] = []

        def look() -> str:
            looks.append("look")
            return opening.find_guest(session, ImageOptions(), UserInterface())[0].os.hostname

        watch = Stopwatch(ImageReport(path="x"))
        assert opening.until_confirmed(session, watch, look) == "here"
        assert len(looks) == 2


def test_a_root_that_does_not_mount_is_no_system(made: Path) -> None:
    appliance = FakeAppliance({"/dev/sda": made / "system"}, {"/dev/sda": made / "system.raw"})
    with session_on(appliance, [Disk("/dev/sda", "/images/a.raw", 16 * MIB)]) as session:
        root = session.choose_root()
        other = dataclasses.replace(root, subvolume="@gone")
        appliance.broken["btrfsvol:/dev/sda/@gone"] = "wrong fs type"
        with pytest.raises(NoSystemError, match="the root filesystem cannot be mounted: ") as said:
            opening.open_guest(session, other)
        assert "--only partitions,filesystems" in said.value.hint


# --- what fails in the guest


STOPPED = BudgetError("it", "stopped after 45 s")


@pytest.mark.parametrize(
    ("error", "begun_again"),
    [(STOPPED, 1), (MemoryError(), 1), (GuestReadError("/etc", "x"), 0), (KeyError(), 0)],
)
def test_an_fstab_that_cannot_be_mended_in_mind_is_taken_as_it_is(error: Exception, begun_again: int) -> None:
    guest = Failing(error)
    live = cast("LiveGuest", guest)
    assert opening.mount_as_repaired(cast("Session", None), cast("Any", None), live) is live
    assert guest.begun_again == begun_again


@pytest.mark.parametrize(
    ("error", "wrong", "stopped", "begun_again"),
    [
        (GuestReadError("/var/lib/dpkg", "Input/output error"), "/var/lib/dpkg: Input/output error", "", 0),
        (FormatError("status is no text"), "status is no text", "", 0),
        (BindingError("no rpm", hint="apt install it"), "", "no rpm; apt install it", 0),
        (STOPPED, "", "it: stopped after 45 s", 1),
        (KeyError("x"), "", "the package database: a fault of guestrepair itself: KeyError: 'x'", 1),
    ],
)
def test_a_package_database_that_cannot_be_read_costs_itself(
    error: Exception, wrong: str, stopped: str, begun_again: int
) -> None:
    guest = Failing(error)
    context = opening.make_context(cast("LiveGuest", guest), AnalysisOptions(), UserInterface())
    assert (context.packages, context.packages_error, context.packages_stopped) == (None, wrong, stopped)
    assert guest.begun_again == begun_again


def test_an_appliance_that_is_gone_ends_it_all() -> None:
    guest = cast("LiveGuest", Failing(ApplianceError("it has ended")))
    with pytest.raises(ApplianceError):
        opening.make_context(guest, AnalysisOptions(), UserInterface())

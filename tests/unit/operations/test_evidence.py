"""What is taken of a guest for a bundle: in one order, masked, begun again, and no half of it."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.errors import ImageAccessError, ImageError
from guestrepair.events.model import Event, Kind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Evidence, Finding, Severity
from guestrepair.operations.evidence import Bundle, EvidenceOptions, _Taking, evidence, in_full_order
from guestrepair.operations.options import ImageOptions, ScanOptions, UserInterface
from guestrepair.report.data import ImageReport
from guestrepair.report.evidence import Custody
from tests.unit.session.test_session import FSTAB as FSTAB_TEXT
from tests.unit.session.test_session import made

__all__ = ["made"]  # a fixture


def event(time_ns: int, message: str, source: str = "s", path: str | None = None) -> Event:
    return Event(
        time_ns=time_ns,
        kind=Kind.FILE,
        description="Creation Time",
        message=message,
        source=source,
        path=path,
    )


def test_chance_does_not_show() -> None:
    alike = [event(5, "a"), event(5, "b"), event(5, "b", path="/x"), event(5, "c")]
    orders = {
        tuple(in_full_order([event(4, "z"), *order, event(6, "a")]))
        for order in itertools.permutations(alike)
    }
    assert orders == {(event(4, "z"), *alike, event(6, "a"))}


def test_the_order_of_times_and_places_stays() -> None:
    events = [event(1, "z", "a"), event(1, "a", "b"), event(2, "a", "a")]
    assert list(in_full_order(events)) == events


def report() -> ImageReport:
    finding = Finding("a/b", Severity.ERROR, "/etc/fstab:1", "", (Evidence("/etc/fstab:1", "x"),))
    return ImageReport(path="x", findings=[finding])


def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file("/etc/fstab", b"fstab").mtime = 77
    made.file("/srv/password=hunter2").mtime = 5
    return made


@pytest.mark.parametrize("secrets", [False, True])
def test_files_and_timeline_are_taken(secrets: bool, tmp_path: Path) -> None:
    taking = _Taking(tmp_path, EvidenceOptions(secrets=secrets), UserInterface())
    for _ in range(2):  # as where the appliance does not confirm what the host read
        taking.take(guest(), report())
        assert [named.path for named in taking.taken.named] == ["/etc/fstab"]
        assert taking.taken.named[0].times_ns == {"Content Modification Time": 77 * 10**9}
        timeline = taking.taken.timeline
        assert timeline is not None
        lines = [json.loads(line) for line in timeline.read_text().splitlines()]
        assert len(lines) == taking.taken.events
        assert [line["timestamp"] for line in lines if line["path"] == "/etc/fstab"] == [77_000_000]
        assert any("hunter2" in line["message"] for line in lines) is secrets
        assert taking.taken.masked is not secrets


def test_a_disk_that_is_full_is_no_fault_of_the_guest(tmp_path: Path) -> None:
    taking = _Taking(tmp_path / "none", EvidenceOptions(), UserInterface())
    with pytest.raises(ImageAccessError, match="No such file or directory"):
        taking.take(guest(), report())
    assert taking.failure is not None
    assert taking.taken.timeline is None


def test_a_file_that_cannot_be_listed_costs_itself(tmp_path: Path) -> None:
    made = guest()
    made.file("/etc/bad").unreadable = "Input/output error"
    taking = _Taking(tmp_path, EvidenceOptions(), UserInterface())
    taking.take(made, report())
    assert [named.path for named in taking.taken.named] == ["/etc/fstab"]
    assert [(lost.source, lost.reason) for lost in taking.taken.unread] == [
        ("/etc/bad", "Input/output error")
    ]


# --- a whole bundle

ALONE = ImageOptions(host_only=True)
FSTAB = ScanOptions(only=("fstab",), analysis=AnalysisOptions(now=1.7e9))
CASE = EvidenceOptions(custody=Custody(case_number="case 7", examiner="A. Turing"), said={"only": "fstab"})


@pytest.fixture
def disk(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(made / "system.raw", tmp_path / "disk.raw"))


def bundled(disk: Path, output: Path, at: str = "", do: Callable[[], object] = lambda: None) -> Bundle:
    """The bundle; something is done when the work comes to a stage."""

    def progress(stage: str) -> None:
        if stage == at:
            do()

    return evidence(disk, output, ALONE, FSTAB, CASE, UserInterface(progress=progress))


def test_a_bundle_holds_what_was_found_and_that_the_image_is_as_it_was(disk: Path, tmp_path: Path) -> None:
    before = disk.read_bytes()
    (tmp_path / "out").mkdir()
    output = tmp_path / "out/case7.tar"
    done = bundled(disk, output)
    assert done.sha256 == hashlib.sha256(output.read_bytes()).hexdigest()
    assert output.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in output.parent.iterdir()] == ["case7.tar"]
    with tarfile.open(output) as bundle:
        members = {m.name: bundle.extractfile(m) for m in bundle if m.isfile()}
        content = {name: file.read() for name, file in members.items() if file is not None}
    (proof,) = [data for name, data in content.items() if name.endswith("evidence.json")]
    for words in (hashlib.sha256(before).hexdigest(), "case 7", "A. Turing"):
        assert words in proof.decode()
    (found,) = [json.loads(data) for name, data in content.items() if name.endswith("report.json")]
    assert [f["rule"] for f in found["images"][0]["findings"]] == ["fstab/source-not-found"]
    assert [data for name, data in content.items() if name.endswith("/etc/fstab")] == [FSTAB_TEXT.encode()]
    assert (done.files, done.left_out) == (1, 0)
    (timeline,) = [data for name, data in content.items() if name.endswith("timeline.jsonl")]
    assert len(timeline.splitlines()) == done.events > 0
    assert disk.read_bytes() == before
    assert bundled(disk, tmp_path / "again.tar").sha256 == done.sha256  # the same image gives the same bytes


def test_an_image_that_changes_meanwhile_gives_no_bundle(disk: Path, tmp_path: Path) -> None:
    def change() -> None:
        with disk.open("r+b") as file:
            file.seek(15 << 20)
            file.write(b"somebody uses it")

    (tmp_path / "out").mkdir()
    with pytest.raises(ImageError, match="it has changed while it was examined") as said:
        bundled(disk, tmp_path / "out/x.tar", "taking the files that findings name", change)
    assert "copy or a snapshot" in said.value.hint
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("stage", ["taking the files that findings name", "writing the bundle"])
def test_a_place_that_cannot_be_written_gives_no_bundle(stage: str, disk: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()

    def lose() -> None:
        for private in (tmp_path / "out").iterdir():
            shutil.rmtree(private)

    with pytest.raises(ImageAccessError, match=r"-o .*/out/x\.tar: No such file or directory") as said:
        bundled(disk, tmp_path / "out/x.tar", stage, lose)
    assert "space" in said.value.hint
    assert list((tmp_path / "out").iterdir()) == []

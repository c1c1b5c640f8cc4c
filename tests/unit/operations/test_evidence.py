"""What is taken of a guest for a bundle: in one order, masked, begun again, and no half of it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from guestrepair.errors import ImageAccessError
from guestrepair.events.model import Event, Kind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import Evidence, Finding, Severity
from guestrepair.operations.evidence import EvidenceOptions, _Taking, in_full_order
from guestrepair.operations.options import UserInterface
from guestrepair.report.data import ImageReport


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

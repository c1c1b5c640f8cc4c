"""A boot: of throw-away overlays of all disks, with a word on what makes it slow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from guestrepair.appliance.acceleration import Acceleration, Verdict
from guestrepair.boot import BootOptions, BootReport
from guestrepair.boot.outcome import Outcome
from guestrepair.operations import boot as operation
from guestrepair.operations.options import ImageOptions, UserInterface

MIB = 1 << 20


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (
            Verdict(Acceleration.TCG, "no /dev/kvm", fresh=True),
            ["software emulation is used, which is slow: no /dev/kvm"],
        ),
        (Verdict(Acceleration.TCG, "no /dev/kvm", fresh=False), []),
    ],
)
def test_all_disks_are_booted_and_only_read(
    verdict: Verdict, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = [tmp_path / "system.raw", tmp_path / "data.raw"]
    for disk in disks:
        disk.write_bytes(bytes(MIB))
    given: list[Path] = []

    def prove(overlay: Path, *, further: Sequence[Path], options: BootOptions) -> BootReport:
        given.extend((overlay, *further))
        assert all(path.read_bytes().startswith(b"QFI\xfb") for path in given)
        assert options.acceleration is verdict.acceleration
        assert options.ssh
        options.progress("booting")
        return BootReport(
            outcome=Outcome.LOGIN, detail="", failed_units=(), milestones=(), seconds=1.0, firmware="bios",
            acceleration="tcg",
        )  # fmt: skip

    monkeypatch.setattr(operation, "prove", prove)
    monkeypatch.setattr(operation, "acceleration", lambda: verdict)
    notes, stages = list[str](), list[str]()
    ui = UserInterface(note=notes.append, progress=stages.append)
    report = operation.boot(disks[0], ImageOptions(further_disks=(disks[1],)), BootOptions(ssh=True), ui)
    assert report.reached_login
    assert (notes, stages) == (said, ["booting"])
    assert len(given) == 2
    assert not any(path.exists() for path in given)
    assert [disk.read_bytes() for disk in disks] == [bytes(MIB)] * 2

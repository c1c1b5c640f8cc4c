"""What a change by hand is made of: the right place, nothing lost, nothing outside the guest."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from guestrepair.errors import UsageError
from guestrepair.formats.superblock.checksums import crc32c
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.view import Guest
from guestrepair.model import Change, GuestPath, RemoveFile, Severity
from guestrepair.operations.by_hand import (
    Consequences,
    HandOptions,
    change_by_hand,
    guest_path,
    place_of_content,
    written,
)
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.report.data import ImageReport, Report
from tests.unit.operations.staged_appliance import RIGHT, WRONG, appliance, disks, fstab, made
from tests.unit.session.fake_appliance import FakeAppliance

__all__ = ["appliance", "disks", "fstab", "made"]  # fixtures


def guest() -> MemoryGuest:
    made = MemoryGuest()
    made.file("/etc/fstab", "old\n")
    made.link("/etc/link", "fstab")
    made.link("/etc/away", "/nowhere/at/all")
    made.directory("/srv")
    return made


def test_an_existing_file_is_replaced_where_its_links_lead() -> None:
    change = written(guest(), GuestPath("/etc/link"), b"new\n")
    assert (change.path, change.before, change.after) == (GuestPath("/etc/fstab"), b"old\n", b"new\n")


def test_a_new_file_has_the_mode_that_was_asked_for() -> None:
    change = written(guest(), GuestPath("/srv/run"), b"#!/bin/sh\n", mode=0o755)
    assert (change.path, change.before, change.mode) == (GuestPath("/srv/run"), None, 0o755)


@pytest.mark.parametrize("path", ["/srv", "/nowhere/file", "/etc/away", "/etc/fstab/below"])
def test_what_can_be_no_file_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        place_of_content(guest(), GuestPath(path))


def test_more_than_is_written_by_hand_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guestrepair.operations.by_hand.MAX_TEXT_BYTES", 3)
    with pytest.raises(UsageError, match="at most 3"):
        written(guest(), GuestPath("/srv/big"), b"1234")


def test_a_path_in_the_guest_is_absolute() -> None:
    assert guest_path("/etc") == GuestPath("/etc")
    with pytest.raises(UsageError, match="begins with /"):
        guest_path("etc/fstab")


# --- a whole change


def changed(
    tmp_path: Path, disks: ImageOptions, text: str, *, agreed: bool = True
) -> tuple[ImageReport, list[Consequences]]:
    """The report of writing fstab by hand, and what was shown before the question."""
    shown: list[Consequences] = []

    def confirm(consequences: Consequences) -> bool:
        shown.append(consequences)
        return agreed

    def make(guest: Guest) -> Sequence[Change]:
        return [written(guest, GuestPath("/etc/fstab"), text.encode())] if text else []

    how = HandOptions(confirm=confirm, state_dir=tmp_path / "state")
    return change_by_hand(tmp_path / "system.raw", disks, how, make, UserInterface()), shown


def test_what_a_change_mends_is_shown(tmp_path: Path, disks: ImageOptions, fstab: Path) -> None:
    report, shown = changed(tmp_path, disks, RIGHT)
    assert fstab.read_text() == RIGHT
    assert report.outcome is not None
    assert report.outcome.committed
    assert "fstab/bad-option" in [finding.rule for finding in shown[0].mended]
    assert not shown[0].is_worse


def test_what_is_wrong_only_after_it_is_shown_before_the_question(
    tmp_path: Path, disks: ImageOptions, fstab: Path
) -> None:
    report, shown = changed(tmp_path, disks, RIGHT.replace("ext4", "extt4"), agreed=False)
    assert {"fstab/wrong-type", "fstab/unsupported-type"} & {finding.rule for finding in shown[0].worse}
    assert shown[0].is_worse
    assert report.outcome is not None
    assert not report.outcome.committed
    assert fstab.read_text() != WRONG  # on the overlay, which is gone


def test_no_change_asks_nobody(tmp_path: Path, disks: ImageOptions, fstab: Path) -> None:
    report, shown = changed(tmp_path, disks, "")
    assert shown == []
    assert report.outcome is not None
    assert not report.outcome.committed
    assert fstab.read_text() == WRONG


def test_a_change_that_cannot_be_made_fails_and_writes_nothing(
    tmp_path: Path, disks: ImageOptions, appliance: FakeAppliance
) -> None:
    before = (tmp_path / "system.raw").read_bytes()
    appliance.broken["write /etc/fstab"] = "Read-only file system"
    report, shown = changed(tmp_path, disks, RIGHT)
    assert shown == []
    assert "Read-only file system" in report.errors[0].message
    assert Report(images=[report]).exit_status(Severity.ERROR) == 4
    assert (tmp_path / "system.raw").read_bytes() == before


def test_a_file_of_another_disk_is_not_changed_with_this_one(
    tmp_path: Path, disks: ImageOptions, appliance: FakeAppliance
) -> None:
    (appliance.trees["/dev/sda"] / "etc/fstab").write_text(RIGHT)
    remove = [RemoveFile(path=GuestPath("/home/a/letter"))]
    how = HandOptions(confirm=lambda _: True, state_dir=tmp_path / "state")
    report = change_by_hand(tmp_path / "system.raw", disks, how, lambda _: remove, UserInterface())
    assert "/home/a/letter" in report.errors[0].message
    assert Report(images=[report]).exit_status(Severity.ERROR) == 4


def unclean(disk: Path) -> None:
    """Make an ext4 look as if it were mounted still (struct ext4_super_block: s_state, s_checksum)."""
    with disk.open("r+b") as file:
        file.seek(1024)
        block = bytearray(file.read(1020))
        block[58:60] = bytes(2)
        file.seek(1024)
        file.write(block + crc32c(bytes(block)).to_bytes(4, "little"))


def test_a_change_that_leaves_a_filesystem_unclean_is_dropped(
    tmp_path: Path,
    disks: ImageOptions,
    appliance: FakeAppliance,
    fstab: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overlay = Path(shutil.copyfile(appliance.devices["/dev/sda"], tmp_path / "overlay"))
    appliance.devices["/dev/sda"] = overlay
    unmounted = appliance.umount_all

    def unmount() -> None:
        unmounted()
        if fstab.read_text() == RIGHT:
            unclean(overlay)

    monkeypatch.setattr(appliance, "umount_all", unmount)
    report, shown = changed(tmp_path, disks, RIGHT)
    assert shown == []
    assert "/dev/sda was not unmounted cleanly" in report.errors[0].message
    assert Report(images=[report]).exit_status(Severity.ERROR) == 4

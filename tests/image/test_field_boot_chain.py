"""Loader entries whose command line is lost, and a GRUB for UEFI without its configuration, on real disks."""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from fixtures.rpm.guests import ROCKY9_ROOT_UUID
from tests.support.program import guestrepair

pytestmark = [pytest.mark.image, pytest.mark.long]

ENTRIES = "/boot/loader/entries"
STUB = "/boot/efi/EFI/rocky/grub.cfg"


def repaired(disk: Path, tmp_path: Path, *options: str) -> None:
    done = guestrepair("repair", "--yes", *options, "--only", "boot", "--no-guest-backup",
                       "--state-dir", tmp_path / "state", disk)  # fmt: skip
    assert done.problems == set(), done.stderr
    again = guestrepair("scan", "--only", "boot", disk)
    assert again.found == {}, again.report


def test_entries_whose_kernelopts_are_lost(tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    fixtures.copy_of("rocky9-uefi", disk)
    assert guestrepair("scan", "--only", "boot", disk).found == {}
    with fixtures.edit(disk) as guest:
        (name,) = guest.ls(ENTRIES)
        path = f"{ENTRIES}/{name}"
        lines = guest.read_file(path).decode().splitlines(keepends=True)
        lost = ["options $kernelopts $tuned_params\n" if li.startswith("options") else li for li in lines]
        guest.write(path, "".join(lost).encode())
        block = guest.read_file("/boot/grub2/grubenv")
    scan = guestrepair("scan", "--only", "boot", disk)
    assert scan.found == {f"boot/root-device-wrong@{path}:3": ("error", "open")}
    repaired(disk, tmp_path)
    with fixtures.edit(disk) as guest:
        wanted = [
            li.replace("$kernelopts", f"root=UUID={ROCKY9_ROOT_UUID} ro console=ttyS0,115200") for li in lost
        ]
        assert guest.read_file(path).decode() == "".join(wanted)
        assert guest.read_file("/boot/grub2/grubenv") == block


@pytest.mark.parametrize(("base", "severity"), [("rocky9-uefi", "error"), ("rocky9-like", "warning")])
def test_grub_for_uefi_without_its_configuration(base: str, severity: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    fixtures.copy_of(base, disk)
    with fixtures.edit(disk) as guest:
        guest.rm(STUB)
    scan = guestrepair("scan", "--only", "boot", disk)
    assert scan.found == {f"boot/efi-configuration-missing@{STUB}": (severity, "open")}
    repaired(disk, tmp_path, "--all")
    with fixtures.edit(disk) as guest:
        text = guest.read_file(STUB).decode()
        assert f"--set=dev {ROCKY9_ROOT_UUID}\n" in text
        assert "set prefix=($dev)/boot/grub2\n" in text
        assert text.endswith("configfile $prefix/grub.cfg\n")

"""Links of the boot chain broken one by one keep the server down; all of them repaired, it comes up."""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from fixtures.booting import HEALTH, Booted, guestrepair, needs, visit
from fixtures.faults.boot_chain import CHAIN_FAULTS, chain_damaged

pytestmark = [pytest.mark.boot, pytest.mark.long]

FAILS = {
    "partitions/gpt-primary-damaged": {"initramfs-shell", "boot-loader-shell", "nothing-bootable"},
    "partitions/hybrid-or-protective-mbr-wrong": {"boot-loader-shell", "nothing-bootable", "time-limit"},
    "filesystems/superblock-damaged": {"boot-loader-shell"},
    "boot/loader-missing": {"nothing-bootable", "time-limit"},
    "boot/root-device-wrong": {"boot-loader-shell", "initramfs-shell"},
    "boot/kernel-missing": {"boot-loader-shell"},
    "boot/initramfs-missing": {"kernel-panic"},
    "boot/modules-missing": {"emergency-mode"},
}


@pytest.mark.parametrize("rule", CHAIN_FAULTS)
def test_each_fault_alone_keeps_the_server_from_coming_up(rule: str, tmp_path: Path) -> None:
    image = chain_damaged([rule], tmp_path / "disk.raw")
    status, report, stderr = guestrepair("boot", "--timeout", "150", image)
    assert status == 1, stderr
    assert report["outcome"] in FAILS[rule], report["summary"]


def all_repaired(folder: Path) -> Booted:
    """Every fault at once, repaired in one run with the guest's own programs and a donor, then booted."""
    image = fixtures.copy_of(chain_damaged(CHAIN_FAULTS, folder / "disk.raw"), folder / "disk.qcow2")
    status, report, stderr = guestrepair(
        "repair", "--yes", "--all", "--allow-guest-programs", "--donor", fixtures.build("debian-server"),
        "--only", "partitions,filesystems,boot", "--state-dir", folder / "state", image,
    )  # fmt: skip
    if status != 0:
        return Booted(image, status, report, stderr)
    came = visit(image, root=HEALTH)
    return Booted(image, status, report, stderr, came.boot, came.answers)


@needs(all_repaired)
def test_all_of_them_at_once_are_repaired_in_one_run(booted: Booted) -> None:
    assert booted.status == 0, booted.stderr
    (image,) = booted.report["images"]
    repaired = {f["rule"] for f in image["findings"] if f["status"] == "repaired"}
    assert repaired >= CHAIN_FAULTS.keys()
    assert booted.boot is not None
    assert booted.boot.came_up, booted.boot.summary
    assert booted.health == ["state=running", "writable=yes", "fstab=good", "/boot/efi"]

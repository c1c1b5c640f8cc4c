"""The cases that the tool exists for, repaired: the server comes up, and a real login finds it sound.

One boot proves the repair of all three kinds at once, and one more that of further faults.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from fixtures.booting import HEALTH, Booted, guestrepair, needs, visit_of, visit_of_repaired

pytestmark = pytest.mark.boot

HEALTHY = ["state=running", "writable=yes", "fstab=good", "/boot/efi"]
WHO = "sudo -n id -un"
THREE = ("fstab-wrong-uuid", "sshd-host-keys", "bin-missing")
FURTHER = (
    *("fstab-wrong-root", "fstab-bad-option", "fstab-wrong-swap", "fstab-malformed"),
    *("sshd-strict-modes", "sshd-config", "sshd-privsep-user"),
)


def assert_sound(booted: Booted) -> None:
    assert booted.boot is not None, booted.stderr
    assert booted.boot.came_up, booted.boot.summary
    assert booted.health == HEALTHY
    assert booted.answers["admin"].output == "root\n"


@pytest.mark.long
@needs(visit_of(root=HEALTH, admin=WHO))
def test_the_healthy_server_comes_up_and_is_sound(booted: Booted) -> None:
    assert_sound(booted)
    assert booted.boot is not None
    assert booted.boot.firmware == "BIOS"


@needs(visit_of_repaired(*THREE, root=HEALTH, admin=WHO))
def test_the_three_cases_repaired_at_once_come_up_and_are_sound(booted: Booted) -> None:
    assert booted.status == 0, booted.stderr
    assert booted.report["summary"]["error"] == 0
    assert_sound(booted)


@pytest.mark.long
@needs(visit_of_repaired(*FURTHER, root=HEALTH, admin=WHO))
def test_further_faults_repaired_at_once_come_up_and_are_sound(booted: Booted) -> None:
    assert booted.status == 0, booted.stderr
    assert_sound(booted)


def test_prove_boot_boots_the_overlay_before_anything_is_written(tmp_path: Path) -> None:
    """Only one of two faults may be repaired here: the boot fails, so nothing is written."""
    faults = ("fstab-wrong-uuid", "loader-module-missing")
    image = fixtures.damaged("debian-server", faults, out=tmp_path / "image.qcow2")
    before = image.read_bytes()
    status, _, stderr = guestrepair(
        "repair", "--yes", "--only", "fstab", "--prove-boot", "--state-dir", tmp_path / "state", image
    )
    assert status == 4, stderr
    assert "boot loader's own prompt" in stderr
    assert image.read_bytes() == before

"""The cases that the tool exists for, proven by boot: broken it does not come up, repaired it does.

The broken halves are booted one by one; one boot proves the repair of all three
kinds at once, and one more that of three further faults.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fixtures
from fixtures.booting import HEALTH, Visit, guestrepair, visit

pytestmark = pytest.mark.boot
Break = Callable[..., Path]

HEALTHY = ["state=running", "writable=yes", "fstab=good", "/boot/efi"]
THREE = ("fstab-wrong-uuid", "sshd-host-keys", "bin-missing")
FURTHER = ("fstab-wrong-root", "sshd-strict-modes", "sshd-config")


def test_the_healthy_server_comes_up_and_is_sound(debian_image: Path) -> None:
    came = visit(debian_image, root=HEALTH, admin="sudo -n id -un")
    assert came.report.came_up, came.report.summary
    assert came.report.firmware == "BIOS"
    assert came.health == HEALTHY
    assert came.answers["admin"].output == "root\n"


# --- broken --------------------------------------------------------------------------


def test_a_wrong_uuid_in_fstab_ends_in_emergency_mode(broken: Break) -> None:
    status, report, _ = guestrepair("boot", broken("fstab-wrong-uuid"))
    assert (status, report["outcome"]) == (1, "emergency-mode")
    assert any("boot-efi" in unit or "/boot/efi" in unit for unit in report["failed_units"])
    assert any("5F1D-DEAD" in unit for unit in report["failed_units"])


def test_host_keys_that_all_can_read_leave_a_login_prompt_without_ssh(broken: Break) -> None:
    status, report, _ = guestrepair("boot", "--ssh", broken("sshd-host-keys"))
    assert (status, report["outcome"]) == (1, "login")
    assert report["ssh_banner"] == ""
    assert "sshd does not answer" in report["summary"]


def test_deleted_programs_keep_the_system_from_coming_up(broken: Break) -> None:
    status, report, _ = guestrepair("boot", "--timeout", "200", broken("bin-missing"))
    assert status == 1
    assert report["outcome"] not in {"login", "nothing-bootable", "boot-loader-shell"}, report["summary"]


def test_a_wrong_root_in_fstab_leaves_it_read_only_and_loose_modes_lock_root_out(broken: Break) -> None:
    came = visit(broken("fstab-wrong-root", "sshd-strict-modes"), root="true", admin="touch /home/admin/x")
    assert came.report.outcome == "login-read-only-root"
    assert not came.report.came_up
    assert came.answers["root"].status == 255
    assert "Permission denied" in came.answers["root"].errors
    assert "Read-only file system" in came.answers["admin"].errors


def test_an_unknown_keyword_in_sshd_config_refuses_ssh(broken: Break) -> None:
    status, report, _ = guestrepair("boot", "--ssh", broken("sshd-config"))
    assert (status, report["outcome"], report["ssh_banner"]) == (1, "login", "")


# --- repaired ------------------------------------------------------------------------


def repaired(broken: Break, tmp_path: Path, *faults: str) -> Visit:
    """Repair a copy with ``--yes`` and a donor, then boot it and log in."""
    image = fixtures.copy_of(broken(*faults), tmp_path / "image.qcow2")
    donor = fixtures.build("debian-server")
    status, report, stderr = guestrepair(
        "repair", "--yes", "--donor", donor, "--state-dir", tmp_path / "state", image
    )
    assert status == 0, stderr
    assert report["summary"]["error"] == 0
    return visit(image, root=HEALTH, admin="sudo -n id -un")


@pytest.mark.parametrize("faults", [THREE, FURTHER], ids=["the three cases", "three more"])
def test_repaired_it_comes_up_and_is_sound(broken: Break, tmp_path: Path, faults: tuple[str, ...]) -> None:
    came = repaired(broken, tmp_path, *faults)
    assert came.report.came_up, came.report.summary
    assert came.health == HEALTHY
    assert came.answers["admin"].output == "root\n"


def test_prove_boot_boots_the_overlay_before_anything_is_written(broken: Break, tmp_path: Path) -> None:
    """Only one of two faults may be repaired here: the boot fails, so nothing is written."""
    image = fixtures.copy_of(broken("fstab-wrong-uuid", "loader-module-missing"), tmp_path / "image.qcow2")
    before = image.read_bytes()
    status, _, stderr = guestrepair(
        "repair", "--yes", "--only", "fstab", "--prove-boot", "--state-dir", tmp_path / "state", image
    )
    assert status == 4, stderr
    assert "boot loader's own prompt" in stderr
    assert image.read_bytes() == before

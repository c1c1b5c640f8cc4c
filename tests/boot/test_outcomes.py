"""``guestrepair boot`` tells the ends of a boot apart, each on an image made to reach it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fixtures
from fixtures.booting import guestrepair

pytestmark = pytest.mark.boot
Break = Callable[..., Path]


def stages(report: dict[str, object]) -> list[str]:
    milestones = report["milestones"]
    assert isinstance(milestones, list)
    return [m["stage"] for m in milestones]


def test_a_healthy_disk_reaches_login_by_uefi_and_sshd_answers(debian_image: Path, tmp_path: Path) -> None:
    image = fixtures.copy_of(debian_image, tmp_path / "uefi.raw")
    with image.open("r+b") as disk:
        disk.write(bytes(440))  # without boot code for a BIOS, the ESP is what is left
    before = image.stat().st_mtime_ns
    status, report, stderr = guestrepair("boot", "--ssh", image)
    assert (status, report["outcome"]) == (0, "login"), stderr
    assert report["firmware"] == "UEFI"
    assert report["ssh_banner"].startswith("SSH-2.0-OpenSSH_9.2p1")
    assert stages(report) == [
        "firmware", "boot loader", "kernel", "initramfs", "root mounted", "service manager", "login prompt",
        "ssh banner",
    ]  # fmt: skip
    assert image.stat().st_mtime_ns == before


def test_a_missing_loader_for_dynamic_programs_is_a_kernel_panic(broken: Break, tmp_path: Path) -> None:
    screen = tmp_path / "screen.png"
    status, report, _ = guestrepair("boot", broken("lib64-missing"), "-o", screen)
    assert (status, report["outcome"]) == (1, "kernel-panic")
    assert "Kernel panic - not syncing" in report["detail"]
    assert screen.read_bytes().startswith(b"\x89PNG\r\n")


def test_a_wrong_root_on_the_kernels_command_line_is_an_initramfs_shell(broken: Break) -> None:
    status, report, _ = guestrepair("boot", broken("loader-wrong-root"))
    assert (status, report["outcome"]) == (1, "initramfs-shell")
    assert report["detail"].startswith("ALERT!  UUID=5f1d2c34-0b6e-4c39-9d5a-6a1f3be0dead does not exist.")


def test_a_boot_loader_without_its_modules_stays_at_its_prompt(broken: Break) -> None:
    status, report, _ = guestrepair("boot", broken("loader-module-missing"))
    assert (status, report["outcome"]) == (1, "boot-loader-shell")
    assert report["detail"] == "error: file `/boot/grub/i386-pc/normal.mod' not found."


def test_a_blank_disk_is_nothing_bootable() -> None:
    status, report, _ = guestrepair("boot", "--timeout", "60", fixtures.build("no-partition-table"))
    assert (status, report["outcome"]) == (1, "nothing-bootable")


def test_the_time_limit_ends_a_boot_that_goes_on(debian_image: Path) -> None:
    status, report, _ = guestrepair("boot", "--timeout", "3", debian_image)
    assert (status, report["outcome"]) == (1, "time-limit")
    assert report["seconds"] < 10


def test_a_kernel_without_serial_console_gets_one_on_the_overlay_only(broken: Break) -> None:
    image = broken("no-serial-console")
    before = image.read_bytes()
    status, report, _ = guestrepair("boot", image)
    assert (status, report["outcome"], report["serial_console_added"]) == (0, "login", True)
    assert image.read_bytes() == before

"""``guestrepair boot`` tells the ends of a boot apart, each on an image made to reach it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import fixtures
from fixtures.booting import Booted, boot_of, guestrepair, needs
from tests.support.program import PROGRAM

pytestmark = pytest.mark.boot


def stages(report: dict[str, object]) -> list[str]:
    milestones = report["milestones"]
    assert isinstance(milestones, list)
    return [m["stage"] for m in milestones]


def uefi_only(folder: Path) -> Booted:
    image = fixtures.copy_of("debian-server", folder / "uefi.raw")
    with image.open("r+b") as disk:
        disk.write(bytes(440))  # without boot code for a BIOS, the ESP is what is left
    before = image.stat().st_mtime_ns
    booted = Booted(image, *guestrepair("boot", "--ssh", image))
    assert image.stat().st_mtime_ns == before
    return booted


@needs(uefi_only)
def test_a_healthy_disk_reaches_login_by_uefi_and_sshd_answers(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"]) == (0, "login"), booted.stderr
    assert booted.report["firmware"] == "UEFI"
    assert booted.report["ssh_banner"].startswith("SSH-2.0-OpenSSH_9.2p1")
    assert stages(booted.report) == [
        "firmware", "boot loader", "kernel", "initramfs", "root mounted", "service manager", "login prompt",
        "ssh banner",
    ]  # fmt: skip


@needs(boot_of("lib64-missing", screen=True))
def test_a_missing_loader_for_dynamic_programs_is_a_kernel_panic(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"]) == (1, "kernel-panic")
    assert "Kernel panic - not syncing" in booted.report["detail"]
    assert Path(booted.report["screenshot"]).read_bytes().startswith(b"\x89PNG\r\n")


@needs(boot_of("loader-wrong-root"))
def test_a_wrong_root_on_the_kernels_command_line_is_an_initramfs_shell(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"]) == (1, "initramfs-shell")
    assert booted.report["detail"].startswith(
        "ALERT!  UUID=5f1d2c34-0b6e-4c39-9d5a-6a1f3be0dead does not exist."
    )


@needs(boot_of("loader-module-missing"))
def test_a_boot_loader_without_its_modules_stays_at_its_prompt(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"]) == (1, "boot-loader-shell")
    assert booted.report["detail"] == "error: file `/boot/grub/i386-pc/normal.mod' not found."


def test_a_blank_disk_is_nothing_bootable() -> None:
    status, report, _ = guestrepair("boot", "--timeout", "60", fixtures.build("no-partition-table"))
    assert (status, report["outcome"]) == (1, "nothing-bootable")


def test_the_time_limit_ends_a_boot_that_goes_on() -> None:
    status, report, _ = guestrepair("boot", "--timeout", "3", fixtures.build("debian-server"))
    assert (status, report["outcome"]) == (1, "time-limit")
    assert report["seconds"] < 10


def machines_in(folder: Path) -> list[str]:
    """Command lines of the processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command and "qemu-system" in command:
                found.append(command)
    return found


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_ended_at_any_moment_it_leaves_no_machine_behind(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    argv = [str(PROGRAM), "boot", str(fixtures.build("debian-server"))]
    boot = subprocess.Popen(argv, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not machines_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert machines_in(tmp_path)
    boot.send_signal(number)
    assert boot.wait(60) == status
    deadline = time.monotonic() + 10
    while machines_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert machines_in(tmp_path) == []
    if number != signal.SIGKILL:  # which leaves files to the next run
        assert list(tmp_path.iterdir()) == []


def without_serial_console(folder: Path) -> Booted:
    image = fixtures.damaged("debian-server", ["no-serial-console"], out=folder / "image.qcow2")
    before = image.read_bytes()
    booted = Booted(image, *guestrepair("boot", image))
    assert image.read_bytes() == before
    return booted


@pytest.mark.long
@needs(without_serial_console)
def test_a_kernel_without_serial_console_gets_one_on_the_overlay_only(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"]) == (0, "login")
    assert booted.report["serial_console_added"] is True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem")
def test_a_host_whose_room_ends_meanwhile_ends_the_boot_and_says_so(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", small], check=True)
    try:
        argv = [str(PROGRAM), "boot", str(fixtures.build("debian-server"))]
        environment = {**os.environ, "TMPDIR": str(small)}
        boot = subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not machines_in(small) and time.monotonic() < deadline:
            time.sleep(0.2)
        with (small / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, 80 << 20)
        assert boot.wait(60) == 3
        assert boot.stderr is not None
        assert f"no room left in {small}" in boot.stderr.read()
        assert machines_in(small) == []
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)

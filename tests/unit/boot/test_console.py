"""The console classifier, on consoles recorded from boots of the Debian image and its damaged copies."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.boot.console import Console, classify
from guestrepair.boot.outcome import ConsoleVerdict, Outcome, Stage

CONSOLES = Path(__file__).parent / "consoles"


def recorded(name: str) -> ConsoleVerdict:
    return classify((CONSOLES / f"{name}.txt").read_bytes())


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("login-bios", Outcome.LOGIN),
        ("login-uefi", Outcome.LOGIN),
        ("login-read-only-root", Outcome.READ_ONLY),
        ("emergency", Outcome.EMERGENCY),
        ("panic", Outcome.PANIC),
        ("initramfs-shell", Outcome.INITRAMFS_SHELL),
        ("grub-rescue", Outcome.LOADER_SHELL),
        ("grub-shell", Outcome.LOADER_SHELL),
        ("blank-disk", Outcome.NOT_BOOTABLE),
        ("no-serial-console", None),
    ],
)
def test_each_recorded_console_has_its_outcome(name: str, outcome: Outcome | None) -> None:
    assert recorded(name).outcome is outcome


def test_a_healthy_boot_passes_every_stage_in_order() -> None:
    stages = [m.stage for m in recorded("login-bios").milestones]
    assert stages == [s for s in Stage if s is not Stage.SSH]


def test_the_silent_kernel_is_known_by_its_loader_alone() -> None:
    stages = {m.stage for m in recorded("no-serial-console").milestones}
    assert stages == {Stage.FIRMWARE, Stage.LOADER}


def test_the_panic_carries_the_kernels_own_line() -> None:
    assert "Kernel panic - not syncing: Attempted to kill init!" in recorded("panic").detail


def test_a_shell_carries_the_reason_for_it_not_the_prompt() -> None:
    assert recorded("initramfs-shell").detail.startswith("ALERT!  UUID=5f1d2c34")
    assert recorded("grub-rescue").detail == "error: file `/boot/grub/i386-pc/normal.mod' not found."


def test_emergency_mode_names_the_units_that_failed() -> None:
    units = recorded("emergency").failed_units
    assert "boot-efi.mount" in units
    assert any("5F1D-DEAD" in unit for unit in units)


def test_text_fed_byte_by_byte_gives_the_same_verdict() -> None:
    text = (CONSOLES / "login-bios.txt").read_bytes()
    console = Console()
    for number in range(len(text)):
        console.feed(text[number : number + 1], float(number))
    assert console.verdict().outcome is Outcome.LOGIN
    assert [m.stage for m in console.verdict().milestones] == [m.stage for m in classify(text).milestones]


def test_times_are_those_of_the_feed_that_completed_the_line() -> None:
    console = Console()
    console.feed(b"[    0.000000] Linux ver", 1.0)
    console.feed(b"sion 6.1.0\r\n", 2.0)
    assert [(m.stage, m.seconds) for m in console.verdict().milestones] == [(Stage.KERNEL, 2.0)]


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (b"\r\nlocalhost login: ", Outcome.LOGIN),
        (b"\r\nlocalhost login: root", None),
        (b"systemd[1]: last login: yesterday\r\n", None),
        (b"You are in rescue mode. After logging in, type\r\n", Outcome.RESCUE),
        (b"Please unlock disk cryptroot: ", Outcome.PASSPHRASE),
        (b"\r\nhost login: \r\nKernel panic - not syncing: Fatal exception\r\n", Outcome.PANIC),
        (b"Kernel panic - not syncing: x\r\nhost login: ", Outcome.PANIC),
        (b"BdsDxe: No bootable option or device was found.\r\n", Outcome.NOT_BOOTABLE),
        (b'Generating "/run/initramfs/rdsosreport.txt"\r\n', Outcome.INITRAMFS_SHELL),
        (b"", None),
    ],
)
def test_single_lines(text: bytes, outcome: Outcome | None) -> None:
    assert classify(text).outcome is outcome


def test_units_are_named_once_and_shortened_names_by_their_description() -> None:
    verdict = classify(
        "[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mssh.service\x1b[0m - OpenBSD server.\r\n"
        "[FAILED] Failed to start ssh.service - OpenBSD Secure Shell server.\r\n"
        "[DEPEND] Dependency failed for loca…s.target - Local File Systems.\r\n"
        "[ TIME ] Timed out waiting for device /dev/disk/by-uuid/5F1D-DEAD.\r\n".encode()
    )
    assert verdict.failed_units == ("ssh.service", "Local File Systems", "/dev/disk/by-uuid/5F1D-DEAD")


@given(st.binary(max_size=4000))
def test_any_bytes_are_classified_and_nothing_unprintable_is_kept(text: bytes) -> None:
    console = Console()
    console.feed(text, 0.0)
    assert all(line.isprintable() for line in (*console.tail(), console.verdict().detail))


def test_an_entry_that_grub_cannot_load_is_the_loaders_end_with_its_first_reason() -> None:
    text = (
        b"GNU GRUB  version 2.06\r\nLoading Linux 6.1.0 ...\r\n"
        b"error: no such device: 5f1d2c34-0b6e-4c39-9d5a-6a1f3be0dead.\r\n"
        b"Loading initial ramdisk ...\r\nerror: you need to load the kernel first.\r\n\r\n"
        b"Press any key to continue...\r\n"
    )
    verdict = classify(text)
    assert verdict.outcome is Outcome.LOADER_SHELL
    assert verdict.detail == "error: no such device: 5f1d2c34-0b6e-4c39-9d5a-6a1f3be0dead."


def test_a_console_of_nothing_but_carriage_returns_costs_no_more_than_any_other() -> None:
    console = Console()
    started = time.process_time()
    for second in range(20):
        console.feed(b"\r" * 65_536, second)
    assert time.process_time() - started < 10
    console.feed(b"\r\r\nguest login: ", 20)
    assert console.verdict().outcome is Outcome.LOGIN

"""The machine's command line: what it must and must not hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from guestrepair.appliance.acceleration import Acceleration
from guestrepair.boot.machine import Confinement, MachineOptions, command_line
from guestrepair.boot.outcome import BootReport, Outcome
from guestrepair.confine.cage import Cage

pytestmark = pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="qemu is not installed")


USER = Confinement(cage=Cage(), user=65527)


def line(
    *, ssh: bool = False, acceleration: Acceleration = Acceleration.TCG, disks: tuple[str, ...] = ("/t/a",)
) -> str:
    options = MachineOptions(disks=tuple(map(Path, disks)), uefi=False, ssh=ssh, acceleration=acceleration)
    return " ".join(command_line(options, Path("/t"), None))


def test_without_ssh_there_is_no_network_card() -> None:
    assert "-nodefaults" in line()
    assert "net" not in line().replace("-nodefaults", "")


def test_with_ssh_the_guest_is_reached_from_this_host_and_reaches_nothing() -> None:
    assert "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22" in line(ssh=True)


def test_every_disk_has_its_format_spelled_out_and_is_in_its_order() -> None:
    text = line(disks=("/t/a", "/t/b"))
    assert text.count("format=qcow2") == text.count("if=none") == 2
    assert text.index("id=disk0") < text.index("id=disk1")


def test_a_comma_in_a_path_does_not_end_an_option() -> None:
    assert "file=/t/a,,readonly=on" in line(disks=("/t/a,readonly=on",))


def test_qemu_dies_with_us_and_runs_in_its_sandbox() -> None:
    words = line().split()
    assert words[1:3] == ["--pdeathsig", "KILL"]
    assert words[words.index("-sandbox") + 1].startswith("on,")


def test_where_it_becomes_another_user_it_may_do_that_and_the_namespace_still_dies_with_us(
    tmp_path: Path,
) -> None:
    options = MachineOptions(disks=(Path("/t/a"),), uefi=False, ssh=False, acceleration=Acceleration.TCG)
    words = command_line(options, tmp_path, None, USER)
    text = " ".join(words)
    assert "-runas 65527:65527" in text or "-run-with user=65527:65527" in text
    assert words[words.index("-sandbox") + 1].count("elevateprivileges=allow") == 1
    assert words[1:3] == ["--pdeathsig", "KILL"]
    assert "--no-new-privs" in words[: words.index("unshare")]
    assert "--kill-child=KILL" in words[words.index("unshare") : words.index("-nodefaults")]


@pytest.mark.parametrize(
    ("acceleration", "words"),
    [(Acceleration.KVM, ("accel=kvm", "-cpu host")), (Acceleration.TCG, ("accel=tcg", "-cpu max"))],
)
def test_acceleration(acceleration: Acceleration, words: tuple[str, str]) -> None:
    assert all(word in line(acceleration=acceleration) for word in words)


@pytest.mark.parametrize(
    ("outcome", "banner", "up"),
    [
        (Outcome.LOGIN, None, True),
        (Outcome.LOGIN, "SSH-2.0-OpenSSH_9.2p1", True),
        (Outcome.LOGIN, "", False),
        (Outcome.READ_ONLY, "SSH-2.0-OpenSSH_9.2p1", False),
        (Outcome.EMERGENCY, None, False),
    ],
)
def test_a_guest_is_up_at_a_login_prompt_with_ssh_where_asked(
    outcome: Outcome, banner: str | None, *, up: bool
) -> None:
    report = BootReport(
        outcome=outcome, detail="d", failed_units=("a.service",), milestones=(), seconds=1.0, firmware="BIOS",
        acceleration="tcg", ssh_banner=banner,
    )  # fmt: skip
    assert report.came_up is up
    assert report.to_json()["came_up"] is up
    assert "a.service" in report.summary

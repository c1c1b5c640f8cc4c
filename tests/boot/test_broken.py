"""The cases that the tool exists for, broken: each keeps the server from coming up, or refuses the login."""

from __future__ import annotations

import pytest

from fixtures.booting import Booted, boot_of, needs, visit_of

pytestmark = pytest.mark.boot


@needs(boot_of("fstab-wrong-uuid"))
def test_a_wrong_uuid_in_fstab_ends_in_emergency_mode(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"]) == (1, "emergency-mode")
    units = booted.report["failed_units"]
    assert any("boot-efi" in unit or "/boot/efi" in unit for unit in units)
    assert any("5F1D-DEAD" in unit for unit in units)


@pytest.mark.long
@needs(boot_of("sshd-host-keys", options=("--ssh",)))
def test_host_keys_that_all_can_read_leave_a_login_prompt_without_ssh(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"]) == (1, "login")
    assert booted.report["ssh_banner"] == ""
    assert "sshd does not answer" in booted.report["summary"]


@needs(boot_of("bin-missing", options=("--timeout", "200")))
def test_deleted_programs_keep_the_system_from_coming_up(booted: Booted) -> None:
    assert booted.status == 1
    assert booted.report["outcome"] in {"emergency-mode", "kernel-panic", "time-limit"}, booted.report[
        "summary"
    ]
    assert "service manager" in [m["stage"] for m in booted.report["milestones"]]


@pytest.mark.long
@needs(visit_of("fstab-wrong-root", "sshd-strict-modes", root="true", admin="touch /home/admin/x"))
def test_a_wrong_root_in_fstab_leaves_it_read_only_and_loose_modes_lock_root_out(booted: Booted) -> None:
    assert booted.boot is not None
    assert booted.boot.outcome == "login-read-only-root"
    assert not booted.boot.came_up
    assert booted.answers["root"].status == 255
    assert "Permission denied" in booted.answers["root"].errors
    assert "Read-only file system" in booted.answers["admin"].errors


@pytest.mark.long
@needs(boot_of("sshd-config", options=("--ssh",)))
def test_an_unknown_keyword_in_sshd_config_refuses_ssh(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"], booted.report["ssh_banner"]) == (1, "login", "")


@pytest.mark.long
@needs(boot_of("fstab-bad-option"))
def test_an_option_that_the_filesystem_refuses_ends_in_emergency_mode(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"]) == (1, "emergency-mode")
    assert any("boot-efi" in unit or "/boot/efi" in unit for unit in booted.report["failed_units"])


@pytest.mark.long
@needs(boot_of("sshd-privsep-user", options=("--ssh",)))
def test_without_its_user_sshd_refuses_ssh(booted: Booted) -> None:
    assert (booted.status, booted.report["outcome"], booted.report["ssh_banner"]) == (1, "login", "")

"""A boot chain and basic system files broken in many places on one real disk, repaired in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from fixtures.debian.server import ROOT_UUID
from tests.support.program import guestrepair

pytestmark = [pytest.mark.image, pytest.mark.long]

WRONG = "00000000-0b6e-4c39-9d5a-6a1f3be0c101"


def cloned(line: bytes) -> bytes:
    """A line of grub.cfg as it would be after the filesystem got another UUID: names of entries stay."""
    names_device = line.split()[:1] in ([b"linux"], [b"search"])
    return line.replace(ROOT_UUID.encode(), WRONG.encode()) if names_device else line


def test_boot_chain_and_system_files(tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    fixtures.copy_of("debian-server", disk)
    with fixtures.edit(disk) as guest:
        initrd = guest.glob_expand("/boot/initrd.img-*")[0]
        kernel = guest.glob_expand("/boot/vmlinuz-*")[0]
        guest.truncate_size(initrd, 9_000_000)
        config = guest.read_file("/boot/grub/grub.cfg")
        guest.write("/boot/grub/grub.cfg", b"".join(map(cloned, config.splitlines(keepends=True))))
        guest.ln_sf("/lib/systemd/system/gone.target", "/etc/systemd/system/default.target")
        guest.ln_sf("/dev/null", "/etc/systemd/system/systemd-udevd.service")
        guest.cp_a("/etc/passwd", "/etc/passwd-")
        passwd = guest.read_file("/etc/passwd")
        guest.write("/etc/passwd", b"".join(passwd.splitlines(keepends=True)[1:]))
        guest.chmod(0o777, "/etc")
        guest.write("/etc/sudoers.d/broken", b"admin ALL (ALL) ALL\n")
        guest.chmod(0o440, "/etc/sudoers.d/broken")
    scan = guestrepair("scan", "--only", "boot,system", disk)
    wanted = {
        "boot/root-device-wrong",
        "boot/initramfs-missing",
        "system/default-target-broken",
        "system/boot-unit-masked",
        "system/passwd-damaged",
        "system/critical-modes",
        "system/sudoers",
    }
    assert {key.partition("@")[0] for key in scan.problems} == wanted, scan.report
    assert f"boot/initramfs-missing@{initrd}" in scan.found
    done = guestrepair("repair", "--yes", "--all", "--only", "boot,system", "--no-guest-backup",
                       "--state-dir", tmp_path / "state", disk)  # fmt: skip
    assert {key.partition("@")[0] for key in done.problems} == {"boot/initramfs-missing"}, done.stderr
    with fixtures.edit(disk) as guest:
        assert guest.read_file("/boot/grub/grub.cfg") == config
        assert guest.read_file("/etc/passwd") == passwd
        assert guest.statns("/etc")["st_mode"] & 0o7777 == 0o755
        assert not guest.is_symlink("/etc/systemd/system/systemd-udevd.service")
        assert guest.readlink("/etc/systemd/system/default.target").endswith("/multi-user.target")
        assert guest.is_file(kernel)

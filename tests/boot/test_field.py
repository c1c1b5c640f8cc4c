"""Cases from public reports, where they are at hand: broken they do not come up, repaired they do."""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from tests.support.field import injected
from tests.support.program import run

pytestmark = [pytest.mark.boot, pytest.mark.long]

FIELD = Path(__file__).parents[3] / "shared" / "field"
PROGRAMS = ("--allow-guest-programs",)
CASES = {
    "01-fstab-root-data-writeback": (),
    "05-fstab-overlay-without-workdir": (),
    "11-sshd-custom-instance-broken": (),
    "12-preload-agent-lost-its-library": (),
    "15-dpkg-half-installed-openssh": (),
    "16-grub-entry-without-initrd": PROGRAMS,
    "17-grub-root-loop-mapper": (),
    "18-initramfs-without-virtio": PROGRAMS,
    "23-nftables-drop-without-ssh": (),
}
"""What the repair must be allowed; cases whose guest boots and is asked for ssh."""

if not FIELD.is_dir():
    pytest.skip(f"{FIELD}: no cases from public reports are here", allow_module_level=True)


@pytest.mark.parametrize("case", CASES)
def test_a_broken_guest_comes_up_once_repaired(case: str, tmp_path: Path) -> None:
    image = injected(fixtures.build("debian-server"), FIELD / case, tmp_path)
    broken = run("boot", "--ssh", image)
    assert broken.returncode == 1, broken.stdout
    repaired = run("repair", "--yes", "--all", *CASES[case], "--state-dir", tmp_path / "state", image)
    assert "verified" in repaired.stdout, repaired.stdout + repaired.stderr
    whole = run("boot", "--ssh", image)
    assert whole.returncode == 0, whole.stdout
    assert run("undo", "--yes", "--state-dir", tmp_path / "state", image).returncode == 0

"""The faults of an ext4 server on other kinds of disks: found there, repaired, and undone bit for bit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import fixtures
from tests.image.conftest import Damaged
from tests.support.program import guestrepair, run

pytestmark = pytest.mark.image
FAULTS = ("bin-missing", "sshd-host-keys", "fstab-malformed")
LEFT = {"fstab/source-not-found"}
"""What the mended line names is on no disk: for a person to decide."""


@pytest.mark.parametrize("name", ["debian-btrfs", pytest.param("debian-lvm-xfs", marks=pytest.mark.long)])
def test_faults_are_found_repaired_and_put_back(name: str, damaged: Damaged, tmp_path: Path) -> None:
    image, before, state = damaged(FAULTS, base=name), tmp_path / "before.qcow2", tmp_path / "state"
    shutil.copyfile(image, before)
    scan = guestrepair("scan", image)
    assert scan.status == 1
    rules = {key.partition("@")[0] for key in scan.found}
    assert rules >= {"packages/file-missing", "sshd/host-key-unsafe", "fstab/malformed-line"}
    done = guestrepair(
        "repair", "--yes", "--donor", fixtures.build(name), "--state-dir", state, "--no-guest-backup", image
    )
    assert {key.partition("@")[0] for key in done.problems} == LEFT, done.stderr
    after = guestrepair("scan", image)
    assert {key.partition("@")[0] for key in after.problems} == LEFT
    assert run("undo", "--yes", "--state-dir", state, image).returncode == 0
    assert subprocess.run(["qemu-img", "compare", "-q", image, before], check=False).returncode == 0

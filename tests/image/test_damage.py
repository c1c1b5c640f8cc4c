"""Damage that is met while files are read, on a real ext4: found, its checker called, mended, and undone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.image.test_whole_command import copied, identical
from tests.support.field import loop_device
from tests.support.program import guestrepair, run

pytestmark = pytest.mark.image


def test_a_cleared_inode_is_a_finding_about_the_filesystem(debian_image: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", debian_image, image], check=True)
    with loop_device(image) as device:
        subprocess.run(["debugfs", "-w", "-R", "clri /usr/bin/head", device], check=True, capture_output=True)
    before = copied(image, tmp_path / "before.raw")
    state = ("--state-dir", str(tmp_path / "state"))

    found = guestrepair("scan", image)
    assert not found.report["inconclusive"]
    assert found.problems == {"filesystems/corrupt@/dev/sda3", "packages/file-missing@/usr/bin/head"}
    corrupt = next(f for f in found.report["findings"] if f["rule"] == "filesystems/corrupt")
    assert "/usr/bin/head cannot be read" in corrupt["message"]
    alone = guestrepair("scan", "--only", "packages", image)
    assert alone.status == 3  # nobody has looked at the filesystem

    safe = guestrepair("repair", "--yes", "--donor", debian_image, *state, image)
    assert not safe.report["repair"]["committed"]  # nothing is written to what is damaged
    assert image.read_bytes() == before.read_bytes()

    done = guestrepair("repair", "--yes", "--all", "--donor", debian_image, *state, image)
    assert done.status == 0, done.stderr
    assert not done.problems
    assert guestrepair("scan", image).problems == set()
    assert run("undo", "--yes", *state, image).returncode == 0
    assert identical(image, before)

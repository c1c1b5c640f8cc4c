"""An image that was unmounted is written out, whoever else looks at the mounts meanwhile; root's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.mounts import mounted


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mkfs.xfs") is None, reason="mounts an XFS that it makes"
)
def test_another_namespace_is_waited_for(tmp_path: Path) -> None:
    image, point = tmp_path / "image", tmp_path / "point"
    with image.open("wb") as file:
        file.truncate(300 << 20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True, capture_output=True)
    with mounted(image, point):
        for number in range(1000):
            (point / f"f{number}").touch()
        other = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", "echo; sleep 1"], stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "\n"
    with other:
        assert other.wait() == 0
    counted = subprocess.run(
        ["xfs_db", "-r", "-c", "sb 0", "-c", "p icount ifree", image],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    inodes, free = (int(line.split("=")[1]) for line in counted.split("\n")[:2])
    assert inodes - free > 1000

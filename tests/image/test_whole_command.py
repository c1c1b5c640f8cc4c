"""Whole commands, no analyzer left out: one damage that several of them see is repaired once, and undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fixtures
from tests.image.damage import guestrepair

pytestmark = pytest.mark.image

CASES = [
    ("centos7-like", "/var/empty/sshd", "unsafe"),
    ("rocky9-like", "/usr/share/empty.sshd", "missing"),
    pytest.param("centos7-like", "/var/empty/sshd", "missing", marks=pytest.mark.long),
    pytest.param("centos7-like", "/var/empty/sshd", "file", marks=pytest.mark.long),
    pytest.param("rocky9-like", "/usr/share/empty.sshd", "unsafe", marks=pytest.mark.long),
    pytest.param("rocky9-like", "/usr/share/empty.sshd", "file", marks=pytest.mark.long),
]


def copied(image: Path, copy: Path) -> Path:
    """A copy to compare with, or to look at: mounting writes to it."""
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    return copy


def identical(one: Path, other: Path) -> bool:
    """What qemu-img says of two images as a guest sees them."""
    return (
        subprocess.run(["qemu-img", "compare", one, other], check=False, capture_output=True).returncode == 0
    )


@pytest.mark.parametrize(("name", "directory", "fault"), CASES)
def test_the_privilege_separation_directory(name: str, directory: str, fault: str, tmp_path: Path) -> None:
    image, before = tmp_path / "broken.qcow2", tmp_path / "before.qcow2"
    fixtures.copy_of(name, image)
    with fixtures.edit(image) as g:
        if fault == "unsafe":
            g.chmod(0o777, directory)
            g.chown(1000, 1000, directory)
        else:
            g.rmdir(directory)
        if fault == "file":
            g.touch(directory)
        g.rm("/usr/bin/ls")
    copied(image, before)
    rpms = fixtures.build(name).parent / "rpms"
    state = tmp_path / "state"
    done = guestrepair("repair", "--yes", "--packages", rpms, "--state-dir", state, image)
    rule = "unsafe" if fault == "unsafe" else "missing"
    assert done.found[f"sshd/privsep-dir-{rule}@{directory}"] == ("error", "repaired"), done.stderr
    assert done.found["packages/file-missing@/usr/bin/ls"] == ("error", "repaired"), done.stderr
    assert (done.status, done.problems) == (0, set()), done.stderr
    with fixtures.edit(copied(image, tmp_path / "after.qcow2")) as g:
        found = g.statns(directory)
        assert (found["st_mode"], found["st_uid"], found["st_gid"]) == (0o40711, 0, 0)
    undo: list[str | Path] = [
        Path(sys.executable).with_name("guestrepair"),
        "undo",
        "--yes",
        "--state-dir",
        state,
        image,
    ]
    undone = subprocess.run(undo, check=False, capture_output=True, text=True)
    assert undone.returncode == 0, undone.stderr
    assert identical(image, before)

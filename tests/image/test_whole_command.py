"""Whole commands, no analyzer left out: one damage that several of them see is repaired once, and undone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import fixtures
from tests.support.program import PROGRAM, guestrepair

pytestmark = pytest.mark.image

LVM = [("/dev/vg0/root", "/"), ("/dev/vg0/home", "/home")]
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


class Launches:
    """Counts the appliances started: libguestfs starts qemu through a program that notes each."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._noted = directory / "launches"
        program = directory / "qemu"
        note = f'case "$*" in *-kernel*) echo >> {self._noted};; esac'
        program.write_text(f'#!/bin/sh\n{note}\nexec qemu-system-x86_64 "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("LIBGUESTFS_HV", str(program))

    def since_last(self) -> int:
        """How many appliances were started since the last question."""
        count = len(self._noted.read_text()) if self._noted.exists() else 0
        self._noted.unlink(missing_ok=True)
        return count


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
        PROGRAM,
        "undo",
        "--yes",
        "--state-dir",
        state,
        image,
    ]
    undone = subprocess.run(undo, check=False, capture_output=True, text=True)
    assert undone.returncode == 0, undone.stderr
    assert identical(image, before)


def test_what_lies_behind_a_wrong_line_is_seen_and_repaired_in_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "broken.qcow2"
    fixtures.copy_of("debian-lvm", image)
    keys = "/home/admin/.ssh/authorized_keys"
    with fixtures.edit(image, mounts=LVM) as g:
        fstab = g.read_file("/etc/fstab")
        home = next(line for line in fstab.splitlines() if line.split()[1:2] == [b"/home"])
        owner = g.statns("/home/admin")
        g.mkdir_p("/home/admin/.ssh")
        g.write(
            keys, b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBu0Ql4y0lC2iJqzZ6V5h0mM2c2b6lZ4v0mWq2g0lP3S admin\n"
        )
        g.chown(owner["st_uid"], owner["st_gid"], "/home/admin/.ssh")
        g.chown(owner["st_uid"], owner["st_gid"], keys)
        g.chmod(0o666, keys)
        g.write("/etc/fstab", fstab.replace(home, home.replace(b"UUID=da7a", b"UUID=da7b")))
    launches = Launches(tmp_path, monkeypatch)
    inspection = guestrepair("inspect", image)
    assert (inspection.status, launches.since_last()) == (0, 1), inspection.stderr
    scan = guestrepair("scan", image)
    assert launches.since_last() == 1
    assert {key.partition(":")[0] for key in scan.problems} == {
        "fstab/source-not-found@/etc/fstab",
        f"sshd/strict-modes@{keys}",
    }
    assert (scan.status, scan.report["inconclusive"]) == (1, [])
    done = guestrepair("repair", "--yes", "--state-dir", tmp_path / "state", image)
    assert launches.since_last() == 1
    assert (done.status, done.problems, done.report["inconclusive"]) == (0, set(), []), done.stderr
    with fixtures.edit(image, mounts=LVM) as g:
        assert g.read_file("/etc/fstab") == fstab
        assert g.statns(keys)["st_mode"] & 0o022 == 0

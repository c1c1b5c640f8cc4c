"""Whole commands, no analyzer left out: one damage that several of them see is repaired once, and undone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

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
    """Counts the appliances that are started while the block runs, by looking at the processes there are."""

    def __enter__(self) -> Self:
        self._seen: set[tuple[str, str]] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    words = (process / "cmdline").read_bytes().split(b"\0")
                    is_one = b"qemu-system" in words[0] and b"-kernel" in words
                    if is_one and b"guestfs" in b" ".join(words) and self._is_ours(process):
                        self._seen.add((process.name, (process / "stat").read_text().split()[21]))

    def _is_ours(self, process: Path) -> bool:
        """True for a grandchild of this test: other tests have appliances, too."""
        parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
        above = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[1]
        return str(os.getpid()) in {parent, above}

    def since_last(self) -> int:
        """How many appliances were started since the last question."""
        count = len(self._seen)
        self._seen.clear()
        return count


@pytest.mark.parametrize(("name", "directory", "fault"), CASES)
def test_the_privilege_separation_directory(name: str, directory: str, fault: str, tmp_path: Path) -> None:
    image, before = tmp_path / "broken.qcow2", tmp_path / "before.qcow2"
    fixtures.copy_of(name, image)
    with fixtures.edit(image) as g:
        if fault == "unsafe":
            g.chmod(0o777, directory)
            g.chown(1000, 1000, directory)
            g.rm("/etc/ssh/sshd_config")
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
    if fault == "unsafe":
        assert done.found["sshd/config-missing@/etc/ssh/sshd_config"] == ("error", "repaired"), done.stderr
    assert done.found["packages/file-missing@/usr/bin/ls"] == ("error", "repaired"), done.stderr
    assert (done.status, done.problems) == (0, set()), done.stderr
    with fixtures.edit(copied(image, tmp_path / "after.qcow2")) as g:
        found = g.statns(directory)
        assert (found["st_mode"], found["st_uid"], found["st_gid"]) == (0o40711, 0, 0)
        assert g.is_file("/etc/ssh/sshd_config")
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


@pytest.fixture
def launches() -> Iterator[Launches]:
    with Launches() as watched:
        yield watched


def test_what_lies_behind_a_wrong_line_is_seen_and_repaired_in_the_same_run(
    tmp_path: Path, launches: Launches
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
    launches.since_last()
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

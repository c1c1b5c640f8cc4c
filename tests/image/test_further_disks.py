"""A guest of several disks: what is repaired lies on the first, and is really there afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from tests.support.program import guestrepair

pytestmark = pytest.mark.image
LINE = b"LABEL=data /srv/data ext4 defaults 0 2\n"


def test_the_mount_point_of_a_further_disk_is_made_on_the_root(tmp_path: Path) -> None:
    image, data = tmp_path / "root.qcow2", tmp_path / "data.qcow2"
    fixtures.copy_of("debian-server", image)
    fixtures.copy_of("blank-data", data)
    with fixtures.edit(image) as g:
        g.write("/etc/fstab", g.read_file("/etc/fstab") + LINE)
    before = data.read_bytes()
    state = tmp_path / "state"
    given = ("--disk", data, "--only", "fstab", "--fail-on", "warning")
    done = guestrepair("repair", image, *given, "--yes", "--state-dir", state)
    assert done.status == 0, (done.stderr, done.report)
    assert done.found["fstab/target-missing@/etc/fstab:14"] == ("warning", "repaired")
    with fixtures.edit(image) as g:
        assert g.is_dir("/srv/data")
        assert (g.lstatns("/srv/data")["st_mode"] & 0o7777, g.ls("/srv/data")) == (0o755, [])
    assert data.read_bytes() == before
    again = guestrepair("scan", image, *given)
    assert (again.status, again.problems) == (0, set())
    assert [m["target"] for m in again.report["guest"]["mounts"]].count("/srv/data") == 1

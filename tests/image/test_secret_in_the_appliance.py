"""The guest's first sector names a host disk: in the running appliance none of that disk is to be seen.

What leaks would be recognized: the host file is a filesystem with a label and an /etc of its own, which
libguestfs's own read-only mode does show (see SECURITY.md).
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fixtures.hostile.images import qcow2, qemu_img, raw_with_header
from tests.support.program import guestrepair

pytestmark = pytest.mark.image
LABEL, HOSTNAME = "HOST-SECRET", "host-secret-name"


def host_disk(folder: Path) -> Path:
    """A filesystem of the host with a system in it."""
    etc = folder / "tree/etc"
    etc.mkdir(parents=True)
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (etc / "os-release").write_text("ID=debian\nVERSION_ID=12\n")
    (etc / "hostname").write_text(f"{HOSTNAME}\n")
    disk = folder / "host.raw"
    command: list[str | Path] = ["mke2fs", "-q", "-t", "ext4", "-L", LABEL, "-d", etc.parent, disk, "8M"]
    subprocess.run(command, check=True)
    return disk


def test_neither_plain_nor_nested(tmp_path: Path) -> None:
    home = tmp_path / "images"
    home.mkdir()
    host = host_disk(tmp_path)
    plain = raw_with_header(home, "disk.raw", host)
    raw_with_header(home, "base.bin", host)
    nested = qcow2(home / "top.qcow2", backing="base.bin", backing_format="raw")
    inner = home / "inner.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", home / "base.bin", inner)
    cases: list[list[str | Path]] = [
        ["scan", plain, "--input-format", "raw"],
        ["inspect", nested, "--disk", inner],
    ]
    for arguments in cases:
        done = guestrepair(*arguments)
        shown = f"{done.report}{done.stderr}"
        assert done.status == 3, done.stderr
        assert "no partition table and no filesystem" in shown
        assert LABEL not in shown
        assert HOSTNAME not in shown

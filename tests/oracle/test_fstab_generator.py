"""Which lines boot waits for: our reading of their options against systemd's own generator on this host."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import pytest

from guestrepair.formats.fstab import parse
from guestrepair.model import GuestPath
from guestrepair.system.mounts.spec import from_entry

GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-fstab-generator")

OPTIONS = (
    *("defaults", "nofail", "fail", "noauto", "nofail,fail", "fail,nofail", "auto,noauto", "noauto,auto"),
    *("x-systemd.automount", "noauto,x-systemd.automount", "x-systemd.automount,nofail", "user", "NOFAIL"),
    *("comment=systemd.automount", "comment=nofail", "_netdev", "_rnetdev", "_netdev,nofail", "bg", "ro,bg"),
    *("x-systemd.required-by=a.service", "x-systemd.wanted-by=a.target", "x-systemd.device-timeout=0"),
    *("x-systemd.required-by=local-fs.target", "x-systemd.growfs", "x-initrd.mount", '"nofail"', "nofail,"),
    *("x-systemd.mount-timeout=3", "x-systemd.idle-timeout=3", "rw,noatime,nofail,x-gvfs-show"),
)
"""Option fields that decide, in one way or another, or look as if they did."""


def required_by(line: str, folder: Path) -> set[str]:
    """The targets of boot that systemd's generator makes require the mount: local, remote."""
    table = folder / "fstab"
    table.write_text(line)
    outputs = [folder / name for name in ("normal", "early", "late")]
    for output in outputs:
        output.mkdir()
    environment = {"SYSTEMD_FSTAB": str(table), "SYSTEMD_LOG_TARGET": "console"}
    subprocess.run([GENERATOR, *outputs], env=environment, check=True, capture_output=True)
    links = {t: outputs[0] / f"{t}-fs.target.requires/data.mount" for t in ("local", "remote")}
    return {target for target, link in links.items() if link.is_symlink()}


@pytest.mark.skipif(not GENERATOR.exists(), reason="this host has no systemd-fstab-generator")
@pytest.mark.parametrize(("fs_type", "options"), list(product(("ext4", "nfs"), OPTIONS)), ids=str)
def test_lines_that_boot_waits_for(fs_type: str, options: str, tmp_path: Path) -> None:
    source = "server:/export" if fs_type == "nfs" else "/dev/sdz1"
    line = f"{source} /data {fs_type} {options} 0 0\n"
    (entry,) = parse(line.encode()).entries
    assert entry.required is bool(required_by(line, tmp_path))


TYPES = (
    "ext4",
    "gfs2",
    "ocfs2",
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "9p",
    "overlay",
)
DECIDING = ("defaults", "_netdev", "nofail", "noauto", "_netdev,nofail", "_netdev,x-systemd.automount")


@pytest.mark.skipif(not GENERATOR.exists(), reason="this host has no systemd-fstab-generator")
@pytest.mark.parametrize(("fs_type", "options"), list(product(TYPES, DECIDING)), ids=str)
def test_lines_that_stop_the_boot(fs_type: str, options: str, tmp_path: Path) -> None:
    line = f"what /data {fs_type} {options} 0 0\n"
    (entry,) = parse(line.encode()).entries
    spec = from_entry(GuestPath("/etc/fstab"), line.encode(), entry)
    assert spec.stops_boot is ("local" in required_by(line, tmp_path))

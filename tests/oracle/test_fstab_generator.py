"""Which lines boot waits for: our reading of their options against systemd's own generator on this host."""

from __future__ import annotations

import subprocess
from itertools import product
from pathlib import Path

import pytest

from guestrepair.formats.fstab import parse

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


def waits(line: str, folder: Path) -> bool:
    """True when systemd's generator makes a target of boot require the mount."""
    table = folder / "fstab"
    table.write_text(line)
    outputs = [folder / name for name in ("normal", "early", "late")]
    for output in outputs:
        output.mkdir()
    environment = {"SYSTEMD_FSTAB": str(table), "SYSTEMD_LOG_TARGET": "console"}
    subprocess.run([GENERATOR, *outputs], env=environment, check=True, capture_output=True)
    return any((outputs[0] / f"{t}-fs.target.requires/data.mount").is_symlink() for t in ("local", "remote"))


@pytest.mark.skipif(not GENERATOR.exists(), reason="this host has no systemd-fstab-generator")
@pytest.mark.parametrize(("fs_type", "options"), list(product(("ext4", "nfs"), OPTIONS)), ids=str)
def test_lines_that_boot_waits_for(fs_type: str, options: str, tmp_path: Path) -> None:
    source = "server:/export" if fs_type == "nfs" else "/dev/sdz1"
    line = f"{source} /data {fs_type} {options} 0 0\n"
    (entry,) = parse(line.encode()).entries
    assert entry.required is waits(line, tmp_path)

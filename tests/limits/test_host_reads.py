"""Files in thousands of pieces, and paths as deep as they can be, cost as much as is said."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.model import GuestPath as P
from guestrepair.session.host.backend import HostBackend
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.live import LiveGuest
from tests.unit.session.test_host_reading import DEPTH, guest, guest_of, host, overlay

__all__ = ["guest", "host", "overlay"]  # fixtures


def test_a_deep_path_takes_a_step_for_each_part(guest: LiveGuest) -> None:
    started = time.process_time()
    path = P("/" + "d/" * DEPTH)
    found = guest.lstat_many([path, path / "none", path.parent / "none"])
    assert [stat is not None for stat in found.values()] == [True, False, False]
    assert guest.resolve(path) == path
    assert guest.is_directory(path)
    assert guest.listdir(path) == ()
    assert guest.resolve_parent(path / "none") == path / "none"
    assert guest.resolve(P("/etc" + "/../etc" * 500 + "/passwd")) == P("/etc/passwd")
    assert time.process_time() - started < 10


def test_a_file_in_scattered_pieces_is_read_whole_and_its_reads_count(tmp_path: Path) -> None:
    """Each piece costs a read of the disk, however small it is; a hole costs none."""
    top = tmp_path / "tree"
    top.mkdir()
    (tmp_path / "private").mkdir()
    with (top / "file").open("wb") as out:
        for number in range(1000):
            out.seek(number * 81_920)
            out.write(os.urandom(4096))
    image = tmp_path / "image.raw"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-d", top, image, "64M"], check=True)
    over = create_overlay(tmp_path / "private", examine(image))
    disks = HostDisks({"/dev/sda": over}, flush=lambda: None)
    disk = BlockDevice("/dev/sda", DeviceKind.DISK, 64 << 20, content="ext4", disk="/dev/sda")
    guest = guest_of(HostBackend(disks, {"/": disk}))
    assert guest.read(P("/file"), limit_bytes=1 << 30) == (top / "file").read_bytes()
    assert (
        guest.read_range(P("/file"), 81_920 * 500 + 100, 5000)
        == (top / "file").read_bytes()[81_920 * 500 + 100 :][:5000]
    )
    disks.close()

"""Guests that the host alone reads, without an appliance: paths, circles, links, and what is hashed."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from guestrepair.appliance.handle import Machine
from guestrepair.disk.device import open_shared
from guestrepair.disk.examine import examine
from guestrepair.disk.overlay import create_overlay
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind
from guestrepair.model import GuestPath as P
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.backends import Directory, HostFirst
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.hashing import Hasher
from guestrepair.session.host.backend import HostBackend
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.live import LiveGuest

DEPTH = 1000
NO_APPLIANCE = cast("Machine", object())
"""Whatever is asked of it is an AttributeError: the host has to answer alone."""


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filesystem of deep directories, chains of links, and one file of many names."""
    folder = tmp_path_factory.mktemp("host")
    top = folder / "tree"
    (top / "etc").mkdir(parents=True)
    (top / "etc" / "passwd").write_text("root")
    for number in range(60):
        (top / f"to{number}").symlink_to("." if number else "etc")
        (top / f"chain{number}").symlink_to(f"chain{number + 1}" if number < 59 else "etc")
    (top / "round").symlink_to("round")
    (top / "first").symlink_to("second/x")
    (top / "second").symlink_to("first")
    (top / "names").mkdir()
    (top / "names" / "0").write_bytes(b"the same file" * 80_000)
    for number in range(1, 100):
        (top / "names" / str(number)).hardlink_to(top / "names" / "0")
    image = folder / "image.raw"
    options = ["-O", "^metadata_csum,^64bit", "-N", "8000", "-d", str(top)]
    subprocess.run(["mke2fs", "-q", "-t", "ext4", *options, image, "64M"], check=True)
    deep = "\n".join("mkdir d\ncd d" for _ in range(DEPTH))
    done = f"cd /\n{deep}\ncd /\nmkdir dir\nmkdir dir/inner\nlink dir dir/inner/loop\n"
    subprocess.run(
        ["debugfs", "-w", "-f", "-", image], input=done, text=True, check=True, capture_output=True
    )
    (folder / "private").mkdir()
    return create_overlay(folder / "private", examine(image))


@pytest.fixture
def host(overlay: Path) -> Iterator[HostBackend]:
    disks = HostDisks({"/dev/sda": overlay}, flush=lambda: None)
    with open_shared(overlay) as device:
        size = device.size_bytes
    disk = BlockDevice("/dev/sda", DeviceKind.DISK, size, content="ext4", disk="/dev/sda")
    yield HostBackend(disks, {"/": disk})
    disks.close()


@pytest.fixture
def guest(host: HostBackend) -> LiveGuest:
    return guest_of(host)


def guest_of(host: HostBackend) -> LiveGuest:
    backend = HostFirst(host, ApplianceBackend(NO_APPLIANCE, "/sysroot"))
    return LiveGuest(backend, DevicesWritten(NO_APPLIANCE), block=BlockDevices())


@pytest.mark.parametrize(
    "path",
    [
        "/etc/" + "x" * 256, "/" + "x" * 256 + "/passwd", "/etc/" + "é" * 128, "/etc/pass\0wd",
        "/" + "etc/../" * 600 + "etc/passwd", "/etc/\ud800", "/" + "d/" * 3000, "/etc/passwd/x",
    ],
)  # fmt: skip
def test_what_no_kernel_looks_up_is_not_there(guest: LiveGuest, path: str) -> None:
    where = P(path)
    assert guest.lstat_many([where]) == {where: None}
    assert guest.resolve(where) is None
    assert not guest.exists(where)
    assert guest.readlinks([where]) == {where: ""}
    assert guest.deletion_times([where]) == {}


def test_forty_links_lead_on_and_forty_one_do_not(guest: LiveGuest) -> None:
    ways = {
        "/chain20": True,  # 40 links
        "/chain19": False,
        "/" + "/".join(["to1"] * 40) + "/etc/passwd": True,
        "/" + "/".join(["to1"] * 41) + "/etc/passwd": False,
        "/" + "/".join(["to1"] * 39) + "/to0/passwd": True,
        "/" + "/".join(["to1"] * 40) + "/to0/passwd": False,
        "/" + "/".join(["to1"] * 20) + "/chain40": True,
        "/" + "/".join(["to1"] * 21) + "/chain40": False,
        "/round": False,
        "/first": False,
        "/first/passwd": False,
    }
    assert {path: guest.exists(P(path)) for path in ways} == ways
    assert {path: guest.stat(P(path)) is not None for path in ways} == ways


def test_a_directory_that_leads_back_is_left_to_the_kernel(guest: LiveGuest, host: HostBackend) -> None:
    inner = guest.lstat(P("/dir/inner"))
    assert inner is not None
    directory = Directory("/dir/inner", inner)
    assert host.names(directory) == ("loop",)
    assert host.stats(directory, ["loop", "none"]) == {"none": None}


def budgeted(host: HostBackend, left_bytes: int) -> Hasher:
    """One that may read so much in all."""
    return Hasher(ApplianceBackend(NO_APPLIANCE, "/sysroot"), host, left_bytes)


def test_a_file_of_many_names_is_hashed_once(guest: LiveGuest, host: HostBackend) -> None:
    one = budgeted(host, 8 << 20)  # of a hundred names of one MB
    names = guest.lstat_many(P("/names") / str(number) for number in range(100))
    files = {path: stat for path, stat in names.items() if stat is not None}
    digest = hashlib.md5(b"the same file" * 80_000, usedforsecurity=False).hexdigest()
    assert one.digests("md5", files) == dict.fromkeys(files, digest)
    assert len(files) == 100


def test_all_calls_together_have_one_budget(guest: LiveGuest, host: HostBackend) -> None:
    path = P("/names/0")
    stat = guest.lstat(path)
    assert stat is not None
    one = budgeted(host, 5 * stat.size_bytes)
    answers = [bool(one.digests("md5", {path: stat})) for _ in range(10)]
    assert answers[:2] == [True, True]
    assert answers[6:] == [False] * 4

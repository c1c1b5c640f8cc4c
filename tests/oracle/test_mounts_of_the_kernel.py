"""What is said of options, against what the kernel of this host does with them; root's, with loop devices."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from guestrepair.analyzers.fstab.ext_options import refused_by_filesystem, refused_by_remount
from guestrepair.formats import fstab
from guestrepair.formats.superblock import identify
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.boot_loader import BootLoader
from tests.support.mounts import unmount
from tests.unit.analyzers.fstab_guest import HEALTHY, findings, guest

RELEASE = tuple(map(int, re.findall(r"\d+", platform.release())[:2]))
OPTIONS = (
    *("defaults", "data=ordered", "data=writeback", "data=journal", "commit=10", "commit=5", "nodelalloc"),
    *("journal_checksum", "journal_async_commit", "nombcache", "init_itable", "stripe=4", "noatime"),
    *("data=writeback,journal_async_commit", "data=journal,delalloc", "journal_path=/dev/loop9", "barrier=0"),
)
SUPERBLOCKS = {
    "plain": [],
    "writeback": ["-o", "journal_data_writeback"],
    "mount_opts": ["-E", "mount_opts=data=journal"],
    "no journal": ["-O", "^has_journal"],
}


def mount(*arguments: str | Path) -> bool:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0


@pytest.fixture
def point(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "point"
    folder.mkdir()
    yield folder
    while folder.is_mount():
        unmount(folder)


def made(name: str, folder: Path, point: Path) -> Path:
    """An ext4 image that this host can mount."""
    image = folder / "ext4.img"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    try:
        subprocess.run(["mke2fs", "-q", "-t", "ext4", image], check=True, capture_output=True)
        if SUPERBLOCKS[name]:
            subprocess.run(["tune2fs", *SUPERBLOCKS[name], image], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no e2fsprogs here")
    if os.geteuid() != 0 or not mount("-o", "loop", image, point):
        pytest.skip("nothing can be mounted here")
    return image


def device(image: Path) -> BlockDevice:
    data = image.read_bytes()
    found = identify(lambda offset, size: data[offset : offset + size], len(data))
    base = BlockDevice("/dev/sda1", DeviceKind.PARTITION, len(data))
    return replace(base, content=found.content, ext=found.ext)


def line(target: str, options: str) -> fstab.Entry:
    return fstab.parse(f"/dev/x {target} ext4 {options} 0 1\n".encode()).entries[0]


@pytest.mark.parametrize("name", SUPERBLOCKS)
def test_options_of_ext4(name: str, tmp_path: Path, point: Path) -> None:
    image = made(name, tmp_path, point)
    unmount(point)
    block = device(image)
    kernels = [(RELEASE[0], RELEASE[1])]
    loader = BootLoader(MemoryGuest())
    agreed = 0
    for options in OPTIONS:
        if not options.startswith("journal_path"):
            taken = mount("-o", f"loop,{options}", image, point)
            said = list(refused_by_filesystem(block, line("/data", options), kernels))
            assert taken is not bool(said), (options, "first mount")
            if taken:
                unmount(point)
            agreed += 1
        loop = subprocess.run(
            ["losetup", "--find", "--show", image], check=True, capture_output=True, text=True
        )
        try:
            assert mount("-o", "ro", loop.stdout.strip(), point)
            taken = mount("-o", f"remount,rw,{options}", point)
            unmount(point)
        finally:
            subprocess.run(["losetup", "--detach", loop.stdout.strip()], check=True)
        refused = refused_by_remount(loader, block, line("/", options), kernels)
        assert taken is (refused is None), (options, "remount")
        agreed += 1
    print(f"mounts: {agreed} agree with this kernel")


OVERLAYS = (
    "lowerdir={0}/lower,upperdir={0}/up,workdir={0}/work",
    "lowerdir={0}/lower,upperdir={0}/up",
    "lowerdir={0}/lower,upperdir={0}/up,workdir={0}/gone",
    "lowerdir={0}/lower,upperdir={0}/gone,workdir={0}/work",
    "lowerdir={0}/gone,upperdir={0}/up,workdir={0}/work",
    "lowerdir={0}/lower:{0}/lower2",
    "lowerdir={0}/lower:{0}/gone",
    "lowerdir={0}/lower",
    "lowerdir={0}/lower:{0}/lower2,workdir={0}/gone",
    "lowerdir={0}/lower::{0}/lower2",
    r"lowerdir={0}/with\:colon:{0}/lower",
    r"lowerdir={0}/with:colon:{0}/lower",
    "lowerdir={0}/file,upperdir={0}/up,workdir={0}/work",
    "lowerdir={0}/lower,upperdir={0}/up,workdir={0}/up",
    "lowerdir={0}/lower,upperdir={0}/up,workdir={0}/up/inside",
    "lowerdir={0}/lower,upperdir={0}/link,workdir={0}/work",
    "lowerdir={0},upperdir={0}/up,workdir={0}/work",
    "upperdir={0}/up,workdir={0}/work",
    "lowerdir={0}/lower,uperdir={0}/up,workdir={0}/work",
    "lowerdir={0}/lower,upperdir={0}/other/up,workdir={0}/work",
)


def test_layers_of_overlays(tmp_path: Path, point: Path) -> None:
    made("plain", tmp_path, point)
    (point / "other").mkdir()
    if not mount("-t", "tmpfs", "tmpfs", point / "other"):
        pytest.skip("nothing can be mounted here")
    names = ("lower", "lower2", "up", "up/inside", "work", "with:colon", "target", "other/up")
    wrong = []
    try:
        for name in names:
            (point / name).mkdir()
        (point / "file").touch()
        (point / "link").symlink_to("up")
        if not mount("-t", "overlay", "overlay", "-o", OVERLAYS[0].format(point), point / "target"):
            pytest.skip("no overlays here")
        subprocess.run(["umount", point / "target"], check=True)
        for options in OVERLAYS:
            taken = mount("-t", "overlay", "overlay", "-o", options.format(point), point / "target")
            if taken:
                subprocess.run(["umount", point / "target"], check=True)
            if taken is not (said(options, names) == []):
                wrong.append((options, taken))
    finally:
        subprocess.run(["umount", point / "other"], check=True)
    assert wrong == []
    print(f"overlays: {len(OVERLAYS)} agree with this kernel")


def said(options: str, names: tuple[str, ...]) -> list[str]:
    """What is found on that line in a guest with the same directories."""
    overlay = f"overlay /t/target overlay {options.format('/t')} 0 0\n"
    found = guest(f"{HEALTHY}UUID=0-1 /t/other xfs defaults 0 0\n{overlay}")
    modules = f"/usr/lib/modules/{platform.release()}"
    found.file(f"{modules}/modules.dep", "kernel/fs/ext4/ext4.ko:\nkernel/fs/fat/vfat.ko:\n")
    found.file(f"{modules}/modules.builtin", "")
    for name in names:
        found.directory(f"/t/{name}")
    found.file("/t/file", "")
    found.link("/t/link", "up")
    return [f.message for f in findings(found) if f.rule == "fstab/bad-option"]

"""Loop devices are known by the file behind them, under whatever name that was attached."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.hostile.headers import vmdk_descriptor
from guestrepair.disk import check_writable, examine
from guestrepair.disk.inuse import loop_users
from guestrepair.errors import ImageInUseError


@contextmanager
def attached(file: Path) -> Iterator[str]:
    """The file on a loop device, while the block runs."""
    done = subprocess.run(["losetup", "--find", "--show", file], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no loop device can be attached here")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def _hard_link(disk: Path, other: Path) -> None:
    os.link(disk, other)


def _symbolic_link(disk: Path, other: Path) -> None:
    other.symlink_to(disk)


@pytest.mark.parametrize("another_name", [_hard_link, _symbolic_link])
def test_a_file_attached_by_another_name_is_in_use(
    another_name: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    disk, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    disk.write_bytes(bytes(1 << 20))
    another_name(disk, other)
    with attached(other) as device:
        assert loop_users(disk) == [f"attached to {device}"]
        with pytest.raises(ImageInUseError, match=device):
            check_writable(examine(disk))
        assert any(device in warning for warning in examine(disk).warnings)
    assert loop_users(disk) == []


def test_a_file_whose_attached_name_is_gone_is_in_use(tmp_path: Path) -> None:
    disk, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    disk.write_bytes(bytes(1 << 20))
    os.link(disk, other)
    with attached(other) as device:
        other.unlink()
        assert loop_users(disk) == [f"attached to {device}"]
        other.write_bytes(bytes(1 << 20))
        assert loop_users(disk) == [f"attached to {device}"]


def test_another_file_is_not_in_use(tmp_path: Path) -> None:
    disk, other = tmp_path / "disk.raw", tmp_path / "other.raw"
    disk.write_bytes(bytes(1 << 20))
    other.write_bytes(bytes(1 << 20))
    with attached(other):
        assert loop_users(disk) == []


def test_an_extent_that_is_attached_is_in_use(tmp_path: Path) -> None:
    """Not the descriptor is what a loop device would show, but the file that it names."""
    flat, disk = tmp_path / "disk-flat.vmdk", tmp_path / "disk.vmdk"
    flat.write_bytes(bytes(1 << 20))
    disk.write_bytes(vmdk_descriptor('RW 2048 FLAT "disk-flat.vmdk" 0'))
    with attached(flat) as device, pytest.raises(ImageInUseError, match=device):
        check_writable(examine(disk))

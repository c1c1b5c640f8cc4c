"""Images that this host's own kernel mounts; unmounted means that it has let go of them."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SECONDS = 60
_NOT_HERE = ("loop device", "unknown filesystem")


def mount(image: Path, point: Path, *options: str, kind: str = "auto") -> bool:
    """Whether the kernel mounts it, by a loop device; skips where it mounts nothing of the kind."""
    point.mkdir(exist_ok=True)
    chosen = ",".join(("loop", *(option for option in options if option)))
    command: list[str | Path] = ["mount", "-t", kind, "-o", chosen, image, point]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode and (os.geteuid() != 0 or any(words in done.stderr for words in _NOT_HERE)):
        pytest.skip(f"this host mounts no such image: {done.stderr.strip()}")
    return not done.returncode


def mounts(image: Path, options: str, *, kind: str) -> bool:
    """Whether the kernel mounts it; unmounted again, and skips as ``mount``."""
    point = image.parent / "mounted"
    taken = mount(image, point, options, kind=kind)
    if taken:
        unmount(point)
    return taken


def unmount(point: Path) -> None:
    """Unmount, and wait until nothing of it is in the kernel alone.

    A mount namespace that another test began meanwhile has a mount of its own of the same filesystem: until
    it ends, the filesystem is not written out and the image is that of a machine that is still on.
    """
    device = _device(point)
    subprocess.run(["umount", point], check=True)
    end = time.monotonic() + _SECONDS
    while device and _busy(*device):
        assert time.monotonic() < end, f"{device[0]} is in use {_SECONDS} s after it was unmounted"
        time.sleep(0.02)


@contextmanager
def mounted(image: Path, point: Path, *options: str, kind: str = "auto") -> Iterator[Path]:
    """Where it is mounted; skips where the kernel does not mount it."""
    if not mount(image, point, *options, kind=kind):
        pytest.skip("this host mounts no such image")
    try:
        yield point
    finally:
        unmount(point)


def _device(point: Path) -> tuple[Path, str] | None:
    """The loop device that is mounted there last, and the file behind it where it goes with the mount."""
    sources = [
        line.split(" - ")[1].split()[1]
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        if line.split()[4] == os.path.realpath(point)
    ]
    if not sources or not sources[-1].startswith("/dev/loop"):
        return None
    device = Path(sources[-1])
    return device, _file_behind(device) if _said(device, "autoclear") == "1" else ""


def _busy(device: Path, file: str) -> bool:
    if file:
        return _file_behind(device) == file
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _file_behind(device: Path) -> str:
    return _said(device, "backing_file")


def _said(device: Path, what: str) -> str:
    try:
        return Path("/sys/block", device.name, "loop", what).read_text(encoding="utf-8").strip()
    except OSError:
        return ""

"""Injectors of faults, programs that take a mounted root, carried out on a copy of an image."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.mounts import unmount

SECONDS = 300


def injected(image: Path, case: Path, folder: Path, *, device: bool = False) -> Path:
    """A raw copy of an image in ``folder`` after the injector of ``case`` (a folder) has worked on its root.

    With ``device`` the injector is given the root's block device, not mounted, as a second argument.
    """
    raw = folder / f"{case.name}.raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", image, raw], check=True)
    root = folder / "root"
    root.mkdir()
    injector = next(case.glob("inject.*"))
    shell = [sys.executable] if injector.suffix == ".py" else ["bash"]
    with loop_device(raw) as loop, contextlib.ExitStack() as stack:
        arguments = [str(root), loop] if device else [str(root)]
        if not device:
            stack.enter_context(_mounted(loop, root))
        subprocess.run([*shell, injector, *arguments], check=True, capture_output=True, timeout=SECONDS)
    return raw


@contextlib.contextmanager
def loop_device(raw: Path) -> Iterator[str]:
    """A loop device of the largest partition of a disk, or of the whole where it has no table."""
    start, size = _largest(raw)
    made = subprocess.run(
        ["losetup", "--find", "--show", "--offset", str(start), "--sizelimit", str(size), raw],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    try:
        yield made.stdout.strip()
    finally:
        subprocess.run(["losetup", "--detach", made.stdout.strip()], check=True)


@contextlib.contextmanager
def _mounted(device: str, directory: Path) -> Iterator[None]:
    subprocess.run(["mount", device, directory], check=True)
    try:
        yield
    finally:
        unmount(directory)


def _largest(raw: Path) -> tuple[int, int]:
    """Offset and size in bytes of the largest partition."""
    listed = subprocess.run(["sfdisk", "--json", raw], check=False, capture_output=True, text=True)
    if listed.returncode != 0:
        return 0, raw.stat().st_size
    table = json.loads(listed.stdout)["partitiontable"]
    unit = table.get("sectorsize", 512)
    start, size = max(((p["start"], p["size"]) for p in table["partitions"]), key=lambda part: part[1])
    return start * unit, size * unit

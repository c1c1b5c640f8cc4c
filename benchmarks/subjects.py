"""What is measured: the floor, the peers, what a person does by hand, and guestrepair itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from guestrepair.appliance.acceleration import Acceleration, acceleration

SLEUTH_KIT, TIMELINE = "fls -r -m, mactime", "timeline"
GUESTREPAIR = str(Path(sys.executable).with_name("guestrepair"))
_FLOOR = """
import guestfs, sys
handle = guestfs.GuestFS(python_return_dict=True)
handle.set_smp(2)  # as guestrepair does: it makes the floor lower
handle.add_drive_opts(sys.argv[1], format="qcow2", readonly=True)
handle.launch()
handle.mount_ro(sys.argv[2], "/")
handle.close()
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing to measure: its command; ``prepare`` is run before each run, outside of the measured time."""

    name: str
    command: tuple[str, ...]
    prepare: Callable[[], None] | None = None
    expected: tuple[int, ...] = (0,)
    rounds: int | None = None


def environment() -> dict[str, str]:
    """The same backend and acceleration for everybody."""
    env = {**os.environ, "LIBGUESTFS_BACKEND": "direct", "LC_ALL": "C"}
    if acceleration().acceleration is Acceleration.TCG:
        env["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
    return env


def peers(image: Path, root: str) -> list[Subject]:
    """What people use today, on one image whose root filesystem is on ``root``."""
    fish = ("guestfish", "--ro", "--format=qcow2", "-a", str(image), "-i")
    sums = ("checksums-out", "md5", "/usr", "/dev/null")
    return [
        Subject("floor: launch, mount, close", (sys.executable, "-c", _FLOOR, str(image), root)),
        Subject("guestfish -i", (*fish, "exit")),
        Subject("virt-inspector", ("virt-inspector", "--format=qcow2", "-a", str(image))),
        Subject("guestfish -i, checksums-out md5 /usr", (*fish, *sums), rounds=1),
    ]


def by_hand(raw: Path, offset_bytes: int, mount_point: Path) -> Subject:
    """A loop mount and ``dpkg --verify``, as root on the host: the kernel reads the guest's filesystem."""
    script = (
        f"mount -o ro,noload,loop,offset={offset_bytes} {raw} {mount_point} && "
        f"{{ dpkg --verify --root={mount_point} >/dev/null; umount {mount_point}; }}"
    )
    return Subject("by hand: loop mount, dpkg --verify", ("sh", "-c", script))


def ours(image: Path) -> list[Subject]:
    """guestrepair on the healthy image."""
    scan = (GUESTREPAIR, "scan", "--timings", str(image))
    return [
        Subject("inspect", (GUESTREPAIR, "inspect", str(image))),
        Subject("scan", scan),
        Subject("scan --stock-appliance", (*scan, "--stock-appliance")),
        Subject("scan --digests none", (*scan, "--digests", "none"), rounds=1),
        Subject("scan --digests all", (*scan, "--digests", "all")),
        Subject("scan --host-only", (*scan, "--host-only"), expected=(0, 3)),
        Subject(
            "scan --host-only --digests all", (*scan, "--host-only", "--digests", "all"), expected=(0, 3)
        ),
    ]


def repairing(broken: Path, donor: Path, folder: Path) -> list[Subject]:
    """The repair of an image with the three classic faults, on a fresh copy each time, and its scan."""
    copy, state = folder / "broken.qcow2", folder / "state"

    def prepare() -> None:
        shutil.rmtree(state, ignore_errors=True)
        subprocess.run(["cp", "--sparse=always", str(broken), str(copy)], check=True)

    repair = (GUESTREPAIR, "repair", "--yes", "--donor", str(donor), "--state-dir", str(state), str(copy))
    return [
        Subject("scan of the broken image", (GUESTREPAIR, "scan", "--timings", str(broken)), expected=(1,)),
        Subject("repair of the three cases", repair, prepare, expected=(0, 1)),
    ]


def timelines(image: Path, offset_sectors: int, folder: Path) -> list[Subject]:
    """The whole history of a guest: its files alone by The Sleuth Kit, all its records by guestrepair."""
    body, out = folder / "body", folder / "timeline"
    script = f"fls -r -m / -o {offset_sectors} {image} > {body} && mactime -d -y -b {body} > {out}"
    ours = (GUESTREPAIR, "timeline", "-o", str(out))
    return [
        Subject(SLEUTH_KIT, ("sh", "-c", script)),
        Subject(TIMELINE, (*ours, str(image))),
        Subject("timeline --format jsonl", (*ours, "--format", "jsonl", str(image))),
        Subject("timeline --only file", (*ours, "--only", "file", str(image))),
        Subject("timeline --format mactime", (*ours, "--format", "mactime", str(image))),
    ]


def of_disk(name: str, image: Path, root: str, broken: Path, folder: Path) -> list[Subject]:
    """One kind of disk: floor and peer of its own, guestrepair on it, and on a broken copy of it."""
    fish = ("guestfish", "--ro", "--format=qcow2", "-a", str(image), "-i")
    found = [
        Subject("floor", (sys.executable, "-c", _FLOOR, str(image), root)),
        Subject("guestfish -i, checksums-out md5 /", (*fish, "checksums-out", "md5", "/", "/dev/null")),
        *(subject for subject in ours(image) if subject.name.startswith("scan")),
        *repairing(broken, image, folder),
    ]
    left_out = ("scan --stock-appliance", "scan --digests none")
    return [replace(s, name=f"{name}: {s.name}") for s in found if s.name not in left_out]


def version() -> Subject:
    """The command line's start alone."""
    return Subject("guestrepair --version", (GUESTREPAIR, "--version"), rounds=9)

"""The commands that are compared: the floor, the peers, what a person does by hand, and our own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Command
from guestrepair.guest.acceleration import Acceleration, acceleration

ROOT_DEVICE = "/dev/sda3"
"""Of the Debian server that fixtures/ builds."""

_PROGRAM = str(Path(sys.executable).with_name("guestrepair"))
_BY_HAND = """set -eu
mount -o ro,noload,loop,offset={offset} {disk} {directory}
trap 'umount {directory}' EXIT
dpkg --verify --root={directory} || true
"""


@dataclass(frozen=True, slots=True)
class Images:
    """What is measured on: the healthy server, one with the three cases, and a folder to work in."""

    healthy: Path
    broken: Path
    work: Path


def environment() -> dict[str, str]:
    """The same acceleration for everybody: libguestfs's own choice fails where KVM does not work."""
    return {"LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"} if accelerated_by() == "tcg" else {}


def accelerated_by() -> str:
    """``kvm`` or ``tcg``, as guestrepair finds out."""
    return "kvm" if acceleration().acceleration is Acceleration.KVM else "tcg"


def floor(images: Images) -> Command:
    """Launch, mount, close with the stock appliance."""
    script = str(Path(__file__).with_name("floor.py"))
    argv = (sys.executable, script, str(images.healthy), "qcow2", ROOT_DEVICE, accelerated_by())
    return Command("floor: launch, mount, close", argv)


def peers(images: Images) -> list[Command]:
    """What people use today."""
    fish = ("guestfish", "--ro", "--format=qcow2", "-a", str(images.healthy), "-i")
    hashing = ("checksums-out", "md5", "/usr", str(images.work / "sums"))
    inspector = ("virt-inspector", "--format=qcow2", "-a", str(images.healthy))
    return [
        Command("guestfish -i", (*fish, "exit"), environment=environment()),
        Command("virt-inspector", inspector, environment=environment()),
        Command(
            "guestfish -i, checksums-out",
            (*fish, *hashing),
            environment=environment(),
        ),
    ]


def by_hand(images: Images) -> list[Command]:
    """Loop mount and ``dpkg --verify`` on this host; none where that needs rights that we lack."""
    if os.geteuid() != 0:
        return []
    disk, directory = images.work / "by-hand.raw", images.work / "mounted"
    directory.mkdir(exist_ok=True)
    if not disk.exists():
        subprocess.run(["qemu-img", "convert", "-O", "raw", images.healthy, disk], check=True)
    said = subprocess.run(["sgdisk", "-i3", disk], check=True, capture_output=True, text=True).stdout
    sector = next(line.split()[2] for line in said.splitlines() if line.startswith("First sector:"))
    script = _BY_HAND.format(offset=int(sector) * 512, disk=disk, directory=directory)
    return [Command("by hand: mount, dpkg --verify", ("sh", "-c", script))]


def ours(images: Images) -> list[Command]:
    """guestrepair's own commands."""
    healthy, broken = str(images.healthy), str(images.broken)
    return [
        _ours("inspect", "inspect", healthy),
        _ours("scan", "scan", healthy),
        _ours("scan --stock-appliance", "scan", "--stock-appliance", healthy),
        _ours("scan --digests all", "scan", "--digests", "all", healthy),
        _ours("scan, three cases", "scan", broken, status=1),
        _repair(images),
    ]


def _ours(name: str, *arguments: str, status: int = 0, before: Callable[[], None] = lambda: None) -> Command:
    return Command(name, (_PROGRAM, *arguments), statuses=frozenset({status}), before=before)


def _repair(images: Images) -> Command:
    copy, state = images.work / "repair.qcow2", images.work / "state"

    def fresh() -> None:
        subprocess.run(["cp", "--sparse=always", images.broken, copy], check=True)

    arguments = ("repair", "--yes", "--donor", str(images.healthy), "--state-dir", str(state), str(copy))
    return _ours("repair, three cases", *arguments, before=fresh)


def version() -> Command:
    """The import time of the command line."""
    return _ours("--version", "--version")


def temporary_work() -> tempfile.TemporaryDirectory[str]:
    """A folder for copies and mounts."""
    return tempfile.TemporaryDirectory(prefix="guestrepair-bench-")

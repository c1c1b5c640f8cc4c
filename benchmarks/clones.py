"""Clones of one server, as a fleet has them: overlays with a host name and a machine ID of their own."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
from pathlib import Path

from benchmarks.subjects import GUESTREPAIR, Subject
from fixtures.appliance import LETTERS, appliance
from fixtures.run import run

CLONES, BY_THEMSELVES = 100, 10
ONE_BY_ONE = f"{BY_THEMSELVES} clones, one by one: scan"
FLEET, FLEET_HOST_ONLY = "clones: fleet scan", "clones: fleet scan --host-only"


def clones(image: Path, root: str, folder: Path, count: int) -> list[Path]:
    """So many overlays over a link to the image."""
    os.link(image, folder / "base.qcow2")
    made = [folder / f"vm{number:03}.qcow2" for number in range(count)]
    for path in made:
        run(
            [
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-b",
                str(folder / "base.qcow2"),
                "-F",
                "qcow2",
                str(path),
            ]
        )
    for first in range(0, count, len(LETTERS)):
        part = made[first : first + len(LETTERS)]
        with appliance([(path, "qcow2") for path in part]) as handle:
            for letter, path in zip(LETTERS, part, strict=False):
                handle.mount_options("", f"/dev/sd{letter}{root[-1]}", "/")
                handle.write("/etc/hostname", f"{path.stem}\n")
                handle.write("/etc/machine-id", os.urandom(16).hex() + "\n")
                handle.umount_all()
    return made


def fleets(images: list[Path], folder: Path) -> list[Subject]:
    """A scan of some by themselves, and of all as a fleet, from nothing each time."""
    state = folder / "state"

    def prepare() -> None:
        shutil.rmtree(state, ignore_errors=True)

    alone = itertools.islice(images, BY_THEMSELVES)
    script = "; ".join(shlex.join([GUESTREPAIR, "scan", str(image)]) for image in alone)
    fleet = (GUESTREPAIR, "fleet", "scan", "--state", str(state))
    names = tuple(map(str, images))
    return [
        Subject(ONE_BY_ONE, ("sh", "-c", script), expected=(0, 1)),
        Subject(FLEET, (*fleet, *names), prepare, expected=(0, 1)),
        Subject(FLEET_HOST_ONLY, (*fleet, "--host-only", *names), prepare, expected=(0, 1, 3)),
    ]

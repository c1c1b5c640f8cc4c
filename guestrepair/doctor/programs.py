"""Programs of this host: looked for where they are started from, and asked for their version."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guestrepair.boot.machine import OVMF
from guestrepair.doctor.model import Area, Check, State
from guestrepair.host_packages import install_command

SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where supermin and our own copies for the appliance take programs from, whatever $PATH says."""

_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program, the key of the package that brings it, and where it is looked for (None: in $PATH)."""

    name: str
    purpose: str
    package: str
    needed: bool = False
    path: str | None = None
    label: str = ""
    version: str = ""
    """The option that has it say its version; "" for one that is not asked."""


_QEMU = (
    Program(
        name="qemu-img",
        purpose="opening any image",
        package="qemu-img",
        needed=True,
        version="--version",
    ),
    Program(
        name="qemu-nbd",
        purpose="reading and writing any image",
        package="qemu-nbd",
        needed=True,
        version="--version",
    ),
)
_IN_THE_APPLIANCE = (
    Program(name="e2fsck", label="ext4", purpose="ext2, ext3, ext4", package="ext4", needed=True),
    Program(name="btrfs", label="btrfs", purpose="btrfs", package="btrfs"),
    Program(name="fsck.fat", label="vfat", purpose="checking EFI system partitions", package="vfat"),
    Program(name="lvm", label="LVM", purpose="logical volumes", package="lvm"),
    Program(name="cryptsetup", label="LUKS", purpose="encrypted disks (--key)", package="luks"),
    Program(name="mdadm", label="RAID", purpose="Linux software RAID", package="md"),
    Program(name="sgdisk", label="GPT", purpose="repairs of partition tables", package="gpt"),
    Program(name="fls", label="sleuthkit", purpose="deleted names in a timeline", package="sleuthkit"),
)
_OF_OPTIONS = (
    Program(
        name="apt-get", purpose="repair --fetch for guests with deb packages", package="apt-get",
        version="--version",
    ),
    Program(name="ssh-keygen", purpose="new host keys for a guest that has none", package="ssh-keygen"),
    Program(name="setpriv", purpose="boot, repair --prove-boot", package="util-linux", version="--version"),
    Program(name="openssl", purpose="evidence --timestamp", package="openssl", version="version"),
    Program(
        name="nbdkit", purpose="images at https:// and ssh:// addresses", package="nbdkit",
        version="--version",
    ),
    Program(name="ssh", purpose="images at ssh:// addresses", package="ssh"),
)  # fmt: skip


def qemu_checks() -> Iterator[Check]:
    """qemu's programs, the machine among them."""
    yield from (_check(program, Area.APPLIANCE) for program in _QEMU)
    name = f"qemu-system-{platform.machine()}"
    place = shutil.which(name) or shutil.which("qemu-kvm", path=f"/usr/libexec:{os.environ.get('PATH', '')}")
    wanted = Program(
        name=name,
        purpose="the appliance, and boot",
        package="qemu-system",
        needed=True,
        version="--version",
    )
    yield _found(wanted, place, Area.APPLIANCE)


def filesystem_checks(appliance: Path | None) -> Iterator[Check]:
    """What the appliance reads filesystems with; ``appliance`` is the directory it is made from."""
    programs = iter(_IN_THE_APPLIANCE)
    yield _in_the_appliance(next(programs))
    yield _xfs(appliance)
    yield from map(_in_the_appliance, programs)


def option_checks() -> Iterator[Check]:
    """What single commands and options use."""
    yield from (_check(program, Area.EXTRAS) for program in _OF_OPTIONS)
    firmware = next((code for code, variables in OVMF if all(map(os.path.exists, (code, variables)))), None)
    uefi = Program(name="UEFI firmware", purpose="boot of disks that boot by UEFI alone", package="ovmf")
    yield _found(uefi, firmware, Area.EXTRAS)


def _in_the_appliance(program: Program) -> Check:
    return _found(program, shutil.which(program.name, path=SYSTEM_PATH), Area.FILESYSTEMS)


def _xfs(appliance: Path | None) -> Check:
    """XFS, whose programs are in the appliance only where a package of libguestfs asks for them."""
    wanted = Program(name="xfs_repair", label="XFS", purpose="XFS", package="xfs")
    place = shutil.which(wanted.name, path=SYSTEM_PATH)
    if place is not None and appliance is not None and not _lists(appliance, "xfsprogs"):
        place = None
    return _found(wanted, place, Area.FILESYSTEMS)


def _lists(appliance: Path, package: str) -> bool:
    """Whether supermin is told to put this package into the appliance."""
    lists = sorted(appliance.glob("supermin.d/packages*"))
    return not lists or any(package in path.read_text(errors="replace").split() for path in lists)


def _check(program: Program, area: Area) -> Check:
    return _found(program, shutil.which(program.name), area)


def _found(program: Program, place: str | None, area: Area) -> Check:
    state, found = (State.MISSING, "") if place is None else _asked(place, program.version)
    name = program.label or program.name
    return Check(
        area=area,
        name=name,
        state=state,
        purpose=program.purpose,
        needed=program.needed,
        found=found if program.name == name or state is State.OK else f"{program.name} is not there",
        mend="" if state is State.OK else install_command((program.package,)),
        packages=(program.package,),
    )


def _asked(place: str, option: str) -> tuple[State, str]:
    """Whether a program runs, and its own words about its version, or its path."""
    if not option:
        return State.OK, place
    try:
        done = subprocess.run(
            [place, option],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return State.BROKEN, f"{place} does not run: {error}"
    lines = (done.stdout or done.stderr).strip().splitlines()
    if done.returncode != 0:
        return State.BROKEN, f"{place} ends with {done.returncode}: {lines[0] if lines else 'no message'}"
    return State.OK, lines[0] if lines else place

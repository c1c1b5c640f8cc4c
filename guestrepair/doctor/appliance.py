"""What libguestfs makes its appliance from, and what that runs on: kernel, supermin, KVM."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from guestrepair.appliance.acceleration import Acceleration, acceleration
from guestrepair.appliance.kernels import USUAL_PLACES, kernel_files, release_of
from guestrepair.doctor.model import Area, Check, State
from guestrepair.doctor.modules import imported
from guestrepair.doctor.programs import SYSTEM_PATH
from guestrepair.host_packages import install_command

_FIXED = ("kernel", "initrd", "root")
"""A ready appliance, which needs neither supermin nor a kernel (libguestfs-make-fixed-appliance(1))."""

_KVM = "speed: without it the appliance and boot are emulated, which takes several times as long"
_KERNEL = "the appliance, all but --host-only"


def appliance_directory() -> Path | None:
    """Where libguestfs takes its appliance from: the first of its path that holds one."""
    state, path = imported("guestfs", "m.GuestFS(python_return_dict=True).get_path()")
    named = path.split(os.pathsep) if state is State.OK else [os.environ.get("LIBGUESTFS_PATH", "")]
    usual = [found for pattern in USUAL_PLACES for found in Path("/").glob(pattern.removeprefix("/"))]
    places = [Path(name) for name in named if name.startswith("/")] or usual
    return next((p for p in places if (p / "supermin.d").is_dir() or _is_fixed(p)), None)


def _is_fixed(place: Path) -> bool:
    return all((place / name).is_file() for name in _FIXED)


def appliance_checks(place: Path | None) -> Iterator[Check]:
    """The appliance's parts, supermin, a kernel and KVM."""
    fixed = place is not None and _is_fixed(place)
    yield Check(
        area=Area.APPLIANCE,
        name="libguestfs",
        state=State.MISSING if place is None else State.OK,
        purpose=_KERNEL,
        needed=True,
        found="" if place is None else f"{place}{' (fixed)' if fixed else ''}",
        mend=install_command(("appliance",)) if place is None else "",
        packages=("appliance",),
    )
    if not fixed:
        yield _supermin()
        yield _kernel()
    yield _kvm()


def _supermin() -> Check:
    place = shutil.which("supermin", path=SYSTEM_PATH)
    return Check(
        area=Area.APPLIANCE,
        name="supermin",
        state=State.MISSING if place is None else State.OK,
        purpose=_KERNEL,
        needed=True,
        found=place or "",
        mend=install_command(("supermin",)) if place is None else "",
        packages=("supermin",),
    )


def _kernel() -> Check:
    """A kernel with its modules, as supermin takes it: below /boot, or with its modules (supermin(1))."""
    kernels = kernel_files()
    whole = [path for path in kernels if Path("/lib/modules", release_of(path)).is_dir()]
    readable = [path for path in whole if os.access(path, os.R_OK)]
    state, found, mend = State.OK, "", ""
    if readable:
        found = str(readable[-1])
    elif whole:
        # Ubuntu's kernels are root's alone (Launchpad bug 759725).
        state, found = State.BROKEN, f"{whole[-1]} cannot be read by this user"
        mend = f"sudo chmod a+r {whole[-1]}"
    else:
        state, mend = State.MISSING, install_command(("kernel",))
        found = f"the modules of {kernels[-1]} are not there" if kernels else ""
    return Check(
        area=Area.APPLIANCE,
        name="kernel",
        state=state,
        purpose=_KERNEL,
        needed=True,
        found=found,
        mend=mend,
        packages=("kernel",) if state is State.MISSING else (),
    )


def _kvm() -> Check:
    """Whether KVM runs a kernel here, tried out (acceleration.py): on some hosts it is only shown."""
    verdict = acceleration()
    state, found, mend = State.OK, "a kernel runs under it", ""
    if verdict.acceleration is not Acceleration.KVM:
        there = Path("/dev/kvm").exists()
        state, found = (State.BROKEN if there else State.MISSING), verdict.reason
        mend = "switch on virtualization in the firmware; in a virtual machine, nested virtualization"
        if there and not os.access("/dev/kvm", os.R_OK | os.W_OK):
            found = "/dev/kvm is not open to this user"
            mend = "sudo usermod -a -G kvm $USER, and log in again"
    return Check(area=Area.APPLIANCE, name="KVM", state=state, purpose=_KVM, found=found, mend=mend)

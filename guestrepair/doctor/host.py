"""How programs are confined on this host, who may open its disks, and where what we keep lies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guestrepair.confine import landlock, means
from guestrepair.disk.homes import base_directory
from guestrepair.disk.tempdirs import default_parent
from guestrepair.doctor.model import Area, Check, State
from guestrepair.ownership import own_path

MIB = 1 << 20
_DISKS = Path("/sys/block")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A directory that is written to, and how much it takes at least; ``variable`` names another one."""

    name: str
    path: Path
    variable: str
    purpose: str
    least_bytes: int
    is_ours: bool


def safety_checks() -> Iterator[Check]:
    """The cage, and the right to open this host's disks."""
    found = {
        means.LANDLOCK: f"Landlock, version {landlock.version()}",
        means.NAMESPACE: "a mount namespace, as root alone can make it",
    }.get(means.best())
    yield Check(
        area=Area.SAFETY,
        name="confinement",
        state=State.MISSING if found is None else State.OK,
        purpose="keeping what reads a hostile disk from this host's files",
        found=found or "",
        mend="" if found else "use a kernel with Landlock (5.13 or newer), started with it among lsm=",
    )
    yield _disks()


def _disks() -> Check:
    """Root may open any disk; somebody else image files, and the disks that were given to them."""
    names = [f"/dev/{path.name}" for path in sorted(_DISKS.glob("[shv]d*"))] if _DISKS.is_dir() else []
    closed = [name for name in names if Path(name).exists() and not os.access(name, os.R_OK | os.W_OK)]
    return Check(
        area=Area.SAFETY,
        name="disks",
        state=State.MISSING if closed else State.OK,
        purpose="disks attached to this host, as /dev/vdb; images in files need no right but to the file",
        found=f"{closed[0]} is not open to user {os.geteuid()}" if closed else f"user {os.geteuid()}",
        mend="run guestrepair as root (sudo) for disks" if closed else "",
    )


def place_checks() -> Iterator[Check]:
    """Where overlays, the faster appliance and undo data lie."""
    yield _place(
        _Place(
            name="temporary files",
            path=default_parent(),
            variable="TMPDIR",
            purpose="overlays: what is tried before it is written",
            least_bytes=1024 * MIB,
            is_ours=False,
        )
    )
    yield _place(
        _Place(
            name="cache",
            path=base_directory("XDG_CACHE_HOME", ".cache") / "guestrepair",
            variable="XDG_CACHE_HOME",
            purpose="the appliance that starts faster",
            least_bytes=512 * MIB,
            is_ours=True,
        )
    )
    yield _place(
        _Place(
            name="state",
            path=base_directory("XDG_STATE_HOME", ".local/state") / "guestrepair",
            variable="XDG_STATE_HOME",
            purpose="undo data: repair needs it",
            least_bytes=256 * MIB,
            is_ours=True,
        )
    )


def _place(place: _Place) -> Check:
    """Whether it can be written to, by us alone where that is asked for, and has room; nothing is made."""
    there = next(path for path in (place.path, *place.path.parents) if os.path.exists(path))  # noqa: PTH110 - no error where it cannot be seen
    wrong = _why_not(place, there)
    found = f"{place.path}"
    if not wrong:
        free = shutil.disk_usage(there).free
        found = f"{place.path}, {free // MIB} MiB free"
        if free < place.least_bytes:
            wrong = f"{place.path}: {free // MIB} MiB are free, {place.least_bytes // MIB} are wanted"
    return Check(
        area=Area.PLACES,
        name=place.name,
        state=State.BROKEN if wrong else State.OK,
        purpose=place.purpose,
        needed=True,
        found=wrong or found,
        mend=f"set {place.variable} to a directory of your own with room" if wrong else "",
    )


def _why_not(place: _Place, there: Path) -> str:
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"{there}: no directory that this user can write to"
    try:
        if place.is_ours:
            own_path(str(there))
    except OSError as error:
        return str(error.strerror)
    return ""

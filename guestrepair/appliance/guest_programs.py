"""Running a program of the guest itself, in the appliance, without network: only when asked for.

libguestfs enters the guest's root for it and binds the appliance's own /dev,
/proc and /sys there; the appliance has no network card. The running kernel is
the appliance's, so a program must be told the guest's release by name.
"""

from __future__ import annotations

from guestrepair.appliance.handle import Handle, reading
from guestrepair.appliance.toolbox import inner_name
from guestrepair.errors import GuestReadError, RepairError
from guestrepair.model import RunGuestProgram

_ENVIRONMENT = (
    "/usr/bin/env",
    "-i",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LC_ALL=C",
    "TMPDIR=/var/tmp",
)
_MAX_QUOTED = 2000


def run_guest_program(handle: Handle, change: RunGuestProgram) -> str:
    """Run it with the guest's root as root; the guest must be mounted read-write at the appliance's root.

    Devices among its arguments (``/dev/sda``) are given the names that they have inside.

    Raises:
        RepairError: it is not there or ended with an error.
    """
    arguments = [inner_name(argument) for argument in change.arguments]
    try:
        with reading(change.arguments[0]):
            return handle.command([*_ENVIRONMENT, *arguments])
    except GuestReadError as error:
        raise RepairError(
            f"the guest's own {change.arguments[0]} failed: {error.reason[-_MAX_QUOTED:]}"
        ) from error

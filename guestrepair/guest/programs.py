"""Running a program of the guest itself, in the appliance, without network: only when asked for."""

from __future__ import annotations

from guestrepair.errors import RepairError
from guestrepair.guest.handle import Handle, message
from guestrepair.model import RunGuestProgram


def run_guest_program(handle: Handle, change: RunGuestProgram) -> str:
    """Run it with the guest's root as root; the guest must be mounted at the appliance's root.

    Raises:
        RepairError: it is not there or ended with an error.
    """
    try:
        return handle.command(list(change.arguments))
    except RuntimeError as error:
        raise RepairError(f"{change.arguments[0]} of the guest failed: {message(error)[:2000]}") from error

"""Running a filesystem's own checker inside the appliance, on an unmounted device of an overlay."""

from __future__ import annotations

from collections.abc import Callable

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice
from guestrepair.guest.handle import Handle, message, reading
from guestrepair.guest.view import CheckResult

MAX_OUTPUT_CHARACTERS = 16 * 1024


def check_filesystem(handle: Handle, device: BlockDevice) -> CheckResult:
    """The verdict of the checker that belongs to the filesystem on a device that is not mounted.

    The ext checker runs with repair allowed, since libguestfs offers no other
    way to run it; only an overlay that is thrown away may be given here.

    Raises:
        GuestReadError: no checker for this type.
    """
    checkers: dict[str, Callable[[], bool]] = {
        "ext2": lambda: _ext(handle, device.name),
        "ext3": lambda: _ext(handle, device.name),
        "ext4": lambda: _ext(handle, device.name),
        "xfs": lambda: handle.xfs_repair(device.name, nomodify=True) == 0,
        "btrfs": lambda: _succeeds(handle, device.name),
        "vfat": lambda: handle.fsck("vfat", device.name) == 0,
    }
    if device.content not in checkers:
        raise GuestReadError(
            device.name, f"no checker for {device.content or 'what is on it'} in the appliance"
        )
    try:
        return CheckResult(checkers[device.content]())
    except RuntimeError as error:
        return CheckResult(clean=False, output=message(error)[:MAX_OUTPUT_CHARACTERS])


def _ext(handle: Handle, device: str) -> bool:
    # Success means that nothing had to be corrected; whatever it corrects or refuses is damage.
    handle.e2fsck(device, forceall=True)
    return True


def _succeeds(handle: Handle, device: str) -> bool:
    with reading(handle, device):
        handle.btrfs_check(device)
    return True

"""Letting a filesystem's own checker repair it, on an overlay, unmounted."""

from __future__ import annotations

from guestrepair.errors import RepairError
from guestrepair.guest.handle import Handle, message
from guestrepair.model import RunFsck


def repair_filesystem(handle: Handle, change: RunFsck) -> None:
    """Run the checker with repair allowed; afterwards the filesystem is clean.

    Raises:
        RepairError: no checker for the type, or it gave up.
    """
    try:
        match change.filesystem:
            case "ext2" | "ext3" | "ext4":
                _ext(handle, change)
            case "xfs":
                handle.xfs_repair(change.device)
            case "vfat":
                # fsck.fat -a corrects by itself; its status 1 means that it did.
                if handle.fsck("vfat", change.device) > 1:
                    raise RepairError(f"{change.device}: fsck.fat could not correct everything")
            case "btrfs":
                raise RepairError(
                    f"{change.device}: btrfs check --repair is dangerous and is not run",
                    hint="copy what you need with btrfs restore, and make the filesystem anew",
                )
            case other:
                raise RepairError(f"{change.device}: no checker for {other} in the appliance")
    except RuntimeError as error:
        raise RepairError(f"{change.device}: the checker failed: {message(error)[:2000]}") from error


def _ext(handle: Handle, change: RunFsck) -> None:
    handle.e2fsck(change.device, forceall=True)

"""Deleted names as The Sleuth Kit finds them in the appliance, where the host does not read a filesystem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.appliance.handle import Handle, reading
from guestrepair.guest.devices import Mount

_ALLOCATED, _REALLOCATED = 0x1, 0x2
"""guestfs_filesystem_walk, tsk_flags: a name in use, and a name whose inode is in use again."""


def deleted_names(handle: Handle, mounts: Sequence[Mount]) -> Iterator[tuple[str, str, int]]:
    """Mount point, path below it, and time of change (seconds since the epoch) of each deleted name.

    Raises:
        GuestReadError: The Sleuth Kit does not know a filesystem.
    """
    for mount in mounts:
        with reading(mount.source):
            entries = handle.filesystem_walk(mount.source)
        for entry in entries:
            # An inode that has been used again tells its new file's time; Linux 5.13 and newer
            # wipe the names that ext4 forgets, so that those leave nothing to be found.
            gone = not entry["tsk_flags"] & (_ALLOCATED | _REALLOCATED)
            if gone and entry["tsk_name"] and entry["tsk_ctime_sec"] > 0:
                yield mount.target, str(entry["tsk_name"]), int(entry["tsk_ctime_sec"])

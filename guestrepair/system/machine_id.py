"""The identity of the machine: /etc/machine-id, and D-Bus's own copy where that is one.

Sources: machine-id(5); dbus-uuidgen(1).
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.formats.machine_id import MachineIdState, machine_id_state
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import fact

MACHINE_ID = GuestPath("/etc/machine-id")
DBUS_ID = GuestPath("/var/lib/dbus/machine-id")
_MAX_BYTES = 4096
"""More than this is no identity, whatever it begins with."""


@dataclass(frozen=True, slots=True)
class IdentityFile:
    """One of the two files: where it really lies, its size, its first bytes, and what they mean."""

    path: GuestPath
    real: GuestPath
    size_bytes: int
    data: bytes
    state: MachineIdState
    is_link: bool


class MachineId:
    """Both files of one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    @fact
    def file(self) -> IdentityFile | None:
        """/etc/machine-id; None where it is not there, or no file."""
        return self._read(MACHINE_ID)

    @fact
    def of_dbus(self) -> IdentityFile | None:
        """D-Bus's, where it is a file of its own; None where it is not there, or a link."""
        found = self._read(DBUS_ID)
        return None if found is None or found.is_link else found

    def _read(self, path: GuestPath) -> IdentityFile | None:
        own, real = self._guest.lstat(path), self._guest.resolve(path)
        found = None if real is None else self._guest.lstat(real)
        if own is None or real is None or found is None or not found.is_file:
            return None
        data = self._guest.read_range(real, 0, min(found.size_bytes, _MAX_BYTES))
        return IdentityFile(path, real, found.size_bytes, data, machine_id_state(data), own.is_symlink)

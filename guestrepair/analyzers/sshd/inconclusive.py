"""What a rule of sshd says where it could not look."""

from __future__ import annotations

from guestrepair.model import GuestPath, Inconclusive
from guestrepair.system.sshd.sshd import Sshd

NAME = "sshd"


def inconclusive(reason: str) -> Inconclusive:
    """One of these rules could not look."""
    return Inconclusive(NAME, reason)


def unmounted(sshd: Sshd, path: GuestPath, what: str) -> Inconclusive | None:
    """That ``what`` was not examined, where the path lies on a filesystem that is not mounted here."""
    reason = sshd.system.unmounted_above(path)
    return inconclusive(f"{what} was not examined: {reason}") if reason else None

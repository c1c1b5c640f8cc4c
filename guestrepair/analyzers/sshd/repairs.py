"""Repairs that several of these rules have: a packaged file brought back, a program made executable."""

from __future__ import annotations

from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath, Repair, RestoreFile, Safety, SetMode
from guestrepair.system.sshd.sshd import Sshd


def restore_packaged(sshd: Sshd, path: GuestPath) -> RestoreFile | None:
    """The change that brings a packaged file back, or None when no package lists it."""
    packaged = sshd.system.packaged
    return packaged.restore(path) if packaged is not None else None


def restore_repair(sshd: Sshd, path: GuestPath) -> Repair:
    """Bring a packaged file back, where a package lists it; else a person has to."""
    change = restore_packaged(sshd, path)
    if change is None:
        return Repair(f"bring {path} back: no package of this guest lists it", Safety.MANUAL)
    return Repair(
        f"restore {path} from {change.package} {change.version}", safety_of(sshd, change), (change,)
    )


def safety_of(sshd: Sshd, change: RestoreFile) -> Safety:
    """Review where the package's own unpacking broke off: its files may be of two versions."""
    packaged = sshd.system.packaged
    broke_off = packaged is not None and packaged.is_unfinished(change.package, change.architecture)
    return Safety.REVIEW if broke_off else Safety.SAFE


def make_executable(sshd: Sshd, path: GuestPath, found: Stat) -> Repair:
    """Let everybody run the program, which is there."""
    target = sshd.files.resolve(path) or path
    change = SetMode(path=target, before=found.permissions, after=0o755)
    return Repair(f"make {target} executable (0755)", Safety.SAFE, (change,))

"""Looking at the guest as it will be mounted once its fstab is mended.

A wrong UUID of /home or /boot keeps everything below from being looked at, though the fstab
analyzer knows which filesystem is meant. So its safe repairs are worked out first, and what they
name is mounted, read-only like the rest: one scan tells of the line and of what lies behind it.
"""

from __future__ import annotations

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.fstab import ANALYZER
from guestrepair.errors import BudgetError
from guestrepair.fence import MENDING, within
from guestrepair.guest.root_filesystems import Root
from guestrepair.model import EditFile, GuestPath, Safety, WriteFile
from guestrepair.packages.sources import Resolution
from guestrepair.repair.plan import edited, make_plan
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session

_FSTAB = GuestPath("/etc/fstab")


def mount_as_mended(session: Session, root: Root, guest: LiveGuest) -> LiveGuest:
    """The guest with that mounted, too, what fstab will name after its safe repairs.

    One that is made to take for ever is left as it is: the analyzer of it says so.
    """
    if not guest.unmounted:
        return guest
    try:
        text = within(MENDING, lambda: mended_fstab(guest))
    except BudgetError:
        guest.start_over()
        return guest
    return guest if text is None else session.mount_more(root, guest, text)


def mended_fstab(guest: LiveGuest) -> bytes | None:
    """The text of /etc/fstab after its safe repairs; None where there is none to make."""
    findings, _ = run_analyzer(ANALYZER, Context(guest), MENDING)
    safe = [f for f in findings if f.repair is not None and f.repair.safety is Safety.SAFE]
    for step in make_plan(safe, Resolution({}, {})).steps:
        if step.path == _FSTAB and isinstance(step.change, EditFile):
            return edited(step.change)
        if step.path == _FSTAB and isinstance(step.change, WriteFile):
            return step.change.after
    return None

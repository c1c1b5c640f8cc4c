"""What would be made without the SELinux label that it needs: left out of the plan, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.guest.selinux import unreadable_policy
from guestrepair.guest.view import Guest
from guestrepair.model import (
    Change,
    Finding,
    GenerateHostKey,
    MakeDirectory,
    MakeLink,
    RestoreFile,
    WriteFile,
)
from guestrepair.repair.plan import Left


def with_labels(findings: Sequence[Finding], guest: Guest) -> tuple[list[Finding], tuple[Left, ...]]:
    """The findings whose repair can be labelled as the guest's policy wants; and the others, with why.

    In enforcing mode a file without its label is one that nobody may read. What is there already keeps
    its own label.
    """
    making = [f for f in findings if f.repair is not None and any(map(_makes, f.repair.changes))]
    reason = unreadable_policy(guest) if making else ""
    if not reason:
        return list(findings), ()
    words = f"it would be made without its SELinux label, which cannot be known: {reason}"
    return [f for f in findings if f not in making], tuple(Left(f, words) for f in making)


def _makes(change: Change) -> bool:
    """True for what makes something new, which the kernel of the appliance does not label."""
    if isinstance(change, WriteFile):
        return change.before is None
    return isinstance(change, MakeDirectory | MakeLink | RestoreFile | GenerateHostKey)

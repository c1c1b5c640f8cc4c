"""Whom a fault locks out, and who may write to a file by sshd's rules.

Sources: OpenSSH auth.c allowed_user(), misc.c safe_path(); Debian's
user-group-modes patch (secure_permissions()).
"""

from __future__ import annotations

from itertools import islice

from guestrepair.guest.view import Stat
from guestrepair.system.accounts import Account
from guestrepair.system.sshd.sshd import Sshd

PRIVATE_GROUP_FAMILIES = frozenset({"debian", "ubuntu"})
"""Whose sshd takes group-writable homes where the group is the user's alone."""


def only_admin(accounts: tuple[Account, ...]) -> Account | None:
    """The one administrator beside root, None where there is none or several."""
    admins = list(islice((a for a in accounts if a.uid != 0 and a.is_admin), 2))
    return admins[0] if len(admins) == 1 else None


def matters_to_everyone(account: Account, only: Account | None) -> bool:
    """True for root and for the only administrator: locked out, nobody can mend the machine."""
    return account.uid == 0 or account == only


def writable_by_others(sshd: Sshd, found: Stat, uid: int) -> bool:
    """True where this guest's sshd says "bad ownership or modes" because of the mode bits."""
    if found.permissions & 0o002:
        return True
    if not found.permissions & 0o020:
        return False
    tolerant = sshd.server.family in PRIVATE_GROUP_FAMILIES
    return not (tolerant and sshd.accounts.membership.is_private(found.gid, uid, found.uid))


def foreign(found: Stat, uid: int) -> bool:
    """True where it belongs neither to root nor to the user."""
    return found.uid not in (0, uid)


def can(found: Stat, account: Account, group_ids: frozenset[int], bit: int) -> bool:
    """Whether the account may read (4) or enter (1) it, by the classic permission bits."""
    if account.uid == 0:
        return True
    if found.uid == account.uid:
        return bool(found.permissions & (bit << 6))
    if found.gid in group_ids:
        return bool(found.permissions & (bit << 3))
    return bool(found.permissions & bit)

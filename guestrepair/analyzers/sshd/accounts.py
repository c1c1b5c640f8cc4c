"""Accounts that can log in, with their groups and homes, and who may write to a file by sshd's rules.

Sources: OpenSSH auth.c allowed_user(), misc.c safe_path(); Debian's
user-group-modes patch (secure_permissions()).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from guestrepair.analyzers.sshd.facts import SshdFacts, guest_path
from guestrepair.formats.passwd import PasswdEntry
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath

NO_LOGIN_SHELLS = frozenset({"nologin", "false", "sync", "halt", "shutdown", "git-shell", "true"})
"""Base names of shells that let nobody in (git-shell lets git in, not a person)."""

ADMIN_GROUPS = ("sudo", "wheel", "admin", "root")
PATH_MAX = 4096
PRIVATE_GROUP_FAMILIES = frozenset({"debian", "ubuntu"})
"""Whose sshd takes group-writable homes where the group is the user's alone."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account with a shell to log in to: its passwd line, and the names of all its groups."""

    entry: PasswdEntry
    groups: frozenset[str]

    @property
    def name(self) -> str:
        """The login name."""
        return self.entry.name

    @property
    def uid(self) -> int:
        """The user id."""
        return self.entry.uid

    @property
    def home(self) -> GuestPath:
        """The home directory; ``/`` where passwd has none, or one longer than a path can be."""
        home = self.entry.home
        return guest_path(home) if home.startswith("/") and len(home) < PATH_MAX else GuestPath("/")

    @property
    def shell(self) -> GuestPath:
        """The login shell; /bin/sh where passwd names none (passwd(5))."""
        return guest_path(self.entry.shell or "/bin/sh")

    @property
    def is_admin(self) -> bool:
        """Root, or a member of a group that distributions let become root."""
        return self.uid == 0 or not self.groups.isdisjoint(ADMIN_GROUPS)


def login_accounts(facts: SshdFacts) -> tuple[Account, ...]:
    """Accounts whose shell is meant for a person; the first line of a name counts."""
    found: dict[str, Account] = {}
    for entry in facts.passwd.entries:
        if entry.name in found or GuestPath(entry.shell or "/bin/sh").name in NO_LOGIN_SHELLS:
            continue
        found[entry.name] = Account(entry, groups_of(facts, entry))
    return tuple(found.values())


def groups_of(facts: SshdFacts, entry: PasswdEntry) -> frozenset[str]:
    """Names of the primary and the supplementary groups."""
    return facts.membership.names(entry)


def only_admin(accounts: tuple[Account, ...]) -> Account | None:
    """The one administrator beside root, None where there is none or several."""
    admins = list(islice((a for a in accounts if a.uid != 0 and a.is_admin), 2))
    return admins[0] if len(admins) == 1 else None


def matters_to_everyone(account: Account, only: Account | None) -> bool:
    """True for root and for the only administrator: locked out, nobody can mend the machine."""
    return account.uid == 0 or account == only


def writable_by_others(facts: SshdFacts, found: Stat, uid: int) -> bool:
    """True where this guest's sshd says "bad ownership or modes" because of the mode bits."""
    if found.permissions & 0o002:
        return True
    if not found.permissions & 0o020:
        return False
    tolerant = facts.server.family in PRIVATE_GROUP_FAMILIES
    return not (tolerant and facts.membership.is_private(found.gid, uid, found.uid))


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


def group_ids_of(facts: SshdFacts, account: Account) -> frozenset[int]:
    """Numbers of all the account's groups."""
    return facts.membership.numbers(account.entry)


def ancestors(path: GuestPath) -> Iterator[GuestPath]:
    """The directories above a path, from the nearest to ``/``."""
    yield from path.parents

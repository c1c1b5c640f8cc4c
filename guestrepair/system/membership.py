"""Who is in which group: passwd and group put together once, since both may be as long as anybody likes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from guestrepair.formats.passwd import GroupEntry, PasswdEntry

MAX_SAME_NUMBER = 64
"""Names of one group's number that count; the library calls know the first alone."""


class Membership:
    """The accounts and groups of a guest, by name and by number."""

    def __init__(self, accounts: Iterable[PasswdEntry], groups: Iterable[GroupEntry]) -> None:
        self.homes: set[str] = set()
        """Home directories, those of root's number left out, without a slash at their end."""
        self._owners: dict[int, str] = {}
        self._users: dict[int, set[int]] = defaultdict(set)
        self._groups: dict[int, GroupEntry] = {}
        self._names: dict[int, list[str]] = defaultdict(list)
        known = self._take_accounts(accounts)
        self._joined: Mapping[str, list[GroupEntry]] = self._take_groups(groups, known)

    def _take_accounts(self, accounts: Iterable[PasswdEntry]) -> set[str]:
        known = set()
        for entry in accounts:
            known.add(entry.name)
            self._owners.setdefault(entry.uid, entry.name)
            self._users[entry.gid].add(entry.uid)
            if entry.uid:
                self.homes.add(entry.home.rstrip("/"))
        return known

    def _take_groups(self, groups: Iterable[GroupEntry], known: set[str]) -> Mapping[str, list[GroupEntry]]:
        joined: dict[str, list[GroupEntry]] = defaultdict(list)
        for group in groups:
            self._groups.setdefault(group.gid, group)
            if len(self._names[group.gid]) < MAX_SAME_NUMBER:
                self._names[group.gid].append(group.name)
            for member in known.intersection(group.members):
                joined[member].append(group)
        return joined

    def names(self, account: PasswdEntry) -> frozenset[str]:
        """Names of its primary and supplementary groups."""
        joined = self._joined.get(account.name, ())
        return frozenset((*self._names.get(account.gid, ()), *(group.name for group in joined)))

    def numbers(self, account: PasswdEntry) -> frozenset[int]:
        """Numbers of its primary and supplementary groups."""
        return frozenset((account.gid, *(group.gid for group in self._joined.get(account.name, ()))))

    def is_private(self, gid: int, uid: int, owner_uid: int) -> bool:
        """True where the group holds nobody but this user (Debian's user-group-modes patch)."""
        users = self._users.get(gid, set())
        if users - {uid}:
            return False
        group, owner = self._groups.get(gid), self._owners.get(owner_uid)
        if group is None or owner is None or (group.members and group.members != (owner,)):
            return False
        return bool(users or group.members)

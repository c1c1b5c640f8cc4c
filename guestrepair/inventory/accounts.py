"""Accounts and groups. No password hash leaves this module: only what state it is in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.events.secrets import masked
from guestrepair.formats.passwd import LOCKS, AccountFile, GroupEntry, PasswdEntry, ShadowEntry
from guestrepair.inventory import model
from guestrepair.inventory.keys import fingerprint, key_file, key_places, option_text
from guestrepair.system.accounts import Account, Ageing
from guestrepair.system.guest_system import System

Lost = Callable[[str], None]
"""Told of what could not be read, in words; the rest goes on."""

MAX_KEYS = 10_000
"""Keys that are listed of all accounts; more belong to programs that write them."""

_IN_SHADOW = "x"


def accounts(system: System, today: dt.date, lost: Lost) -> tuple[model.Account, ...]:
    """The accounts of /etc/passwd, in its order, with the state of their passwords and their keys."""
    found = system.accounts
    for file, name in ((found.passwd, "passwd"), (found.shadow, "shadow"), (found.group, "group")):
        if file.malformed:
            lost(f"/etc/{name}: {len(file.malformed)} lines are no entry, line {_first(file)} first")
    shadow = {entry.name: entry for entry in reversed(found.shadow.entries)}
    keys = _Keys(system, lost)
    return tuple(_account(system, e, shadow.get(e.name), today, keys) for e in found.passwd.entries)


def _first(file: AccountFile[PasswdEntry] | AccountFile[ShadowEntry] | AccountFile[GroupEntry]) -> int:
    return file.malformed[0].line.number


def _account(
    system: System, entry: PasswdEntry, shadow: ShadowEntry | None, today: dt.date, keys: _Keys
) -> model.Account:
    account = system.accounts.account(entry)
    in_shadow = shadow is not None and entry.password == _IN_SHADOW
    ageing = Ageing() if shadow is None else Ageing.of(shadow)
    return model.Account(
        name=entry.name,
        uid=entry.uid,
        gid=entry.gid,
        comment=masked(entry.gecos),
        home=entry.home,
        shell=entry.shell,
        groups=tuple(sorted(account.groups)),
        password=password_state(shadow.password if in_shadow and shadow else entry.password),
        must_change=ageing.must_change,
        expires=None if ageing.expires is None else ageing.expires.isoformat(),
        expired=ageing.has_expired(today, by_pam=True),
        keys=keys.of(account),
    )


def password_state(value: str) -> str:
    """What a password field says without the hash: set, locked (a hash behind a lock), none, empty."""
    if not value:
        return "empty"
    if value.startswith(LOCKS):
        return "locked" if value.strip("!*") else "none"
    return "set" if value != _IN_SHADOW else "in shadow, which has no such line"


class _Keys:
    """The keys of all accounts, as many as are listed."""

    def __init__(self, system: System, lost: Lost) -> None:
        self._system, self._lost = system, lost
        self._left = MAX_KEYS
        self._said: set[str] = set()

    def of(self, account: Account) -> tuple[model.Key, ...] | None:
        try:
            return tuple(self._of(account))
        except (GuestReadError, FormatError) as error:
            self._say(error.message)
            return None

    def _of(self, account: Account) -> Iterator[model.Key]:
        for path in key_places(self._system, account):
            file = key_file(self._system, path)
            for line in () if file is None else file.keys.lines:
                if line.key is None:
                    continue
                if not self._left:
                    self._say(f"more than {MAX_KEYS} keys: the rest is left out, {account.name} first")
                    return
                self._left -= 1
                yield model.Key(
                    fingerprint=fingerprint(line.key),
                    type=line.key.type,
                    comment=masked(line.key.comment),
                    options=masked(option_text(line.options)),
                    file=str(path),
                )

    def _say(self, words: str) -> None:
        words = words if len(self._said) < 20 else "more files of keys cannot be read"
        if words not in self._said:
            self._said.add(words)
            self._lost(words)


def groups(system: System) -> tuple[model.Group, ...]:
    """The groups of /etc/group, in its order."""
    return tuple(
        model.Group(name=g.name, gid=g.gid, members=tuple(g.members)) for g in system.accounts.group.entries
    )

"""Whether one account can possibly log in: access lists, PermitRootLogin, and a method that could succeed.

Everything that depends on where the login comes from or on other machines counts as possible: only what is
certain is reported.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from guestrepair.analyzers.sshd.ageing import Ended, ended
from guestrepair.analyzers.sshd.pam_access import denial
from guestrepair.errors import GuestReadError
from guestrepair.formats.authorized_keys import KeyLine
from guestrepair.formats.sshd_config import match_list
from guestrepair.formats.sshd_config.algorithms import matches
from guestrepair.formats.sshd_config.settings import Value
from guestrepair.model import GuestPath, Subject
from guestrepair.system.account_files import SHADOW
from guestrepair.system.accounts import Account
from guestrepair.system.fact import Unreadable
from guestrepair.system.files import guest_path
from guestrepair.system.sshd.authorized_keys import KeyFile
from guestrepair.system.sshd.defaults import default_of
from guestrepair.system.sshd.sshd import Sshd

ONE_DAY = dt.timedelta(days=1)
"""An expiry is in the guest's own time, which may be so far from UTC."""


class Cause(enum.IntEnum):
    """What shuts an account out, the more telling the higher."""

    SETTING = enum.auto()
    PAM = enum.auto()
    LOCKED = enum.auto()
    AGEING = enum.auto()
    KEYS = enum.auto()


@dataclass(frozen=True, slots=True)
class Access:
    """Possible or not; and if not, why, and the line that decides (None: a default)."""

    possible: bool
    reason: str = ""
    place: Subject | None = None
    cause: Cause = Cause.SETTING
    ended: Ended | None = None


def access_of(sshd: Sshd, account: Account, now: dt.datetime) -> Access:
    """Judge one account at that time."""
    judges: tuple[Callable[[Sshd, Account], Access], ...] = (
        _lists,
        _root,
        lambda sshd, account: _ageing(sshd, account, now),
        lambda sshd, account: _pam(sshd, account, "account"),
        lambda sshd, account: _methods(sshd, account, now),
    )
    return next((a for judge in judges if not (a := judge(sshd, account)).possible), Access(True))


def somebody_gets_in(sshds: Iterable[Sshd], now: dt.datetime) -> bool:
    """True where any of these lets any account with a key or a password in."""
    return any(
        has_credentials(sshd, account) and access_of(sshd, account, now).possible
        for sshd in sshds
        for account in sshd.accounts.login
    )


def _values(sshd: Sshd, name: str, account: Account) -> tuple[Value, ...]:
    return sshd.settings.for_account(name, account.name, account.groups)


def _place(value: Value) -> Subject:
    place = value.directive.place
    return Subject.of_line(GuestPath(place.file), place.line)


def _lists(sshd: Sshd, account: Account) -> Access:
    for value in _values(sshd, "denyusers", account):
        if value.certain and any(_denies(word, account.name) for word in value.directive.args):
            return Access(False, "listed in DenyUsers", _place(value))
    for value in _values(sshd, "denygroups", account):
        if value.certain and _in_groups(value, account):
            return Access(False, "a group is listed in DenyGroups", _place(value))
    users = _values(sshd, "allowusers", account)
    if any(v.certain for v in users):
        words = [word for value in users for word in value.directive.args]
        if not any(matches(account.name, word.partition("@")[0].removeprefix("!")) for word in words):
            return Access(False, "not listed in AllowUsers", _place(users[0]))
    groups = _values(sshd, "allowgroups", account)
    if any(v.certain for v in groups) and not any(_in_groups(value, account) for value in groups):
        return Access(False, "none of its groups is listed in AllowGroups", _place(groups[0]))
    return Access(True)


def _denies(word: str, user: str) -> bool:
    # With a host part it depends on where the login comes from, unless that is everywhere.
    name, at, host = word.partition("@")
    return (not at or host == "*") and matches(user, name)


def _in_groups(value: Value, account: Account) -> bool:
    return any(match_list(group, word) for group in account.groups for word in value.directive.args)


def _root(sshd: Sshd, account: Account) -> Access:
    if account.uid != 0:
        return Access(True)
    values = _values(sshd, "permitrootlogin", account)
    if values and values[-1].certain and all(value.text.lower() == "no" for value in values):
        return Access(False, "PermitRootLogin no", _place(values[0]))
    return Access(True)


def _ageing(sshd: Sshd, account: Account, now: dt.datetime) -> Access:
    """The account is over, or its password has to be changed by somebody who has none."""
    found = ended(sshd, account, now)
    if found is None:
        return Access(True)
    cause = Cause.LOCKED if found.is_lock else Cause.AGEING
    return Access(False, found.reason, Subject.of_line(SHADOW, found.entry.line.number), cause, found)


def _pam(sshd: Sshd, account: Account, kind: str) -> Access:
    found = denial(sshd, account, kind)
    return Access(True) if found is None else Access(False, found.reason, found.place, Cause.PAM)


def _methods(sshd: Sshd, account: Account, now: dt.datetime) -> Access:
    """Some method must be left that could succeed: keys of the account, or a password that it has."""
    combined = _values(sshd, "authenticationmethods", account)
    if combined and not _all_need_keys(combined):
        return Access(True)  # other combinations: left to the administrator
    if not combined and any(_may_be_on(sshd, name, account, default=False) for name in OTHER_METHODS):
        return Access(True)
    keys = _may_be_on(sshd, "pubkeyauthentication", account, default=True)
    if keys and _has_keys(sshd, account, now):
        return Access(True)
    if not combined and _password_possible(sshd, account):
        return _pam(sshd, account, "auth")
    broken = useless_files(sshd, account, now) if keys else ()
    if broken:
        place = Subject.of_path(broken[0].path)
        return Access(False, f"no key in {broken[0].path} that sshd takes, and no password login", place,
                      Cause.KEYS)  # fmt: skip
    return Access(False, "no key that sshd would read, and no password login", _password_place(sshd, account))


def _all_need_keys(values: tuple[Value, ...]) -> bool:
    """True where each list of AuthenticationMethods has publickey in it."""
    lists = [word.split(",") for value in values if value.certain for word in value.directive.args]
    return bool(lists) and all(
        any(method.partition(":")[0] == "publickey" for method in methods) for methods in lists
    )


def _password_place(sshd: Sshd, account: Account) -> Subject | None:
    """The line that forbids the password; None where a default does."""
    names = ["passwordauthentication", *(["permitrootlogin"] if account.uid == 0 else [])]
    lines = [value for name in names for value in _values(sshd, name, account)]
    return next((_place(value) for value in lines if value.text.lower() != "yes"), None)


def has_credentials(sshd: Sshd, account: Account) -> bool:
    """True when there is a key or a password at all: an image that waits for its first boot has neither."""
    entry = sshd.accounts.shadow.get(account.name)
    return (entry is not None and entry.has_usable_password) or _has_any_keys(sshd, account)


OTHER_METHODS = ("gssapiauthentication", "kerberosauthentication", "hostbasedauthentication")


def _may_be_on(sshd: Sshd, name: str, account: Account, *, default: bool) -> bool:
    values = _values(sshd, name, account)
    if any(value.text.lower() == "yes" for value in values):
        return True
    return default and not any(value.certain for value in values)


def _other_sources(sshd: Sshd, account: Account) -> bool:
    """True where keys come from a program or an authority as well, which nothing here can tell."""
    command = sshd.settings.text("authorizedkeyscommand", "none").lower() != "none"
    return command or bool(_values(sshd, "authorizedkeyscommand", account)) or _certificates(sshd, account)


def _certificates(sshd: Sshd, account: Account) -> bool:
    """True where a certificate may let the account in: there is an authority, and its principals."""
    named = sshd.settings.text("trustedusercakeys", "none")
    values = _values(sshd, "trustedusercakeys", account)
    if named.lower() == "none" and not values:
        return False
    path = values[0].text if values else named
    if path.startswith("/") and not _holds_something(sshd, guest_path(path)):
        return False
    if _values(sshd, "authorizedprincipalscommand", account):
        return True
    files = sshd.principals_files(account)
    return not files or any(_holds_something(sshd, file) for file in files)


def certificates_useless(sshd: Sshd) -> bool:
    """True where authorities are named, and no account can have a certificate that is taken."""
    named = sshd.settings.text("trustedusercakeys", "none").lower() != "none"
    return named and not any(_certificates(sshd, account) for account in sshd.accounts.login)


def _holds_something(sshd: Sshd, path: GuestPath) -> bool:
    """True for a file with something in it, and for one that cannot be looked at."""
    if sshd.system.unmounted_above(path):
        return True
    try:
        found = sshd.files.stat(path)
    except GuestReadError:
        return True
    return found is not None and found.is_file and found.size_bytes > 0


def _files(sshd: Sshd, account: Account) -> tuple[KeyFile | None, ...]:
    """The account's key files that are there; None for one that cannot be looked at."""
    found: list[KeyFile | None] = []
    for path in sshd.authorized_keys_files(account):
        file = None if sshd.system.unmounted_above(path) else sshd.key_file(path)
        if sshd.system.unmounted_above(path) or isinstance(file, Unreadable):
            found.append(None)
        elif file is not None:
            found.append(file)
    return tuple(found)


def _has_any_keys(sshd: Sshd, account: Account) -> bool:
    files = _files(sshd, account)
    return _other_sources(sshd, account) or any(f is None or f.keys.keys or f.keys.unread for f in files)


def revoked_list_missing(sshd: Sshd) -> bool:
    """True where RevokedKeys names a file that is not there: no key of anybody is taken then."""
    line = sshd.settings.first("revokedkeys")
    named = line.args[0] if line is not None and line.args else ""
    if not named.startswith("/") or sshd.system.unmounted_above(guest_path(named)):
        return False
    found = sshd.files.stat(guest_path(named))
    return found is None or not found.is_file


def _has_keys(sshd: Sshd, account: Account, now: dt.datetime) -> bool:
    if revoked_list_missing(sshd):
        return False
    if _other_sources(sshd, account):
        return True
    return any(file is None or usable_keys(sshd, account, file, now) for file in _files(sshd, account))


def useless_files(sshd: Sshd, account: Account, now: dt.datetime) -> tuple[KeyFile, ...]:
    """The account's files that are meant to hold keys and hold none that lets anybody in."""
    return tuple(
        file
        for file in _files(sshd, account)
        if file is not None
        and (file.keys.keys or file.keys.unread)
        and not usable_keys(sshd, account, file, now)
    )


def usable_keys(sshd: Sshd, account: Account, file: KeyFile, now: dt.datetime) -> tuple[KeyLine, ...]:
    """The lines of a file that let somebody in."""
    return tuple(line for line in file.keys.keys if not refusal(sshd, account, line, now))


def refusal(sshd: Sshd, account: Account, line: KeyLine, now: dt.datetime) -> str:
    """Why a key that sshd reads lets nobody in, "" where it may."""
    if line.key is None:
        return line.reason
    if line.expires is not None and line.expires + ONE_DAY < now:
        return f"the key ended on {line.expires:%Y-%m-%d}"
    return sshd.key_policy.refusal_of_user_key(
        line.key,
        _values(sshd, "pubkeyacceptedalgorithms", account),
        (*_values(sshd, "requiredrsasize", account), *_values(sshd, "rsaminsize", account)),
    )


def _password_possible(sshd: Sshd, account: Account) -> bool:
    password = _may_be_on(sshd, "passwordauthentication", account, default=True)
    interactive = _may_be_on(sshd, "kbdinteractiveauthentication", account, default=True)
    if not password and not interactive:
        return False
    if account.uid == 0 and not _root_may_use_password(sshd, account):
        return False
    if sshd.settings.is_on("usepam", default=False) and not _only_local_accounts(sshd):
        return True
    entry = sshd.accounts.shadow.get(account.name)
    secret = entry.password if entry is not None else account.entry.password
    empty_allowed = sshd.settings.is_on("permitemptypasswords", default=False)
    return (entry is not None and entry.has_usable_password) or (not secret and empty_allowed)


def _root_may_use_password(sshd: Sshd, account: Account) -> bool:
    values = _values(sshd, "permitrootlogin", account)
    texts = [value.text.lower() for value in values] or [default_of("permitrootlogin", sshd.server.release)]
    return "yes" in texts


def _only_local_accounts(sshd: Sshd) -> bool:
    """True when PAM asks nobody but /etc/shadow: then a locked password stays locked."""
    names = {
        call.module.module.rpartition("/")[2] for call, _ in sshd.pam_modules if call.module.type == "auth"
    }
    return not any(
        word in name for name in names for word in ("sss", "ldap", "krb5", "winbind", "radius", "google")
    )

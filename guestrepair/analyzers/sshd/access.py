"""Whether one account can possibly log in: access lists, PermitRootLogin, and a method that could succeed.

Everything that depends on where the login comes from, on other machines or on
what PAM asks counts as possible: only what is certain is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.errors import GuestReadError
from guestrepair.formats.sshd_config import match_list
from guestrepair.formats.sshd_config.algorithms import matches
from guestrepair.formats.sshd_config.settings import Value
from guestrepair.model import GuestPath, Subject
from guestrepair.system.accounts import Account
from guestrepair.system.sshd.sshd import Sshd

ROOT_PASSWORD_FORBIDDEN_SINCE = (7, 0)


@dataclass(frozen=True, slots=True)
class Access:
    """Possible or not; and if not, why, and the line that decides (None: a default)."""

    possible: bool
    reason: str = ""
    place: Subject | None = None


def access_of(sshd: Sshd, account: Account) -> Access:
    """Judge one account."""
    for judge in (_lists, _root, _methods):
        access = judge(sshd, account)
        if not access.possible:
            return access
    return Access(True)


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


def _methods(sshd: Sshd, account: Account) -> Access:
    """Some method must be left that could succeed: keys of the account, or a password that it has."""
    if sshd.settings.first("authenticationmethods") or _values(sshd, "authenticationmethods", account):
        return Access(True)  # combinations: left to the administrator
    if any(_may_be_on(sshd, name, account, default=False) for name in OTHER_METHODS):
        return Access(True)
    if _may_be_on(sshd, "pubkeyauthentication", account, default=True) and _has_keys(sshd, account):
        return Access(True)
    if not _password_possible(sshd, account):
        return Access(
            False, "no key that sshd would read, and no password login", _password_place(sshd, account)
        )
    return Access(True)


def _password_place(sshd: Sshd, account: Account) -> Subject | None:
    """The line that forbids the password; None where a default does."""
    names = ["passwordauthentication", *(["permitrootlogin"] if account.uid == 0 else [])]
    lines = [value for name in names for value in _values(sshd, name, account)]
    return next((_place(value) for value in lines if value.text.lower() != "yes"), None)


def has_credentials(sshd: Sshd, account: Account) -> bool:
    """True when there is a key or a password at all: an image that waits for its first boot has neither."""
    entry = sshd.accounts.shadow.get(account.name)
    return _has_keys(sshd, account) or (entry is not None and entry.has_usable_password)


OTHER_METHODS = ("gssapiauthentication", "kerberosauthentication", "hostbasedauthentication")


def _may_be_on(sshd: Sshd, name: str, account: Account, *, default: bool) -> bool:
    values = _values(sshd, name, account)
    if any(value.text.lower() == "yes" for value in values):
        return True
    return default and not any(value.certain for value in values)


def _has_keys(sshd: Sshd, account: Account) -> bool:
    command = sshd.settings.text("authorizedkeyscommand", "none").lower() != "none"
    certificates = sshd.settings.text("trustedusercakeys", "none").lower() != "none"
    if command or certificates or _values(sshd, "authorizedkeyscommand", account):
        return True
    for path in sshd.authorized_keys_files(account):
        if sshd.system.unmounted_above(path):
            return True
        try:
            found = sshd.files.stat(path)
        except GuestReadError:
            return True
        if found is not None and found.is_file and found.size_bytes:
            return True
    return False


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
    default = "yes" if sshd.server.release < ROOT_PASSWORD_FORBIDDEN_SINCE else "prohibit-password"
    texts = [value.text.lower() for value in values] or [default]
    return "yes" in texts


def _only_local_accounts(sshd: Sshd) -> bool:
    """True when PAM asks nobody but /etc/shadow: then a locked password stays locked."""
    names = {
        call.module.module.rpartition("/")[2] for call, _ in sshd.pam_modules if call.module.type == "auth"
    }
    return not any(
        word in name for name in names for word in ("sss", "ldap", "krb5", "winbind", "radius", "google")
    )

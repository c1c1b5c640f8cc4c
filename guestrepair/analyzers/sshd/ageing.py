"""Accounts that are over: expired, their password aged out, or to be changed by somebody who has none.

A key does not help: pam_unix is asked about the account after any way of logging in, and without PAM sshd
itself looks. Only what is certain by a day, and by the order of PAM's modules, counts.

Sources: shadow(5); Linux-PAM modules/pam_unix/passverify.c, check_shadow_expiry(); OpenSSH auth.c
allowed_user(), auth-shadow.c, session.c do_pwchange().
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from guestrepair.formats.passwd import ShadowEntry
from guestrepair.system.accounts import Account, Ageing
from guestrepair.system.pam_flow import base_name, ends_well
from guestrepair.system.sshd.sshd import Sshd

EXPIRES_FIELD, MAXIMUM_FIELD = 8, 5
_LOCK = "!"
_IS_OVER = frozenset({"acct_expired", "authtok_expired", "new_authtok_reqd"})
"""What pam_unix answers of an account that is over, by the reason."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Why an account is over, its line of shadow, and the field (from 1) that says so (0: it is locked)."""

    reason: str
    entry: ShadowEntry
    field: int

    @property
    def is_lock(self) -> bool:
        """True where the password field locks it."""
        return not self.field


def ended(sshd: Sshd, account: Account, now: dt.datetime) -> Ended | None:
    """Why nobody logs in to that account any more; None where somebody may."""
    entry = sshd.accounts.shadow.get(account.name)
    if entry is None:
        return None
    today = now.astimezone(dt.UTC).date()
    uses_pam = sshd.pam_stack is not None
    if not uses_pam and entry.password.startswith(_LOCK):
        return Ended("the password is locked with ! and UsePAM is no: sshd refuses the account", entry, 0)
    if uses_pam and not _asks_about_accounts(sshd):
        return None
    ageing = Ageing.of(entry)
    if ageing.has_expired(today, by_pam=uses_pam):
        return Ended(f"the account expired on {ageing.expires}", entry, EXPIRES_FIELD)
    return _password(account, entry, ageing, today) if uses_pam else None


def _password(account: Account, entry: ShadowEntry, ageing: Ageing, today: dt.date) -> Ended | None:
    answer = ageing.pam_answer(today)
    if answer == "authtok_expired":
        return Ended(
            f"the password expired and was not changed by {ageing.locked_from}", entry, MAXIMUM_FIELD
        )
    if answer != "new_authtok_reqd" or account.uid == 0 or entry.has_usable_password:
        return None  # who logs in is asked for a new one
    if ageing.must_change:
        return Ended("the password has to be changed at once, and there is none to log in with", entry, 3)
    reason = f"the password expired on {ageing.password_expires}, and there is none that could be changed"
    return Ended(reason, entry, MAXIMUM_FIELD)


def _asks_about_accounts(sshd: Sshd) -> bool:
    """True where PAM's account stack cannot end well once its pam_unix says that the account is over."""
    steps = sshd.pam_stack.steps_of("account") if sshd.pam_stack is not None else []
    asked = [index for index, step in enumerate(steps) if base_name(step) == "pam_unix"]
    pam, service = sshd.system.pam, sshd.pam_service
    return bool(asked) and (
        ends_well(pam, service, steps, {})
        and not ends_well(pam, service, steps, dict.fromkeys(asked, _IS_OVER))
    )

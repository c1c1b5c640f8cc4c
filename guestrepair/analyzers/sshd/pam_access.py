"""Whom PAM's own lists shut out, wherever they come from: pam_access, pam_listfile, pam_shells, pam_time.

The account stack is asked after every way of logging in, the auth stack for passwords alone. A module counts
where libpam's own walk (:mod:`guestrepair.system.pam_flow`) cannot end well any more once it says no.

Sources: pam_access(8), access.conf(5), pam_listfile(8), pam_shells(8), pam_time(8), time.conf(5), pam.d(5).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass

from guestrepair.formats.pam import PamModule
from guestrepair.model import GuestPath, Subject
from guestrepair.system import pam_flow
from guestrepair.system.accounts import Account
from guestrepair.system.login_rules import ACCESS, SHELLS, TIMES
from guestrepair.system.pam_flow import base_name
from guestrepair.system.sshd.sshd import Sshd

_NEVER = "!Al0000-2400"
_NO = frozenset({"perm_denied", "auth_err"})
"""What these modules answer to whom they turn away, each one of the two."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why PAM turns an account away, and the line or file that says so."""

    reason: str
    place: Subject


def denial(sshd: Sshd, account: Account, kind: str) -> Denial | None:
    """What certainly turns the account away in a stack of sshd's PAM service; None where nothing does.

    A module that says no counts where no answers of the others let the stack end well all the same.
    """
    steps = sshd.pam_stack.steps_of(kind) if sshd.pam_stack is not None else []
    refused: dict[int, Denial] = {}
    for index, step in enumerate(steps):
        judge = _JUDGES.get(base_name(step))
        found = judge(sshd, account, step.module) if judge is not None and step.module is not None else None
        if found is not None:
            refused[index] = found
    if not refused:
        return None

    def ends_well(*refusing: int) -> bool:
        saying = dict.fromkeys(refusing, _NO)
        return pam_flow.ends_well(sshd.system.pam, sshd.pam_service, steps, saying)

    if not ends_well() or ends_well(*refused):
        return None
    return refused[next((index for index in refused if not ends_well(index)), min(refused))]


def _argument(module: PamModule, name: str) -> str | None:
    values = (word.partition("=")[2] for word in module.arguments if word.startswith(f"{name}="))
    return next(values, None)


# --- pam_access -----------------------------------------------------------------------


def _access(sshd: Sshd, account: Account, module: PamModule) -> Denial | None:
    rules_of = sshd.system.login_rules
    if any(word.startswith(("fieldsep=", "listsep=")) for word in module.arguments):
        return None
    path = GuestPath(_argument(module, "accessfile") or rules_of.place(ACCESS))
    if path == ACCESS and sshd.files.glob(ACCESS.parent / "access.d", "*.conf"):
        return None  # read first by newer releases
    plain = "nodefgroup" not in module.arguments
    for rule in rules_of.access(path) or ():
        user = _matches(rule.users, account, groups=plain)
        if user is False:
            continue
        everywhere = rule.origins[:1] == ("ALL",) and len(rule.origins) == 1
        if rule.permits or user is None:
            return None
        if everywhere:
            return Denial(f"pam_access: {path} line {rule.line} lets it in from nowhere",
                          Subject.of_line(path, rule.line))  # fmt: skip
    return None


def _matches(words: tuple[str, ...], account: Account, *, groups: bool) -> bool | None:
    """Whether a list of access.conf has the account in it; None where that cannot be told."""
    if "EXCEPT" in words:
        at = words.index("EXCEPT")
        inside = _matches(words[:at], account, groups=groups)
        outside = _matches(words[at + 1 :], account, groups=groups)
        if inside is False or outside is True:
            return False
        return None if inside is None or outside is None else True
    answer: bool | None = False
    for word in words:
        if word in ("ALL", account.name) or (word == f"({word[1:-1]})" and word[1:-1] in account.groups):
            return True
        if groups and word in account.groups:
            return True
        if "@" in word or word.startswith(("#", "+")):
            answer = None
    return answer


# --- the others -----------------------------------------------------------------------


def _listfile(sshd: Sshd, account: Account, module: PamModule) -> Denial | None:
    item, sense, file = (_argument(module, name) for name in ("item", "sense", "file"))
    held = {"user": {account.name}, "group": set(account.groups), "shell": {str(account.shell)}}.get(
        item or ""
    )
    if held is None or not file or not file.startswith("/") or _argument(module, "apply") is not None:
        return None
    path = GuestPath(file)
    listed = sshd.system.login_rules.names(path)
    if listed is None:
        fails = _argument(module, "onerr") == "fail"
        return Denial(f"pam_listfile: {path} is not there", Subject.of_path(path)) if fails else None
    inside = not held.isdisjoint(listed)
    if (sense == "allow" and not inside) or (sense == "deny" and inside):
        word = "lists it" if inside else "does not list it"
        return Denial(f"pam_listfile: {path} {word}", Subject.of_path(path))
    return None


def _shells(sshd: Sshd, account: Account, _module: PamModule) -> Denial | None:
    path = sshd.system.login_rules.place(SHELLS)
    listed = sshd.system.login_rules.names(path)
    if listed is not None and str(account.shell) not in listed:
        return Denial(f"pam_shells: {path} does not list its shell {account.shell}", Subject.of_path(path))
    return None


def _time(sshd: Sshd, account: Account, module: PamModule) -> Denial | None:
    path = GuestPath(_argument(module, "conffile") or sshd.system.login_rules.place(TIMES))
    for rule in sshd.system.login_rules.times(path) or ():
        applies = _named(rule.services, sshd.pam_service) and _named(rule.terminals, "ssh")
        if applies and _named(rule.users, account.name) and rule.times == _NEVER:
            return Denial(f"pam_time: {path} line {rule.line} lets it in at no time",
                          Subject.of_line(path, rule.line))  # fmt: skip
    return None


def _named(expression: str, name: str) -> bool:
    """True for a list of names and patterns without any other operator than ``|``."""
    if set(expression) & set("&!@"):
        return False
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in expression.split("|"))


_JUDGES: dict[str, Callable[[Sshd, Account, PamModule], Denial | None]] = {
    "pam_access": _access,
    "pam_listfile": _listfile,
    "pam_shells": _shells,
    "pam_time": _time,
}

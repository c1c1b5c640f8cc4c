"""The control of a line of pam.d: what becomes of the stack for each value that a module can return.

Sources: pam.d(5); Linux-PAM ``libpam/pam_misc.c`` _pam_parse_control(), ``libpam/pam_tokens.h``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

RETURNS = (
    "success", "open_err", "symbol_err", "service_err", "system_err", "buf_err", "perm_denied", "auth_err",
    "cred_insufficient", "authinfo_unavail", "user_unknown", "maxtries", "new_authtok_reqd", "acct_expired",
    "session_err", "cred_unavail", "cred_expired", "cred_err", "no_module_data", "conv_err", "authtok_err",
    "authtok_recover_err", "authtok_lock_busy", "authtok_disable_aging", "try_again", "ignore", "abort",
    "authtok_expired", "module_unknown", "bad_item", "conv_again", "incomplete",
)  # fmt: skip
"""The names of return values, in the order of their numbers."""

ACTIONS = ("ignore", "ok", "done", "bad", "die", "reset")
MAX_JUMP = 2**31 - 1

Action: TypeAlias = str | int
"""One of ACTIONS, or how many lines are jumped over."""

Actions: TypeAlias = Mapping[str, Action]
"""What is done for each of RETURNS."""

_WORDS: Mapping[str, Mapping[str, Action]] = {
    "required": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"},
    "requisite": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "die"},
    "optional": {"success": "ok", "new_authtok_reqd": "ok", "default": "ignore"},
    "sufficient": {"success": "done", "new_authtok_reqd": "done", "default": "ignore"},
}
_BLANK = re.compile(r"\s*")
_NUMBER = re.compile(r"[0-9]+")


def parse_control(control: str) -> Actions:
    """The actions of a control: one word, or what stands between brackets.

    One that Linux-PAM cannot read is bad for every value, success too; never raises.
    """
    chosen = _WORDS.get(control)
    if chosen is None:
        chosen = _parse_pairs(control)
    if chosen is None:
        chosen = {"default": "bad"}
    default = chosen.get("default", "bad")
    return MappingProxyType({name: chosen.get(name, default) for name in RETURNS})


def _parse_pairs(text: str) -> dict[str, Action] | None:
    """``value=action`` pairs; None where one is none. Names are told by their beginning, as PAM does."""
    found: dict[str, Action] = {}
    at = _skip(text, 0)
    while at < len(text):
        name = next((n for n in (*RETURNS, "default") if text.startswith(n, at)), None)
        if name is None:
            return None
        at = _skip(text, at + len(name))
        if not text.startswith("=", at):
            return None
        at = _skip(text, at + 1)
        word = next((a for a in ACTIONS if text.startswith(a, at)), None)
        number = _NUMBER.match(text, at)
        if word is not None:
            action: Action = word
            at += len(word)
        elif number is not None and len(number[0]) < 12 and 0 < int(number[0]) <= MAX_JUMP:
            action, at = int(number[0]), number.end()
        else:
            return None
        if name != "default" or "default" not in found:  # a second default finds nothing left to set
            found[name] = action
        if name == "default":
            for each in RETURNS:
                found.setdefault(each, action)
        at = _skip(text, at)
    return found


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at

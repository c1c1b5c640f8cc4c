"""What the programs that change accounts and groups say: shadow's, Debian's adduser, systemd-sysusers.

Sources: shadow ``src/useradd.c`` and its like, ``lib/audit_help.c``.
"""

from __future__ import annotations

import re

from guestrepair.events.login_messages import Meaning, known, pam
from guestrepair.events.model import Kind

_BY = re.compile(r"password for '?(?P<user>[^\s']{1,256})'? changed by '?(?P<who>[^\s']{1,256})'?$")
_MEMBER = re.compile(
    r"user (?P<user>\S{1,256}) (?P<what>added|removed) by (?P<who>\S{1,256}) (?:to|from) group "
    r"(?P<group>\S{1,256})"
)
_ACTIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"new (?:user|account)\b"), "added"),
    (re.compile(r"new group\b|group added\b"), "group-added"),
    (re.compile(r"add '.{1,256}?' to (?:shadow )?group "), "member-added"),
    (re.compile(r"(?:delete|removed?) '.{1,256}?' from (?:shadow )?group "), "member-removed"),
    (re.compile(r"delete user "), "removed"),
    (re.compile(r"removed? (?:shadow )?group|group '.{1,256}?' removed"), "group-removed"),
    (re.compile(r"lock user "), "locked"),
    (re.compile(r"unlock user "), "unlocked"),
    (re.compile(r"change user '.{1,256}?' password"), "password"),
    (re.compile(r"changed? (?:user|group) |changed .{1,64} for |change in "), "changed"),
)
_QUOTED = re.compile(r"[`']([^']{1,256})'")
_NAME = re.compile(r"name=(?P<name>[^\s,']{1,256})")
_PLAIN = re.compile(r"for (?P<name>[\w.$-]{1,256})$")
_MAX = 16_384


def account(message: str) -> Meaning | None:
    """useradd and its like; what they do that is not known here is a change all the same."""
    message = message[:_MAX]
    if message.startswith("pam_"):
        return pam(message)
    if found := _BY.match(message):
        return _done("password", found["user"], who=found["who"])
    action = next((action for pattern, action in _ACTIONS if pattern.match(message)), "")
    quoted = [found[1] for found in _QUOTED.finditer(message)][:2]
    named = _NAME.search(message) or _PLAIN.search(message[-300:])
    user = quoted[0] if quoted else named["name"] if named else ""
    group = quoted[1] if action.startswith("member-") and len(quoted) > 1 else ""
    return _done(action, user, group=group)


def gpasswd(message: str) -> Meaning:
    """gpasswd: members of groups, and who changed them."""
    if found := _MEMBER.match(message):
        return _done(f"member-{found['what']}", found["user"], who=found["who"], group=found["group"])
    by = re.search(r"\bby (?P<who>[\w.$-]+)(?: to group | from group |$)", message[:_MAX])
    user = re.search(r"\b(?:user|member) (?P<name>[\w.$-]+)", message[:_MAX])
    return _done("", user["name"] if user else "", who=by["who"] if by else "")


def _done(action: str, user: str, *, who: str = "", group: str = "") -> Meaning:
    return Meaning(Kind.ACCOUNT, known(("action", action), ("user", user), ("group", group)), who or None)

"""What a line that a program logged means: a login, a command, an account, a service, a boot.

The same for text logs and for the journal. The texts are those of the programs' own sources: OpenSSH's
auth.c and session.c, sudo's logging.c, Linux-PAM's pam_unix, shadow's audit calls, systemd's manager and
logind, cron's log_it(). Who can write to a log can write such lines, too: a meaning is what a record says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from guestrepair.events import messages_system as system_messages
from guestrepair.events.meaning import Meaning, matched
from guestrepair.events.model import Kind

__all__ = ["MAX_TEXT", "Meaning", "base_name", "meaning"]

MAX_TEXT = 16_384
"""Characters of a line that are looked at; of a longer one, the rest is passed over."""

_PAM = re.compile(r"pam_\w{1,32}\(([\w.@:-]{1,64}?):(\w{1,16})\): ")
_OPENED = re.compile(r"session opened for user (\S{1,256}?)(?:\(uid=\d{1,10}\))?(?: by (\S{0,256}))?(?:\s|$)")
_CLOSED = re.compile(r"session closed for user (\S{1,256})")
_PAM_FIELD = re.compile(r"\b(user|ruser|rhost|tty|logname)=(\S{0,256})")
_CHANGED = re.compile(r"password changed for (\S{1,256})")
_NO_PERSON = frozenset({"sudo", "sudo-i", "su", "su-l", "cron", "crond", "atd", "systemd-user", "runuser",
                        "runuser-l", "polkit-1", "polkit", "runas"})  # fmt: skip
"""Services of PAM whose sessions are no logins: somebody who is in already, or nobody."""


def meaning(program: str, text: str) -> Meaning | None:
    """What a line means; None where it is only a line of a log.

    ``program`` is the name that it was logged under, with or without a path or a process id.
    """
    name = base_name(program)
    text = text[:MAX_TEXT].strip()
    if pam := _PAM.match(text):
        return _of_pam(pam.group(1), pam.group(2), text[pam.end() :], text)
    parse = _PROGRAMS.get(name)
    return None if parse is None else parse(text)


def base_name(program: str) -> str:
    """``/usr/sbin/CRON[123]`` as ``cron``."""
    name = program.strip()[:256].rpartition("/")[2].partition("[")[0]
    return name.strip("() :").lower()


# --- PAM ------------------------------------------------------------------------------


def _of_pam(service: str, part: str, said: str, text: str) -> Meaning | None:
    if part == "session":
        return _pam_session(service.lower(), said)
    if part == "chauthtok" and (found := _CHANGED.match(said)):
        account = found.group(1)
        return _account(f"password of {account} changed", "password", account)
    if part in {"auth", "account"} and "fail" in said.partition(";")[0]:
        return _pam_failure(service.lower(), said, text)
    return None


def _pam_session(service: str, said: str) -> Meaning | None:
    """A session's begin and end; sshd's begin is its "Accepted", which also says from where and with what."""
    if found := _OPENED.match(said):
        who, by = found.group(1), (found.group(2) or "").partition("(")[0]
        if service in _NO_PERSON:
            detail = matched(action="session", service=service, account=who, by=by)
            return Meaning(Kind.LOG, by or None, f"{service}: session opened for {who}", detail=detail)
        action = "session" if service in {"sshd", "sshd-session"} else "login"
        detail = matched(action=action, service=service)
        return Meaning(Kind.LOGIN, who, f"{service}: {who} logged in", detail=detail)
    if found := _CLOSED.match(said):
        who = found.group(1).partition("(")[0]
        if service in _NO_PERSON:
            detail = matched(action="session-end", service=service, account=who)
            return Meaning(Kind.LOG, None, f"{service}: session of {who} ended", detail=detail)
        detail = matched(action="logout", service=service)
        return Meaning(Kind.LOGIN, who, f"{service}: {who} logged out", detail=detail)
    return None


def _pam_failure(service: str, said: str, text: str) -> Meaning:
    fields: dict[str, str] = dict(_PAM_FIELD.findall(said))
    detail = {"action": "failed", "service": service, "account": fields.get("user", "")}
    detail |= {"from": fields.get("rhost", ""), "line": fields.get("tty", "")}
    return Meaning(Kind.LOGIN, fields.get("ruser") or None, text, detail=matched(**detail))


# --- sshd -----------------------------------------------------------------------------

_ACCEPTED = re.compile(
    r"Accepted (\S{1,64}) for (\S{1,256}) from (\S{1,256}) port (\d{1,5})(?: ssh\d)?(?:: (.*))?$", re.DOTALL
)
_KEY = re.compile(r"(?:(\S{1,64}) )?((?:SHA256|MD5):\S{1,128})")
_FAILED = re.compile(
    r"Failed (\S{1,64}) for (invalid user )?(.{0,256}?) from (\S{1,256}) port (\d{1,5})(?: |$)"
)
_INVALID = re.compile(r"Invalid user (.{0,256}?) from (\S{1,256})(?: port (\d{1,5}))?$")
_DENIED = re.compile(r"User (\S{1,256}) (?:from (\S{1,256}) )?not allowed because ")
_GONE = re.compile(r"(?:Disconnected from|Connection closed by) (?:(authenticating|invalid) )?user "
                   r"(\S{0,256}) (\S{1,256}) port (\d{1,5})")  # fmt: skip
_LISTENING = re.compile(r"Server listening on (\S{1,256}) port (\d{1,5})")


def _sshd(text: str) -> Meaning | None:
    if found := _ACCEPTED.match(text):
        method, who, host, port, rest = found.groups()
        key = _KEY.match(rest or "")
        detail = {"action": "login", "from": host, "port": port, "method": method}
        detail |= {"key": key.group(2), "key_type": key.group(1) or ""} if key else {}
        what = f"ssh login of {who} from {host} by {method}" + (f" {key.group(2)}" if key else "")
        return Meaning(Kind.LOGIN, who, what, detail=matched(**detail))
    return _sshd_refused(text) or _sshd_other(text)


def _sshd_refused(text: str) -> Meaning | None:
    if found := _FAILED.match(text):
        method, invalid, who, host, port = found.groups()
        return _failed(text, who, host, port, method=method, unknown="yes" if invalid else "")
    if found := _INVALID.match(text):
        return _failed(text, found.group(1), found.group(2), found.group(3) or "", unknown="yes")
    if found := _DENIED.match(text):
        return _failed(text, found.group(1), found.group(2) or "", "")
    return None


def _failed(text: str, account: str, host: str, port: str, **more: str) -> Meaning:
    detail = {"action": "failed", "account": account, "from": host, "port": port, **more}
    return Meaning(Kind.LOGIN, None, text, detail=matched(**detail))


def _sshd_other(text: str) -> Meaning | None:
    if found := _GONE.match(text):
        stage, who, host, port = found.groups()
        detail = {"action": "failed" if stage else "disconnected", "from": host, "port": port}
        detail["account"] = who
        return Meaning(Kind.LOGIN, None if stage else who or None, text, detail=matched(**detail))
    if found := _LISTENING.match(text):
        detail = {"action": "started", "unit": "sshd", "address": found.group(1), "port": found.group(2)}
        return Meaning(Kind.SERVICE, None, text, detail=matched(**detail))
    if text.startswith("Received signal 15; terminating"):
        return Meaning(Kind.SERVICE, None, text, detail=matched(action="stopped", unit="sshd"))
    return None


# --- login, sudo, su ------------------------------------------------------------------

_LOGIN_FAILED = re.compile(
    r"FAILED LOGIN (?:SESSION )?(?:\(?\d{1,5}\)? )?(?:on|FROM) '?(\S{1,128}?)'? FOR '?(.{0,256}?)'?,"
)
_LOGIN_ON = re.compile(
    r"(?:ROOT LOGIN|LOGIN)\s{1,4}ON '?(\S{1,128}?)'?(?: BY (\S{1,256}))?(?: FROM (\S{1,256}))?$",
    re.IGNORECASE,
)
_SU = re.compile(r"(FAILED SU )?\(to (\S{1,256})\) (\S{1,256}) on (\S{1,128})")
_SU_OLD = re.compile(r"(Successful|FAILED) su for (\S{1,256}) by (\S{1,256})", re.IGNORECASE)
_SU_SIGN = re.compile(r"([+-]) (\S{1,128}) (\S{1,256}?)[:-](\S{1,256})$")
_SUDO_FIELD = re.compile(r"(TTY|PWD|USER|GROUP|HOST|CHROOT|TSID|ENV)=(.*)$", re.DOTALL)


def _login(text: str) -> Meaning | None:
    if found := _LOGIN_FAILED.match(text):
        detail = matched(action="failed", account=found.group(2), line=found.group(1))
        return Meaning(Kind.LOGIN, None, text, detail=detail)
    if found := _LOGIN_ON.match(text):
        line, who, host = found.groups()
        detail = matched(**{"action": "session", "line": line, "from": host or ""})
        return Meaning(Kind.LOGIN, who or "root", text, detail=detail)
    return None


def _sudo(text: str) -> Meaning | None:
    """``alice : [reason ;] TTY=… ; PWD=… ; USER=… ; COMMAND=…``: the command is all that follows."""
    who, colon, rest = text.partition(" : ")
    if not colon or " " in who or not who:
        return None
    before, has_command, command = rest.partition("COMMAND=")
    if not has_command:
        return None
    fields: dict[str, str] = {}
    reasons: list[str] = []
    for part in before.split(" ; ")[:64]:
        if found := _SUDO_FIELD.match(part.strip()):
            fields.setdefault(found.group(1), found.group(2))
        elif part.strip(" ;"):
            reasons.append(part.strip(" ;"))
    detail = {"record": "sudo", "tty": fields.get("TTY", ""), "pwd": fields.get("PWD", "")}
    detail |= {"user": fields.get("USER", ""), "group": fields.get("GROUP", "")}
    if reasons:  # it was not run
        detail |= {"action": "refused", "reason": reasons[0], "command": command}
        message = f"sudo refused: {who}: {reasons[0]}: {command}"
        return Meaning(Kind.LOGIN, who, message, detail=matched(**detail))
    other = "" if detail["user"] in {"", "root"} else f"-u {detail['user']} "
    return Meaning(Kind.COMMAND, who, f"sudo {other}{command}", detail=matched(**detail))


def _su(text: str) -> Meaning | None:
    if found := _SU.match(text):
        failed, to, who, line = bool(found.group(1)), found.group(2), found.group(3), found.group(4)
    elif found := _SU_OLD.match(text):
        failed, to, who, line = found.group(1).lower() == "failed", found.group(2), found.group(3), ""
    elif found := _SU_SIGN.match(text):
        failed, to, who, line = found.group(1) == "-", found.group(4), found.group(3), found.group(2)
    else:
        return None
    action = "failed" if failed else "switch"
    detail = matched(action=action, record="su", account=to, line=line)
    said = f"su: {who} {'failed to become' if failed else 'became'} {to}"
    return Meaning(Kind.LOGIN, who, said, detail=detail)


# --- accounts -------------------------------------------------------------------------

_NAME = re.compile(r"name=([^,\s]{1,256})")
_QUOTED = re.compile(r"(?:'([^']{1,256})'|`([^']{1,256})')")
_ACCOUNTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"new (?:user|account)\b"), "added"),
    (re.compile(r"(?:new group|group added)\b"), "group-added"),
    (re.compile(r"add '.{1,256}?' to (?:shadow )?group "), "member-added"),
    (re.compile(r"(?:delete|remove)d? '.{1,256}?' from (?:shadow )?group "), "member-removed"),
    (re.compile(r"delete user "), "removed"),
    (re.compile(r"(?:removed? (?:shadow )?group|group '.{1,256}?' removed|removed group)"), "group-removed"),
    (re.compile(r"lock user "), "locked"),
    (re.compile(r"unlock user "), "unlocked"),
    (re.compile(r"change user '.{1,256}?' password"), "password"),
    (re.compile(r"(?:change|changed) (?:user|group) |changed .{1,64} for |change in "), "changed"),
)
_BY = re.compile(r"password for '?(\S{1,256}?)'? changed by '?(\S{1,256}?)'?$")
_GPASSWD = re.compile(r"user (\S{1,256}) (added|removed) by (\S{1,256}) (?:to|from) group (\S{1,256})")
_EXPIRY = re.compile(r"changed (?:password expiry|.{1,64}?) (?:for|of user) '?(\S{1,256}?)'?$")


def _shadow(text: str) -> Meaning | None:
    if found := _BY.match(text):
        return _account(text, "password", found.group(1), by=found.group(2))
    if found := _GPASSWD.match(text):
        account, what, by, group = found.groups()
        return _account(text, f"member-{what}", account, by=by, group=group)
    for pattern, action in _ACCOUNTS:
        if pattern.match(text):
            quoted = [a or b for a, b in _QUOTED.findall(text)]
            named = _NAME.search(text) or _EXPIRY.match(text)
            account = quoted[0] if quoted else named.group(1) if named else ""
            group = quoted[1] if action.startswith("member-") and len(quoted) > 1 else ""
            return _account(text, action, account, group=group)
    return None


def _account(message: str, action: str, account: str, *, by: str = "", group: str = "") -> Meaning:
    detail = matched(action=action, account=account, group=group)
    return Meaning(Kind.ACCOUNT, by or None, message, detail=detail)


_SHADOW_PROGRAMS = (
    "useradd", "usermod", "userdel", "passwd", "chage", "groupadd", "groupmod", "groupdel", "gpasswd",
    "chpasswd", "newusers", "chsh", "chfn", "adduser", "deluser", "groupmems", "pwconv", "vipw",
    "systemd-sysusers",
)  # fmt: skip
_PROGRAMS: Mapping[str, Callable[[str], Meaning | None]] = {
    "sshd": _sshd,
    "sshd-session": _sshd,
    "sshd-auth": _sshd,
    "login": _login,
    "sudo": _sudo,
    "sudoedit": _sudo,
    "su": _su,
    **dict.fromkeys(_SHADOW_PROGRAMS, _shadow),
    **system_messages.PROGRAMS,
}

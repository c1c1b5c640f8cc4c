"""What programs that let people in say: sshd, dropbear, login, systemd-logind, and PAM in any program.

Names in messages are what somebody typed: where a message repeats what a stranger sent, it is read from its
end.

Sources: OpenSSH ``auth.c``, ``auth2.c``, ``packet.c``; dropbear ``svr-auth.c``; Linux-PAM ``pam_unix``;
util-linux ``login``; systemd ``logind-session.c``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from guestrepair.events.model import LOG, LOGIN, Kind

Details = tuple[tuple[str, str], ...]
MAX_VALUE = 4096


class Meaning(NamedTuple):
    """What is made of a message; ``message`` is what the event says ("": the message as it stands)."""

    kind: Kind
    details: Details = ()
    actor: str | None = None
    message: str = ""


def known(*pairs: tuple[str, str | None]) -> Details:
    """The facts that there are, each cut where it is too long."""
    return tuple(
        [(name, value if len(value) <= MAX_VALUE else value[:MAX_VALUE]) for name, value in pairs if value]
    )


_ACCEPTED = re.compile(
    r"Accepted (?P<method>\S+) for (?P<user>.*) from (?P<addr>\S+) port (?P<port>\d+)(?: ssh2?)?"
    r"(?:: (?P<type>\S+) (?P<key>(?:SHA256:|MD5:)?\S+))?(?P<more>.*)",
    re.DOTALL,
)
_FAILED = re.compile(
    r"Failed (?P<method>\S+) for (?P<invalid>invalid user )?(?P<user>.*) from (?P<addr>\S+) "
    r"port (?P<port>\d+)(?: ssh2?)?(?:: (?P<type>\S+) (?P<key>(?:SHA256:|MD5:)?\S+))?",
    re.DOTALL,
)
_INVALID = re.compile(
    r"(?:Invalid user|Illegal user) (?P<user>.*) from (?P<addr>\S+)(?: port (?P<port>\d+))?", re.DOTALL
)
_ENDED = re.compile(r"Disconnected from user (?P<user>.*) (?P<addr>\S+) port (?P<port>\d+)", re.DOTALL)
_REFUSED = re.compile(
    r"(?:error: )?(?:maximum authentication attempts exceeded for (?:invalid user )?|User )(?P<user>.*)"
    r" from (?P<addr>\S+)(?: port (?P<port>\d+) ssh2)?(?: \[preauth\]| not allowed because (?P<reason>.*))",
    re.DOTALL,
)
_REFUSED_HERE = re.compile(
    r"User (?P<user>\S+)(?P<addr>)(?P<port>) not allowed because (?P<reason>.*)", re.DOTALL
)

_LEFT = re.compile(
    r"Connection (?:closed|reset) by (?P<what>authenticating|invalid) user (?P<user>.*) (?P<addr>\S+) "
    r"port (?P<port>\d+)(?: \[preauth\])?$",
    re.DOTALL,
)
_LISTENS = re.compile(r"Server listening on (?P<addr>\S{1,256}) port (?P<port>\d{1,5})")


def sshd(message: str) -> Meaning | None:
    """OpenSSH's server, whichever of its programs speaks."""
    first = message[:1]
    if first == "A" and (found := _ACCEPTED.match(message)):
        certificate = found["more"].strip() if found["more"].startswith(" ID ") else ""
        return Meaning(
            LOGIN,
            known(
                ("action", "login"),
                ("from", found["addr"]),
                ("port", found["port"]),
                ("method", found["method"]),
                ("key", found["key"]),
                ("key_type", found["type"]),
                ("certificate", certificate),
            ),
            found["user"],
        )
    if first == "F" and (found := _FAILED.match(message)):
        details = known(
            ("action", "failed"),
            ("from", found["addr"]),
            ("port", found["port"]),
            ("method", found["method"]),
            ("user", found["user"]),
            ("key", found["key"]),
            ("invalid_user", "yes" if found["invalid"] else ""),
        )
        return Meaning(LOGIN, details)  # nobody has come in: the name is what was tried
    if first == "p":
        return pam(message)
    if first == "I" and (found := _INVALID.match(message)):
        return _sshd_failed(found, invalid=True)
    if first == "D" and (found := _ENDED.match(message)):
        details = known(("action", "logout"), ("from", found["addr"]), ("port", found["port"]))
        return Meaning(LOGIN, details, found["user"])
    if first == "C" and (found := _LEFT.match(message)):
        return _sshd_failed(found, invalid=found["what"] == "invalid", reason="left before it was let in")
    if first in {"R", "S"}:
        return _sshd_itself(message)
    if first in {"e", "m", "U"} and (found := _REFUSED.match(message) or _REFUSED_HERE.match(message)):
        return _sshd_failed(found, invalid=False, reason=found["reason"] or "too many attempts")
    return None


_FAILURE, _UNKNOWN_USER = ("action", "failed"), ("invalid_user", "yes")


def _sshd_failed(found: re.Match[str], *, invalid: bool, reason: str = "") -> Meaning:
    """Who sits on the net writes most of a log with these: what is usual of them takes little time."""
    user, address, port = found.group("user", "addr", "port")
    if user and port and len(found.string) <= MAX_VALUE:
        usual = (_FAILURE, ("from", address), ("port", port), ("user", user))
        unknown = (*usual, _UNKNOWN_USER) if invalid else usual
        return Meaning(LOGIN, (*unknown, ("reason", reason)) if reason else unknown)
    details = known(
        _FAILURE, ("from", address), ("port", port), ("user", user),
        ("invalid_user", "yes" if invalid else ""), ("reason", reason),
    )  # fmt: skip
    return Meaning(LOGIN, details)


def _sshd_itself(message: str) -> Meaning | None:
    if found := _LISTENS.match(message):
        details = (
            ("action", "started"),
            ("unit", "sshd"),
            ("address", found["addr"]),
            ("port", found["port"]),
        )
        return Meaning(Kind.SERVICE, details)
    if message.startswith("Received signal 15; terminating"):
        return Meaning(Kind.SERVICE, (("action", "stopped"), ("unit", "sshd")))
    return None


_DROPBEAR = re.compile(
    r"(?P<what>\w+) auth succeeded for '(?P<user>[^']*)'(?: with \S+ key (?P<key>\S+(?: \S+)?))? from "
    r"(?P<addr>\S+):(?P<port>\d{1,5})"
)
_DROPBEAR_FAILED = re.compile(
    r"(?:Bad password attempt for|Login attempt for nonexistent user) ?'?(?P<user>[^']*?)'? from "
    r"(?P<addr>\S+):(?P<port>\d{1,5})"
)
_DROPBEAR_EXIT = re.compile(r"Exit \((?P<user>[^)]+)\)")


def dropbear(message: str) -> Meaning | None:
    """dropbear."""
    if found := _DROPBEAR.match(message):
        details = known(
            ("action", "login"), ("from", found["addr"]), ("port", found["port"]),
            ("method", found["what"].lower()), ("key", found["key"]),
        )  # fmt: skip
        return Meaning(LOGIN, details, found["user"])
    if found := _DROPBEAR_FAILED.match(message):
        return _sshd_failed(found, invalid="nonexistent" in message)
    if found := _DROPBEAR_EXIT.match(message):
        return Meaning(LOGIN, (("action", "logout"),), found["user"])
    return pam(message)


_PAM_SESSION = re.compile(
    r"pam_\w{1,20}\((?P<service>[\w.@-]{1,40}):session\): session (?P<what>opened|closed) for user "
    r"(?P<user>[^\s(]+)(?:\(uid=(?P<uid>\d+)\))?(?: by (?P<by>[^\s(]*)(?:\(uid=(?P<by_uid>\d+)\))?)?"
)
_PAM_FAILED = re.compile(
    r"pam_\w{1,20}\((?P<service>[\w.@-]{1,40}):auth\): authentication failure; (?P<fields>.*)", re.DOTALL
)
_PAM_PASSWORD = re.compile(
    r"pam_\w{1,20}\((?P<service>[\w.@-]{1,40}):chauthtok\): password changed for (?P<user>\S+)"
)
_FIELD = re.compile(r"\b(logname|ruser|rhost|user|tty)=(\S*)")
_LOGIN_SERVICES = (
    "login",
    "sshd",
    "remote",
    "gdm",
    "lightdm",
    "sddm",
    "xdm",
    "kdm",
    "lxdm",
    "cockpit",
    "xrdp",
)
"""How the names of those services of PAM begin that a person comes in by."""


def pam(message: str) -> Meaning | None:
    """PAM's modules, in the name of the program that uses them."""
    if found := _PAM_SESSION.match(message):
        return _pam_session(found)
    if found := _PAM_FAILED.match(message):
        fields = dict(_FIELD.findall(found["fields"]))
        user = fields.get("user", "")
        details = known(
            ("action", "failed"), ("service", found["service"]), ("user", user),
            ("from", fields.get("rhost")), ("tty", fields.get("tty")),
        )  # fmt: skip
        return Meaning(LOGIN, details, fields.get("ruser") or None)  # who asked, not who was asked for
    if found := _PAM_PASSWORD.match(message):
        return Meaning(Kind.ACCOUNT, known(("action", "password"), ("user", found["user"])))
    return None


def _pam_session(found: re.Match[str]) -> Meaning:
    service, opened = found["service"], found["what"] == "opened"
    by = found["by"] if found["by"] not in {None, "", "LOGIN"} else None
    if service.startswith(_LOGIN_SERVICES):
        details = known(("action", "login" if opened else "logout"), ("service", service))
        return Meaning(LOGIN, details, found["user"])
    # sudo, su, cron and systemd's own: who is at work is who called, where that is on record.
    details = known(
        ("action", "opened" if opened else "closed"), ("service", service), ("user", found["user"])
    )
    return Meaning(LOGIN if service in {"su", "su-l"} else LOG, details, by)


_LOGIN_ON = re.compile(
    r"(?:ROOT |DIALUP )?LOGIN {1,4}(?:ON|on) '?(?P<tty>[^\s']+)'?"
    r"(?: BY (?P<user>\S+))?(?: FROM (?P<addr>\S+))?"
)
_LOGIN_FAILED = re.compile(
    r"FAILED LOGIN (?:SESSION )?(?:\(?\d{1,5}\)? )?(?:on|ON|FROM) '?(?P<tty>[^\s',]{1,128})'?.{0,400}"
    r"\bFOR '?(?P<user>[^,']*)'?"
)


def login(message: str) -> Meaning | None:
    """login(1), at a terminal."""
    if found := _LOGIN_ON.match(message):
        user = found["user"] or ("root" if message.startswith("ROOT") else None)
        # PAM says of the same login when it ends; that is the one with a session.
        details = known(("action", "opened"), ("line", found["tty"]), ("from", found["addr"]))
        return Meaning(LOGIN, details, user)
    if found := _LOGIN_FAILED.match(message):
        return Meaning(LOGIN, known(("action", "failed"), ("user", found["user"]), ("line", found["tty"])))
    return pam(message)


_NEW_SESSION = re.compile(
    r"New session '?(?P<session>[^\s']+)'? of user '?(?P<user>[^\s']+?)'?"
    r"(?:\.| with class '(?P<class>[^\s']{1,64})'.*)?$"
)
_OLD_SESSION = re.compile(r"Removed session '?(?P<session>[^\s'.]+)'?\.?")
_GOING_DOWN = (
    "System is rebooting", "System is powering down", "System is halting", "The system will reboot now",
    "The system will power off now", "The system will halt now",
)  # fmt: skip


def logind(message: str) -> Meaning | None:
    """systemd-logind: sessions, and what it was asked to do with the machine."""
    if message.startswith("New ") and (found := _NEW_SESSION.match(message)):
        # Classes that are no person's: greeter, background (cron's), manager, lock-screen.
        person = (found["class"] or "user").startswith("user")
        action = "login" if person else "opened"
        details = known(("action", action), ("session", found["session"]), ("class", found["class"]))
        return Meaning(LOGIN, details, found["user"])
    if message.startswith("Rem") and (found := _OLD_SESSION.match(message)):
        return Meaning(LOGIN, (("action", "logout"), ("session", found["session"])))
    return Meaning(Kind.BOOT, (("action", "shutdown"),)) if message.startswith(_GOING_DOWN) else None

"""What a program's message says: a login, a command, a change of an account, a boot. The rest is a log line.

For text logs and the journal alike. Names in messages are what somebody typed: where a message repeats what a
stranger sent, it is read from its end.

Sources: OpenSSH ``auth.c``, ``auth2.c``, ``packet.c``; Linux-PAM ``pam_unix``; sudo ``lib/eventlog``;
util-linux and shadow ``su``, ``login``; shadow ``useradd`` and its like; systemd ``logind-session.c``; cronie
and vixie cron ``misc.c``; busybox ``crond.c``; OpenDoas ``doas.c``; polkit ``pkexec.c``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from guestrepair.events.model import Kind

Details = tuple[tuple[str, str], ...]
MAX_VALUE = 4096


class Meaning(NamedTuple):
    """What is made of a message; ``message`` is what the event says ("": the message as it stands)."""

    kind: Kind
    details: Details = ()
    actor: str | None = None
    message: str = ""


Reading = Callable[[str], Meaning | None]


def meaning(program: str, pid: str, message: str) -> Meaning | None:
    """What a message means beyond its text; None: it is a log line like others."""
    found = _PROGRAMS.get(program)
    if found is not None:
        return found(message)
    if program == "systemd":
        return _systemd(message) if pid in {"1", ""} else _pam(message)
    if message.startswith(("pam_", "(to ")):
        return _pam(message)
    return None


# --- logins ---------------------------------------------------------------------------

_FROM = r"(?: from (?P<addr>\S+))?(?: port (?P<port>\d{1,5}))?"
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
    r"(?:error: )?(?:maximum authentication attempts exceeded for (?:invalid user )?|User )(?P<user>.*?)"
    r"(?: from (?P<addr>\S+)(?: port (?P<port>\d+) ssh2)?)?"
    r"(?: \[preauth\]| not allowed because (?P<reason>.*))",
    re.DOTALL,
)


def _sshd(message: str) -> Meaning | None:
    first = message[:1]
    if first == "A" and (found := _ACCEPTED.match(message)):
        certificate = found["more"].strip() if found["more"].startswith(" ID ") else ""
        return Meaning(
            Kind.LOGIN,
            _known(
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
        details = _known(
            ("action", "failed"),
            ("from", found["addr"]),
            ("port", found["port"]),
            ("method", found["method"]),
            ("user", found["user"]),
            ("key", found["key"]),
            ("invalid_user", "yes" if found["invalid"] else ""),
        )
        return Meaning(Kind.LOGIN, details, None if found["invalid"] else found["user"])
    if first == "p":
        return _pam(message)
    if first == "I" and (found := _INVALID.match(message)):
        return _sshd_failed(found, invalid=True)
    if first == "D" and (found := _ENDED.match(message)):
        details = _known(("action", "logout"), ("from", found["addr"]), ("port", found["port"]))
        return Meaning(Kind.LOGIN, details, found["user"])
    if first in {"e", "m", "U"} and (found := _REFUSED.match(message)):
        return _sshd_failed(found, invalid=False, reason=found["reason"] or "too many attempts")
    return None


def _sshd_failed(found: re.Match[str], *, invalid: bool, reason: str = "") -> Meaning:
    details = _known(
        ("action", "failed"),
        ("from", found["addr"]),
        ("port", found["port"]),
        ("user", found["user"]),
        ("invalid_user", "yes" if invalid else ""),
        ("reason", reason),
    )
    return Meaning(Kind.LOGIN, details)


_DROPBEAR = re.compile(
    r"(?P<what>\w+) auth succeeded for '(?P<user>[^']*)'(?: with \S+ key (?P<key>\S+(?: \S+)?))? from "
    r"(?P<addr>\S+):(?P<port>\d{1,5})"
)
_DROPBEAR_FAILED = re.compile(
    r"(?:Bad password attempt for|Login attempt for nonexistent user) ?'?(?P<user>[^']*?)'? from "
    r"(?P<addr>\S+):(?P<port>\d{1,5})"
)
_DROPBEAR_EXIT = re.compile(r"Exit \((?P<user>[^)]+)\)")


def _dropbear(message: str) -> Meaning | None:
    if found := _DROPBEAR.match(message):
        details = _known(
            ("action", "login"), ("from", found["addr"]), ("port", found["port"]),
            ("method", found["what"].lower()), ("key", found["key"]),
        )  # fmt: skip
        return Meaning(Kind.LOGIN, details, found["user"])
    if found := _DROPBEAR_FAILED.match(message):
        return _sshd_failed(found, invalid="nonexistent" in message)
    if found := _DROPBEAR_EXIT.match(message):
        return Meaning(Kind.LOGIN, (("action", "logout"),), found["user"])
    return _pam(message)


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


def _pam(message: str) -> Meaning | None:
    if found := _PAM_SESSION.match(message):
        return _pam_session(found)
    if found := _PAM_FAILED.match(message):
        fields = dict(_FIELD.findall(found["fields"]))
        user = fields.get("user", "")
        details = _known(
            ("action", "failed"), ("service", found["service"]), ("user", user),
            ("from", fields.get("rhost")), ("tty", fields.get("tty")),
        )  # fmt: skip
        return Meaning(Kind.LOGIN, details, fields.get("ruser") or user or None)
    if found := _PAM_PASSWORD.match(message):
        return Meaning(Kind.ACCOUNT, _known(("action", "password"), ("user", found["user"])))
    return None


def _pam_session(found: re.Match[str]) -> Meaning:
    service, opened = found["service"], found["what"] == "opened"
    by = found["by"] if found["by"] not in {None, "", "LOGIN"} else None
    if service.startswith(_LOGIN_SERVICES):
        details = _known(("action", "login" if opened else "logout"), ("service", service))
        return Meaning(Kind.LOGIN, details, found["user"])
    # sudo, su, cron and systemd's own: who is at work is who called, where that is on record.
    details = _known(
        ("action", "opened" if opened else "closed"), ("service", service), ("user", found["user"])
    )
    return Meaning(Kind.LOGIN if service in {"su", "su-l"} else Kind.LOG, details, by)


_LOGIN_ON = re.compile(
    r"(?:ROOT |DIALUP )?LOGIN ON (?P<tty>\S+)(?: BY (?P<user>\S+))?(?: FROM (?P<addr>\S+))?"
)
_LOGIN_FAILED = re.compile(r"FAILED LOGIN .{0,400}\bFOR '?(?P<user>[^,']*)'?")


def _login(message: str) -> Meaning | None:
    if found := _LOGIN_ON.match(message):
        user = found["user"] or ("root" if message.startswith("ROOT") else None)
        # PAM says of the same login when it ends; that is the one with a session.
        details = _known(("action", "opened"), ("line", found["tty"]), ("from", found["addr"]))
        return Meaning(Kind.LOGIN, details, user)
    if found := _LOGIN_FAILED.match(message):
        return Meaning(Kind.LOGIN, _known(("action", "failed"), ("user", found["user"])))
    return _pam(message)


_NEW_SESSION = re.compile(
    r"New session '?(?P<session>[^\s']+)'? of user '?(?P<user>[^\s']+?)'?(?:\.| with class .*)?$"
)
_OLD_SESSION = re.compile(r"Removed session '?(?P<session>[^\s'.]+)'?\.?")
_GOING_DOWN = (
    "System is rebooting", "System is powering down", "System is halting", "The system will reboot now",
    "The system will power off now", "The system will halt now",
)  # fmt: skip


def _logind(message: str) -> Meaning | None:
    if message.startswith("New ") and (found := _NEW_SESSION.match(message)):
        details = (("action", "login"), ("session", found["session"]))
        return Meaning(Kind.LOGIN, details, found["user"])
    if message.startswith("Rem") and (found := _OLD_SESSION.match(message)):
        return Meaning(Kind.LOGIN, (("action", "logout"), ("session", found["session"])))
    return Meaning(Kind.BOOT, (("action", "shutdown"),)) if message.startswith(_GOING_DOWN) else None


# --- commands -------------------------------------------------------------------------

_SUDO = re.compile(r"\s{0,8}(?P<who>\S+) : (?P<rest>.*)", re.DOTALL)
_SUDO_FIELD = re.compile(r"(?:^| ; )([A-Z]{3,8})=")
_CONTINUED = "(command continued) "


def _sudo(message: str) -> Meaning | None:
    if message.startswith("pam_"):
        return _pam(message)
    found = _SUDO.match(message)
    if found is None:
        return None
    who, rest = found["who"], found["rest"]
    if rest.startswith(_CONTINUED):
        return Meaning(Kind.COMMAND, (("record", "sudo"), ("continued", "yes")), who, rest[len(_CONTINUED) :])
    # A directory may be named like the rest of such a line; who it was run as stands after it.
    at = rest.find("COMMAND=", max(rest.find(" ; USER="), 0))
    if at < 0:
        return Meaning(Kind.LOG, (), who)
    before, command = rest[:at], rest[at + len("COMMAND=") :]
    marks = list(_SUDO_FIELD.finditer(before))
    ends = [mark.start() for mark in marks[1:]] + [len(before)]
    fields = {
        mark[1]: before[mark.end() : end].removesuffix(" ; ") for mark, end in zip(marks, ends, strict=False)
    }
    refused = before[: marks[0].start()].strip(" ;") if marks else before.strip(" ;")
    details = _known(
        ("record", "sudo"), ("user", fields.get("USER")), ("group", fields.get("GROUP")),
        ("pwd", fields.get("PWD")), ("tty", fields.get("TTY")), ("env", fields.get("ENV")),
        ("tsid", fields.get("TSID")), ("chroot", fields.get("CHROOT")),
    )  # fmt: skip
    if refused:  # it was not run
        refusal = (("action", "failed"), ("reason", refused), ("command", command[:MAX_VALUE]))
        return Meaning(Kind.LOGIN, refusal + details, who)
    return Meaning(Kind.COMMAND, details, who, command)


_SU_TO = re.compile(r"(?P<failed>FAILED SU )?\(to (?P<user>[^\s)]+)\) (?P<who>\S+) on (?P<tty>\S+)")
_SU_FOR = re.compile(r"(?P<what>Successful|FAILED) su for (?P<user>\S+) by (?P<who>\S+)")


def _su(message: str) -> Meaning | None:
    if found := _SU_TO.match(message):
        action = "failed" if found["failed"] else "su"
        details = _known(("action", action), ("user", found["user"]), ("tty", found["tty"]))
        return Meaning(Kind.LOGIN, details, found["who"])
    if found := _SU_FOR.match(message):
        action = "su" if found["what"] == "Successful" else "failed"
        return Meaning(Kind.LOGIN, (("action", action), ("user", found["user"])), found["who"])
    return _pam(message)


_CRON = re.compile(r"\((?P<who>[^()\s]+)\) CMD \((?P<command>.*)\)", re.DOTALL)
_CRONTAB = re.compile(r"\((?P<who>[^()\s]+)\) (?P<what>REPLACE|DELETE) \((?P<user>[^()\s]+)\)")
_BUSYBOX_CRON = re.compile(r"USER (?P<who>\S+) pid +\d+ cmd (?P<command>.*)", re.DOTALL)


def _cron(message: str) -> Meaning | None:
    found = _CRON.match(message) or _BUSYBOX_CRON.match(message)
    if found:
        return Meaning(Kind.COMMAND, (("record", "cron"),), found["who"], found["command"])
    if found := _CRONTAB.match(message):
        details = (("action", found["what"].lower()), ("user", found["user"]), ("record", "crontab"))
        return Meaning(Kind.CONFIGURATION, details, found["who"])
    return _pam(message)


_DOAS = re.compile(r"(?P<who>\S+) ran command (?P<command>.*) as (?P<user>\S+) from (?P<pwd>/.*)", re.DOTALL)
_PKEXEC = re.compile(
    r"(?P<who>[^\s:]+): Executing command \[USER=(?P<user>[^\]]*)\] \[TTY=(?P<tty>[^\]]*)\] "
    r"\[CWD=(?P<pwd>.*?)\] \[COMMAND=(?P<command>.*)\]",
    re.DOTALL,
)


def _other_command(pattern: re.Pattern[str], record: str) -> Reading:
    def read(message: str) -> Meaning | None:
        found = pattern.match(message)
        if found is None:
            return _pam(message)
        fields = found.groupdict()
        details = _known(("record", record), *((name, fields.get(name)) for name in ("user", "pwd", "tty")))
        return Meaning(Kind.COMMAND, details, found["who"], found["command"])

    return read


# --- accounts -------------------------------------------------------------------------

_NAMED = re.compile(
    r"name=(?P<name>[^\s,']+)|user '(?P<quoted>[^']+)'|'(?P<first>[^']+)'|for (?P<plain>[\w.$-]+)$"
)
_GPASSWD_BY = re.compile(r"\b(?:by|user) (?P<who>[\w.$-]+)(?: to group| from group|$)")


def _account(message: str) -> Meaning | None:
    if message.startswith("pam_"):
        return _pam(message)
    found = _NAMED.search(message)
    name = next(filter(None, found.groups()), "") if found else ""
    return Meaning(Kind.ACCOUNT, _known(("user", name)))


def _gpasswd(message: str) -> Meaning | None:
    by = re.search(r"\bby (?P<who>[\w.$-]+)(?: to group | from group |$)", message)
    user = re.search(r"\b(?:user|member) (?P<name>[\w.$-]+)", message)
    return Meaning(Kind.ACCOUNT, _known(("user", user["name"] if user else "")), by["who"] if by else None)


# --- boots and services ---------------------------------------------------------------

_DOWN_TARGETS = (
    "Reached target Shutdown", "Reached target System Shutdown", "Reached target Power-Off",
    "Reached target System Power Off", "Reached target Reboot", "Reached target System Reboot",
    "Reached target Halt", "Reached target shutdown.target", "Reached target poweroff.target",
    "Reached target reboot.target", "Reached target halt.target", "Shutting down.",
)  # fmt: skip
_SERVICE_WORDS = (
    "Start", "Stop", "Failed to ", "Reached target ", "Reload", "Mounted ", "Unmounted ", "Listening ",
    "Finished ", "Activat", "Deactivat", "Created slice", "Removed slice",
)  # fmt: skip


def _systemd(message: str) -> Meaning | None:
    if message.startswith(_DOWN_TARGETS):
        return Meaning(Kind.BOOT, (("action", "shutdown"),))
    if message.startswith(_SERVICE_WORDS):
        return Meaning(Kind.SERVICE)
    return _pam(message) if message.startswith("pam_") else None


_LINUX = re.compile(r"(?:\[\s{0,10}\d+\.\d+\]\s)?\s?Linux version (?P<version>\S+)")


def _kernel(message: str) -> Meaning | None:
    # Nearly all lines are not it.
    if "Linux version " not in message[:40]:
        return None
    found = _LINUX.match(message)
    return found and Meaning(Kind.BOOT, (("action", "boot"), ("kernel", found["version"])))


def _shutdown(message: str) -> Meaning | None:
    down = message.startswith(
        ("shutting down for system", "Switching to runlevel: 0", "Switching to runlevel: 6")
    )
    return Meaning(Kind.BOOT, (("action", "shutdown"),)) if down else None


def _known(*pairs: tuple[str, str | None]) -> Details:
    return tuple((name, value[:MAX_VALUE]) for name, value in pairs if value)


_PROGRAMS: Mapping[str, Reading] = {
    **dict.fromkeys(("sshd", "sshd-session", "sshd-auth"), _sshd),
    **dict.fromkeys(("CRON", "cron", "crond", "CROND", "crontab", "anacron", "atd", "/usr/sbin/cron"), _cron),
    **dict.fromkeys(
        (
            "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "passwd", "chpasswd",
            "chage", "chsh", "chfn", "newusers", "adduser", "deluser", "addgroup", "delgroup", "vipw", "vigr",
        ),
        _account,
    ),
    "dropbear": _dropbear,
    "gpasswd": _gpasswd,
    "login": _login,
    "systemd-logind": _logind,
    "elogind-daemon": _logind,
    "elogind": _logind,
    "sudo": _sudo,
    "sudo-rs": _sudo,
    "su": _su,
    "doas": _other_command(_DOAS, "doas"),
    "pkexec": _other_command(_PKEXEC, "pkexec"),
    "kernel": _kernel,
    "shutdown": _shutdown,
    "init": _shutdown,
}  # fmt: skip

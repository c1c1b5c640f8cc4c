"""What a program's message says: a login, a command, a change of an account, a boot. The rest is a log line.

For text logs and the journal alike.

Sources: sudo ``lib/eventlog``; util-linux and shadow ``su``; cronie and vixie cron ``misc.c``; busybox
``crond.c``; OpenDoas ``doas.c``; polkit ``pkexec.c``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from guestrepair.events.account_messages import account, gpasswd
from guestrepair.events.login_messages import MAX_VALUE, Meaning, dropbear, known, login, logind, pam, sshd
from guestrepair.events.model import Kind
from guestrepair.events.service_messages import cloud_init, kernel, shutdown, systemd

Reading = Callable[[str], Meaning | None]


def meaning(program: str, pid: str, message: str) -> Meaning | None:
    """What a message means beyond its text; None: it is a log line like others."""
    found = _PROGRAMS.get(program)
    if found is not None:
        return found(message)
    if program == "systemd":
        return systemd(message) if pid in {"1", ""} else pam(message)
    if message.startswith(("pam_", "(to ")):
        return pam(message)
    return None


def is_known(program: str) -> bool:
    """Whether a program's own messages are known here; of any other, it is only what PAM says in its name."""
    return program in _PROGRAMS


# --- commands -------------------------------------------------------------------------

_SUDO = re.compile(r"\s{0,8}(?P<who>\S+) : (?P<rest>.*)", re.DOTALL)
_SUDO_FIELD = re.compile(r"(?:^| ; )([A-Z]{3,8})=")
_CONTINUED = "(command continued) "


def _sudo(message: str) -> Meaning | None:
    if message.startswith("pam_"):
        return pam(message)
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
    details = known(
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

_SU_SIGN = re.compile(r"(?P<sign>[+-]) (?P<tty>\S{1,128}) (?P<who>[^\s:]{1,256}):(?P<user>[^\s:]{1,256})$")


def _su(message: str) -> Meaning | None:
    if found := _SU_TO.match(message):
        action = "failed" if found["failed"] else "su"
        details = known(("action", action), ("user", found["user"]), ("tty", found["tty"]))
        return Meaning(Kind.LOGIN, details, found["who"])
    if found := _SU_FOR.match(message):
        action = "su" if found["what"] == "Successful" else "failed"
        return Meaning(Kind.LOGIN, (("action", action), ("user", found["user"])), found["who"])
    if found := _SU_SIGN.match(message):
        action = "failed" if found["sign"] == "-" else "su"
        details = known(("action", action), ("user", found["user"]), ("tty", found["tty"]))
        return Meaning(Kind.LOGIN, details, found["who"])
    return pam(message)


_CRON = re.compile(r"\((?P<who>[^()\s]+)\) CMD \((?P<command>.*)\)", re.DOTALL)
_CRONTAB = re.compile(
    r"\((?P<who>[^()\s]+)\) (?P<what>REPLACE|DELETE|BEGIN EDIT|END EDIT) \((?P<user>[^()\s]+)\)"
)
_BUSYBOX_CRON = re.compile(r"USER (?P<who>\S+) pid +\d+ cmd (?P<command>.*)", re.DOTALL)


def _cron(message: str) -> Meaning | None:
    found = _CRON.match(message) or _BUSYBOX_CRON.match(message)
    if found:
        return Meaning(Kind.COMMAND, (("record", "cron"),), found["who"], found["command"])
    if found := _CRONTAB.match(message):
        details = (
            ("action", found["what"].lower().replace(" ", "-")),
            ("user", found["user"]),
            ("record", "crontab"),
        )
        return Meaning(Kind.CONFIGURATION, details, found["who"])
    return pam(message)


_DOAS = re.compile(r"(?P<who>\S+) ran command (?P<command>.*) as (?P<user>\S+) from (?P<pwd>/.*)", re.DOTALL)
_PKEXEC = re.compile(
    r"(?P<who>[^\s:]+): Executing command \[USER=(?P<user>[^\]]*)\] \[TTY=(?P<tty>[^\]]*)\] "
    r"\[CWD=(?P<pwd>.*?)\] \[COMMAND=(?P<command>.*)\]",
    re.DOTALL,
)


def _doas(message: str) -> Meaning | None:
    return _other_command(_DOAS.match(message), message, "doas")


def _pkexec(message: str) -> Meaning | None:
    return _other_command(_PKEXEC.match(message), message, "pkexec")


def _other_command(found: re.Match[str] | None, message: str, record: str) -> Meaning | None:
    if found is None:
        return pam(message)
    fields = found.groupdict()
    details = known(("record", record), *((name, fields.get(name)) for name in ("user", "pwd", "tty")))
    return Meaning(Kind.COMMAND, details, found["who"], found["command"])


_PROGRAMS: Mapping[str, Reading] = {
    **dict.fromkeys(("sshd", "sshd-session", "sshd-auth"), sshd),
    **dict.fromkeys(("CRON", "cron", "crond", "CROND", "crontab", "anacron", "atd", "/usr/sbin/cron"), _cron),
    **dict.fromkeys(
        (
            "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "passwd", "chpasswd",
            "chage", "chsh", "chfn", "newusers", "adduser", "deluser", "addgroup", "delgroup", "groupmems",
            "vipw", "vigr", "pwconv", "systemd-sysusers",
        ),
        account,
    ),
    "dropbear": dropbear,
    "gpasswd": gpasswd,
    "login": login,
    "systemd-logind": logind,
    "elogind-daemon": logind,
    "elogind": logind,
    "sudo": _sudo,
    "sudo-rs": _sudo,
    "sudoedit": _sudo,
    "su": _su,
    "doas": _doas,
    "pkexec": _pkexec,
    "kernel": kernel,
    "shutdown": shutdown,
    "init": shutdown,
    "cloud-init": cloud_init,
}  # fmt: skip

"""What messages mean, with what earlier ones of the same process or person add: one log, read in order."""

from __future__ import annotations

from guestrepair.events.login_messages import Meaning
from guestrepair.events.messages import meaning
from guestrepair.events.model import COMMAND, LOGIN
from guestrepair.events.schedules import Crontabs

_MAX_KEPT = 10_000


class Messages:
    """The messages of one log, from the oldest on."""

    def __init__(self, crontabs: Crontabs) -> None:
        self._crontabs = crontabs
        self._logins: dict[str, None] = {}
        self._sudo_pwd: dict[str, str] = {}

    def meaning(self, program: str, pid: str, message: str) -> Meaning | None:
        """See :func:`guestrepair.events.messages.meaning`."""
        what = meaning(program, pid, message)
        if what is None:
            return None
        if what.kind is COMMAND:
            return self._cron_run(what) if ("record", "cron") in what.details else self._sudo_line(what)
        if what.kind is LOGIN and program.startswith("sshd") and pid and what.details:
            return self._sshd(pid, what)
        return what

    def _sshd(self, pid: str, what: Meaning) -> Meaning:
        action = what.details[0]
        if action == ("action", "login"):
            if pid in self._logins and dict(what.details).get("service"):
                # PAM opens the session of a login that is on record already, with more about it.
                return what._replace(details=(("action", "opened"), *what.details[1:]))
            if len(self._logins) >= _MAX_KEPT:
                self._logins.pop(next(iter(self._logins)))
            self._logins[pid] = None
        elif action == ("action", "logout"):
            self._logins.pop(pid, None)
        return what

    def _cron_run(self, what: Meaning) -> Meaning:
        place = self._crontabs.place(what.actor or "", what.message or "")
        return what._replace(details=(*what.details, ("crontab", place))) if place else what

    def _sudo_line(self, what: Meaning) -> Meaning:
        """A long command takes several lines; each is run from the directory of the first."""
        details = dict(what.details)
        who = what.actor or ""
        if details.get("continued"):
            pwd = self._sudo_pwd.get(who)
            return what._replace(details=(*what.details, ("pwd", pwd))) if pwd else what
        if details.get("record") == "sudo" and "pwd" in details:
            if len(self._sudo_pwd) > _MAX_KEPT:
                self._sudo_pwd.clear()
            self._sudo_pwd[who] = details["pwd"]
        return what

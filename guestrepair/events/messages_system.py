"""What lines of systemd, logind, the kernel, cron and cloud-init mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from guestrepair.events.meaning import Meaning, matched
from guestrepair.events.model import Kind

_UNIT = r"([\w@.:\\-]{1,255}\.(?:service|socket|mount|target|timer|path|slice|scope|swap|device|automount))"
_STARTED = re.compile(
    r"(Started|Finished|Mounted|Listening on|Activated swap|Activated|Set up automount) (.+)"
)
_STOPPED = re.compile(r"(Stopped|Unmounted|Closed|Deactivated swap|Unset automount) (.+)")
_FAILED = re.compile(r"(Failed to (?:start|mount|listen on|activate|stop)|Dependency failed for) (.+)")
_REACHED = re.compile(r"Reached target (.+)")
_RESULT = re.compile(_UNIT + r": (Failed with result|Unit entered failed state|Main process exited|"
                     r"Start request repeated|Job .{1,300} failed|Control process exited)")  # fmt: skip
_NAMED = re.compile(_UNIT + r"(?: - |$)")
_SHUTDOWN = re.compile(r"Shutting down\.?$|Rebooting\.?$|Powering off\.?$|Powering down\.?$")
_SESSION = re.compile(
    r"New session '?(\S{1,64}?)'? of user '?(\S{1,256}?)'?(?: with class '(\S{1,64})'.*)?\.?$"
)
_REMOVED = re.compile(r"Removed session '?(\S{1,64}?)'?\.?$")
_GOING = re.compile(
    r"System is (?:rebooting|powering (?:down|off)|halting)|The system will (?:reboot|power off|halt)"
    r"|Power key pressed"
)
_CRON = re.compile(r"\((.{1,256}?)\) ([A-Z][A-Z ]{1,32}) \((.*)\)$", re.DOTALL)
_WROTE = re.compile(r"(?:\S{1,128}\[\w{1,16}\]: )?Writing to (/\S{1,4095}) - (?:wb|ab|w|a):")
_RUN = re.compile(r"Cloud-init v\. (\S{1,64}) (running|finished)(?: '(\S{1,64})')?")


def _systemd(text: str) -> Meaning | None:
    if text.startswith("Startup finished in "):
        return _service(text, "startup-finished")
    if found := _REACHED.match(text):
        return _service(text, "reached", found.group(1))
    if found := _FAILED.match(text):
        return _service(text, "failed", found.group(2))
    if found := _STARTED.match(text):
        return _service(text, "started", found.group(2))
    if found := _STOPPED.match(text):
        return _service(text, "stopped", found.group(2))
    if found := _RESULT.match(text):
        return _service(text, "failed", found.group(1))
    if _SHUTDOWN.match(text):
        return Meaning(Kind.BOOT, None, text, detail=matched(action="shutdown"))
    return None


def _service(text: str, action: str, what: str = "") -> Meaning:
    """``what`` is the unit's name, its description, or ``name - description``, by the version of systemd."""
    found = _NAMED.match(what)
    name = found.group(1) if found else what.rstrip(".")[:255]
    return Meaning(Kind.SERVICE, None, text, detail=matched(action=action, unit=name))


def _logind(text: str) -> Meaning | None:
    """Sessions as logind counts them: with cron's among them, so that these are no logins of persons."""
    if found := _SESSION.match(text):
        session, who, of_class = found.groups()
        detail = {"action": "session", "session": session, "class": of_class or ""}
        return Meaning(Kind.LOGIN, who, text, detail=matched(**detail))
    if found := _REMOVED.match(text):
        detail = {"action": "session-end", "session": found.group(1)}
        return Meaning(Kind.LOGIN, None, text, detail=matched(**detail))
    if _GOING.match(text):
        return Meaning(Kind.BOOT, None, text, detail=matched(action="shutdown"))
    return None


def _kernel(text: str) -> Meaning | None:
    """The first line that a kernel writes, with or without its time since the boot before it."""
    line = re.sub(r"^\[ {0,12}\d{1,12}\.\d{1,9}\] ", "", text)
    if line.startswith("Linux version "):
        release = line.split(" ", 3)[2]
        return Meaning(Kind.BOOT, None, line, detail=matched(action="boot", kernel=release))
    if line.startswith(("reboot: Restarting", "reboot: Power down", "reboot: System halted")):
        return Meaning(Kind.BOOT, None, line, detail=matched(action="shutdown"))
    return None


def _cron(text: str) -> Meaning | None:
    found = _CRON.match(text)
    if found is None:
        return None
    who, action, what = found.group(1), found.group(2).strip(), found.group(3).strip()
    if action == "CMD":
        return Meaning(Kind.COMMAND, who, what, detail=matched(record="cron"))
    if action in {"REPLACE", "DELETE", "END EDIT", "BEGIN EDIT"}:
        done = action.lower().replace(" ", "-")
        message = f"crontab: {who}: {action.lower()} of {what}"
        return Meaning(Kind.CONFIGURATION, who, message, detail=matched(action=done, account=what))
    return None


def _cloud_init(text: str) -> Meaning | None:
    if found := _WROTE.search(text):
        path = found.group(1)
        detail = matched(action="wrote", program="cloud-init")
        return Meaning(Kind.CONFIGURATION, None, f"cloud-init wrote {path}", path, detail)
    if found := _RUN.search(text):
        version, action, stage = found.groups()
        detail = matched(action=action, program="cloud-init", version=version, stage=stage or "")
        return Meaning(Kind.CONFIGURATION, None, text, detail=detail)
    return None


PROGRAMS: Mapping[str, Callable[[str], Meaning | None]] = {
    "systemd": _systemd,
    "init": _systemd,
    "systemd-logind": _logind,
    "elogind": _logind,
    "systemd-shutdown": _systemd,
    "kernel": _kernel,
    "cron": _cron,
    "crond": _cron,
    "crontab": _cron,
    "cloud-init": _cloud_init,
}
"""By the name that a program logs under, in small letters."""

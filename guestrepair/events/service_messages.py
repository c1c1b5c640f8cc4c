"""What systemd, the kernel and older init programs say of boots and services, and cloud-init of its runs.

Sources: systemd's ``core/unit.c``, ``core/job.c`` and ``core/service.c``, Linux ``kernel/reboot.c``,
cloud-init ``cmd/main.py``.
"""

from __future__ import annotations

import re

from guestrepair.events.login_messages import Meaning, known, pam
from guestrepair.events.model import Kind

_DOWN_TARGETS = (
    "Reached target Shutdown", "Reached target System Shutdown", "Reached target Power-Off",
    "Reached target System Power Off", "Reached target Reboot", "Reached target System Reboot",
    "Reached target Halt", "Reached target shutdown.target", "Reached target poweroff.target",
    "Reached target reboot.target", "Reached target halt.target", "Shutting down.",
)  # fmt: skip
_WORDS = (
    "Start", "Stop", "Failed to ", "Reached target ", "Reload", "Mounted ", "Unmounted ", "Listening ",
    "Finished ", "Activat", "Deactivat", "Created slice", "Removed slice", "Dependency failed for ",
    "Closed ", "Set up automount ", "Unset automount ",
)  # fmt: skip
_DONE = re.compile(
    r"(?:(?P<started>Started|Finished|Mounted|Listening on|Activated swap|Activated|Set up automount)"
    r"|(?P<stopped>Stopped|Unmounted|Closed|Deactivated swap|Unset automount)"
    r"|(?P<failed>Failed to (?:start|mount|listen on|activate|stop)|Dependency failed for)"
    r"|(?P<reached>Reached target)) (?P<what>.+)"
)
_UNIT = r"[\w@.:\\-]{1,255}\.(?:service|socket|mount|target|timer|path|slice|scope|swap|device|automount)"
_NAMED = re.compile(rf"(?P<unit>{_UNIT})(?: - |$)")
_BROKE = re.compile(
    rf"(?P<unit>{_UNIT}): (?:Failed with result|Unit entered failed state|Main process exited"
    r"|Start request repeated|Job .{1,300} failed|Control process exited)"
)


def systemd(message: str) -> Meaning | None:
    """The system's manager; units by their name where it says that, else by their description."""
    if message.startswith(_DOWN_TARGETS):
        return Meaning(Kind.BOOT, (("action", "shutdown"),))
    if message.startswith("Startup finished in "):
        return Meaning(Kind.SERVICE, (("action", "startup-finished"),))
    if message.startswith(_WORDS):
        found = _DONE.match(message)
        if found is None:
            return Meaning(Kind.SERVICE)
        action = next(name for name in ("started", "stopped", "failed", "reached") if found[name])
        named = _NAMED.match(found["what"])
        unit = named["unit"] if named else found["what"].rstrip(".")[:255]
        return Meaning(Kind.SERVICE, known(("action", action), ("unit", unit)))
    if message.startswith("pam_"):
        return pam(message)
    if broken := _BROKE.match(message):
        return Meaning(Kind.SERVICE, (("action", "failed"), ("unit", broken["unit"])))
    return None


_LINUX = re.compile(r"(?:\[\s{0,10}\d+\.\d+\]\s)?\s?Linux version (?P<version>\S+)")
_HALTED = re.compile(r"(?:\[\s{0,10}\d+\.\d+\]\s)?\s?reboot: (?:Restarting system|Power down|System halted)")


def kernel(message: str) -> Meaning | None:
    """The first line that a kernel writes, and the last."""
    # Nearly all lines are neither.
    begin = message[:40]
    if "Linux version " in begin and (found := _LINUX.match(message)):
        return Meaning(Kind.BOOT, (("action", "boot"), ("kernel", found["version"])))
    if "reboot: " in begin and _HALTED.match(message):
        return Meaning(Kind.BOOT, (("action", "shutdown"),))
    return None


def shutdown(message: str) -> Meaning | None:
    """shutdown(8) and init of sysvinit."""
    down = message.startswith(
        ("shutting down for system", "Switching to runlevel: 0", "Switching to runlevel: 6")
    )
    return Meaning(Kind.BOOT, (("action", "shutdown"),)) if down else None


_CLOUD_RUN = re.compile(
    r"Cloud-init v\. (?P<version>\S{1,64}) (?P<action>running|finished)(?: '(?P<stage>\S{1,64})')?"
)


def cloud_init(message: str) -> Meaning | None:
    """A stage of cloud-init; what it wrote stands in its own log."""
    found = _CLOUD_RUN.search(message)
    if found is None:
        return None
    fields = found.groupdict()
    details = known(*((name, fields[name]) for name in ("action", "version", "stage")))
    return Meaning(Kind.CONFIGURATION, details)

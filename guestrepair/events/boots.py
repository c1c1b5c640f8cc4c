"""When the guest booted, and whether it came up: by all records of that together.

A boot is good where somebody logged in, where the system said that it had come up, or where it ran for a
while and was shut down in order. A boot that ended in the emergency shell is no good one for
its shutdown alone.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from guestrepair.events.model import NANOSECOND, Event, Kind

_ONE_BOOT_NS = 120 * NANOSECOND
"""Different logs tell of one boot within so long."""
_LASTED_NS = 120 * NANOSECOND
_CAME_UP = (
    "Reached target Multi-User", "Reached target multi-user.target", "Reached target Graphical Interface",
    "Reached target graphical.target",
)  # fmt: skip
_STARTED = "Startup finished in "
_EMERGENCY = (
    "Reached target Emergency Mode", "Reached target emergency.target", "Reached target Rescue Mode",
    "Reached target rescue.target", "Started Emergency Shell", "Started emergency.service",
    "You are in emergency mode",
)  # fmt: skip
_UP_LEVELS = frozenset("2345")


class _Boot:
    def __init__(self, begin_ns: int, source: str) -> None:
        self.begin_ns = begin_ns
        self.sources = {source}
        self.up = False
        self.emergency = False
        self.ended_well = False

    @property
    def good(self) -> bool:
        return self.up or (self.ended_well and not self.emergency)


def boots(events: Iterable[Event]) -> list[tuple[int, bool]]:
    """When each boot began (nanoseconds since the epoch), and whether it was a good one; in order of time."""
    begun: list[tuple[int, str]] = []
    signs: list[tuple[int, str]] = []
    for event in events:
        if event.kind is Kind.BOOT and event.get("action") == "boot":
            begun.append((event.time_ns, _log(event)))
        else:
            sign = _sign(event)
            if sign:
                signs.append((event.time_ns, sign))
    downs = sorted(time for time, sign in signs if sign == "down")
    found = _merged(sorted(begun), downs)
    begins = [boot.begin_ns for boot in found]
    for time_ns, sign in sorted(signs):
        at = bisect.bisect_right(begins, time_ns) - 1
        if at >= 0:
            _add(found[at], time_ns, sign)
    return [(boot.begin_ns, boot.good) for boot in found]


def _merged(begun: Iterable[tuple[int, str]], downs: list[int]) -> list[_Boot]:
    """What several logs tell of one boot, as one: not two of one log, and not across a shutdown."""
    found: list[_Boot] = []
    for time_ns, source in begun:
        last = found[-1] if found else None
        if (
            last is not None
            and time_ns - last.begin_ns <= _ONE_BOOT_NS
            and source not in last.sources
            and bisect.bisect_right(downs, last.begin_ns) == bisect.bisect_right(downs, time_ns)
        ):
            last.sources.add(source)
        else:
            found.append(_Boot(time_ns, source))
    return found


def _log(event: Event) -> str:
    return event.source.partition(":")[0]


def _sign(event: Event) -> str:
    """What an event tells of the boot that it happened in; "" for nothing."""
    action = event.get("action")
    if event.kind is Kind.LOGIN:
        return "up" if action == "login" and event.actor else ""
    if event.kind is Kind.BOOT:
        if action == "shutdown":
            return "down"
        return "up" if action == "runlevel" and event.get("level") in _UP_LEVELS else ""
    if event.kind is not Kind.SERVICE and event.kind is not Kind.LOG:
        return ""
    message = event.message.removeprefix("systemd: ")
    if message.startswith(_CAME_UP):
        return "up" if event.get("pid") in {"1", ""} else ""
    if message.startswith(_STARTED):
        return "started" if "kernel" in message else ""  # a user's own manager says it without the kernel
    return "emergency" if message.startswith(_EMERGENCY) else ""


def _add(boot: _Boot, time_ns: int, sign: str) -> None:
    if sign == "up":
        boot.up = True
    elif sign == "emergency":
        boot.emergency = True
    elif sign == "started" or time_ns - boot.begin_ns >= _LASTED_NS:
        boot.ended_well = True

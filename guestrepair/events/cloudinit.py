"""cloud-init.log: which files it wrote, what it ran, and what went wrong. Its times are in UTC.

Sources: cloud-init's ``cloudinit/log``, ``cloudinit/util.py`` and ``cloudinit/subp.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC

from guestrepair.events.local_time import EPOCH
from guestrepair.events.model import NANOSECOND, Event, Kind, Unread
from guestrepair.events.streams import Lines, rotations
from guestrepair.formats.package_logs import local_time
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath

LOG = GuestPath("/var/log/cloud-init.log")
_LINE = re.compile(
    r"(?P<milli>[,.]\d{1,6})? - (?P<module>[\w.-]{1,60})\[(?P<level>[A-Z]{4,8})\]: (?P<text>.*)", re.DOTALL
)
_WROTE = (
    ("write", re.compile(r"\AWriting to (?P<path>/.*?) - [a-z]+: \[\d+\] \d+ (?:bytes|chars)")),
    ("append", re.compile(r"\AAttempting to append (?:\d+ bytes )?to (?P<path>/\S+)")),
    ("owner", re.compile(r"\AChanging the ownership of (?P<path>/.*) to \S+")),
    ("link", re.compile(r"\ACreating symbolic link from '(?P<path>/[^']*)' => ")),
    ("remove", re.compile(r"\AAttempting to remove (?P<path>/.*)")),
    ("permissions", re.compile(r"\AAdjusting permissions of (?P<path>/\S+)")),
)
_FIRST = ("W", "A", "C")
_RAN = re.compile(r"Running command (?P<command>\[.*\]|\S.*?) with allowed return codes", re.DOTALL)
_BEGUN = re.compile(r"Cloud-init v\. (?P<version>\S+) running '(?P<stage>[^']*)'")
_WORD = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")


class CloudInit:
    """cloud-init's log and its rotations."""

    name = "cloud-init"

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def events(self) -> Iterator[Event | Unread]:
        """See :class:`guestrepair.events.model.Reader`."""
        for file in rotations(self._guest, LOG):
            if isinstance(file, Unread):
                yield file
                continue
            lines = Lines(self._guest, file)
            for number, line in lines.numbered():
                found = _event(line, f"{file.path}:{number}")
                if found is not None:
                    yield found
            yield from lines.unread


def _event(line: str, source: str) -> Event | None:
    found = _LINE.match(line, 19)
    moment = None if found is None else local_time(line)
    if found is None or moment is None:
        return None  # lines of a traceback, and what a program printed
    fraction = int((found["milli"] or ",0")[1:].ljust(9, "0"))
    time_ns = int((moment.replace(tzinfo=UTC) - EPOCH).total_seconds()) * NANOSECOND + fraction
    text = found["text"]
    kind, path, message, detail = _meaning(found["level"], text)
    if kind is None:
        return None
    return Event(
        time_ns=time_ns,
        kind=kind,
        description="Recorded Time",
        message=message or f"cloud-init: {text}",
        source=source,
        path=path,
        detail=(*detail, ("program", "cloud-init"), ("module", found["module"])),
    )


def _meaning(level: str, text: str) -> tuple[Kind | None, str | None, str, tuple[tuple[str, str], ...]]:
    """The kind (None: no event), the path, the message ("": the text), and further facts."""
    if text.startswith(_FIRST):
        for action, pattern in _WROTE:
            if found := pattern.match(text):
                return Kind.CONFIGURATION, found["path"], "", (("action", action),)
    if text.startswith("Running command ") and (found := _RAN.match(text)):
        words = [a or b for a, b in _WORD.findall(found["command"])]
        return Kind.COMMAND, None, " ".join(words) or found["command"], (("record", "cloud-init"),)
    if found := _BEGUN.match(text):
        return Kind.SERVICE, None, "", (("stage", found["stage"]), ("version", found["version"]))
    return (Kind.LOG if level in {"WARNING", "ERROR", "CRITICAL"} else None), None, "", (("level", level),)

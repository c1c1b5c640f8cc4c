"""Crontabs: which command runs when, and as whom.

Sources: crontab(5) of Debian's cron and of cronie; anacrontab(5).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import NamedTuple

from guestrepair.formats.lines import text_lines

MAX_LINES = 10_000
MAX_LINE = 8192
_FIELD = r"[-*/,0-9A-Za-z~]{1,200}"
_TIMES = re.compile(rf"-?(?P<times>@[A-Za-z]{{1,20}}|{_FIELD}(?:[ \t]+{_FIELD}){{4}})[ \t]+")
_PERIOD = re.compile(
    r"(?P<times>@[A-Za-z]{1,20}|\d{1,6})[ \t]+(?P<delay>\d{1,6})[ \t]+(?P<name>\S{1,200})[ \t]+"
)
_USER = re.compile(r"(?P<user>[^\s:]{1,256})(?:[:/][^\s]{1,256})?[ \t]+")


class Form(enum.Enum):
    """Whose table it is, which decides what its lines look like."""

    OF_USER = enum.auto()
    """Times and a command; it is run as the user that the table belongs to."""
    OF_SYSTEM = enum.auto()
    """Times, a user and a command: /etc/crontab and /etc/cron.d."""
    OF_ANACRON = enum.auto()
    """A period in days, a delay, a name and a command; it is run as root."""


class Job(NamedTuple):
    """One line: its number (from 1), when it runs as it is written, as whom ("" by the table), and what."""

    line: int
    times: str
    user: str
    command: str


def parse_crontab(data: bytes, form: Form) -> Iterator[Job]:
    """The jobs of a table, in its order; what is none (comments, settings of the environment) is passed over.

    Of more lines than a table has, the first are read.
    """
    for number, raw in enumerate(text_lines(data), 1):
        if number > MAX_LINES:
            return
        line = raw.strip()
        if not line or line[0] == "#" or len(line) > MAX_LINE:
            continue
        found = (_PERIOD if form is Form.OF_ANACRON else _TIMES).match(line)
        if found is None:
            continue
        user, rest = "", line[found.end() :]
        if form is Form.OF_SYSTEM:
            who = _USER.match(rest)
            if who is None:
                continue
            user, rest = who["user"], rest[who.end() :]
        if rest:
            yield Job(number, " ".join(found["times"].split()), user, rest)

"""The lists that PAM modules take an account's name from: access.conf, time.conf, lists of names.

Sources: access.conf(5), time.conf(5), pam_listfile(8), shells(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_LINES = 20_000


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One line of access.conf: lets in (``+``) or not, whom, and from where."""

    line: int
    permits: bool
    users: tuple[str, ...]
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TimeRule:
    """One line of time.conf: for which services, terminals and users, and when they may."""

    line: int
    services: str
    terminals: str
    users: str
    times: str


def parse_access(data: bytes) -> tuple[AccessRule, ...]:
    """The rules of access.conf, in order; what pam_access passes over is left out.

    Raises:
        FormatError: more lines than any real one has.
    """
    rules = []
    for number, line in _lines(data):
        if line.startswith("#"):
            continue
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[0].strip() in ("+", "-"):
            users, origins = tuple(parts[1].split()), tuple(parts[2].split())
            rules.append(AccessRule(number, parts[0].strip() == "+", users, origins))
    return tuple(rules)


def parse_times(data: bytes) -> tuple[TimeRule, ...]:
    """The rules of time.conf, in order.

    Raises:
        FormatError: more lines than any real one has.
    """
    rules = []
    for number, line in _lines(data):
        parts = [re.sub(r"\s", "", part) for part in line.partition("#")[0].split(";")]
        if len(parts) == 4:
            rules.append(TimeRule(number, *parts))
    return tuple(rules)


def parse_names(data: bytes) -> tuple[str, ...]:
    """The lines of a list of names, without comments and blank ones.

    Raises:
        FormatError: more lines than any real one has.
    """
    return tuple(line for _, line in _lines(data) if not line.startswith("#"))


def _lines(data: bytes) -> list[tuple[int, str]]:
    if data.count(b"\n") > MAX_LINES:
        raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
    return [(number, text.strip()) for number, text in enumerate(text_lines(data), 1) if text.strip()]

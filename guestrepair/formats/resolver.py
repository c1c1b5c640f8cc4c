"""How names are looked up, of hosts and of accounts: resolv.conf(5) and nsswitch.conf(5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_LINES = 20_000
_ACTION = re.compile(r"\[[^\]]{0,200}\]")


DATABASES = frozenset({"hosts", "passwd", "group", "shadow"})
"""Of nsswitch.conf; what it says of others is nobody's question here."""


@dataclass(frozen=True, slots=True)
class DatabaseLine:
    """The sources that a line of nsswitch.conf names, in order, and its 1-based number."""

    sources: tuple[str, ...]
    line: int
    text: str


def parse_nameservers(data: bytes) -> tuple[tuple[str, int], ...]:
    """(address, line) of every nameserver line.

    Raises:
        FormatError: more lines than any real one has.
    """
    found = []
    for number, line in enumerate(text_lines(data), 1):
        if number > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
        words = line[:1000].split()
        if len(words) >= 2 and words[0] == "nameserver":
            found.append((words[1], number))
    return tuple(found)


def parse_databases(data: bytes) -> Mapping[str, DatabaseLine]:
    """The last line of each of the DATABASES in nsswitch.conf.

    Raises:
        FormatError: more lines than any real one has.
    """
    found = {}
    for number, raw in enumerate(text_lines(data), 1):
        if number > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
        name, colon, rest = raw[:1000].partition("#")[0].strip().partition(":")
        if colon and name.strip() in DATABASES:
            found[name.strip()] = DatabaseLine(tuple(_ACTION.sub(" ", rest).split()), number, raw.strip())
    return found

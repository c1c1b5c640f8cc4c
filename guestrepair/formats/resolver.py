"""How names are looked up: resolv.conf(5) and the ``hosts`` line of nsswitch.conf(5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_LINES = 20_000
_ACTION = re.compile(r"\[[^\]]{0,200}\]")


@dataclass(frozen=True, slots=True)
class HostsLine:
    """The sources that ``hosts:`` names, in order, and its 1-based line."""

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


def parse_hosts_line(data: bytes) -> HostsLine | None:
    """The last ``hosts:`` line; None where there is none.

    Raises:
        FormatError: more lines than any real one has.
    """
    found = None
    for number, raw in enumerate(text_lines(data), 1):
        if number > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
        line = raw[:1000].partition("#")[0].strip()
        name, colon, rest = line.partition(":")
        if colon and name.strip() == "hosts":
            found = HostsLine(tuple(_ACTION.sub(" ", rest).split()), number, raw.strip())
    return found

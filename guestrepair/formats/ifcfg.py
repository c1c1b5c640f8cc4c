"""Settings of /etc/sysconfig: ``NAME=value`` lines of a shell fragment, with the line of each.

Source: sysconfig.txt of initscripts, ifcfg(5) of wicked, nm-settings-ifcfg-rh(5): quotes as in a shell;
what is no assignment is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_LINES = 20_000
_MAX_LINE = 4096
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Variable:
    """A value, and its 1-based line."""

    value: str
    line: int


def parse_ifcfg(data: bytes) -> Mapping[str, Variable]:
    """The variables by name; the last assignment counts.

    Raises:
        FormatError: more lines than any real one has.
    """
    found: dict[str, Variable] = {}
    for number, line in enumerate(text_lines(data), 1):
        if number > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
        match = _ASSIGNMENT.match(line) if len(line) <= _MAX_LINE else None
        if match is not None:
            found[match[1]] = Variable(_unquoted(match[2]), number)
    return found


def _unquoted(text: str) -> str:
    """The first word of a shell, its quotes taken off."""
    word: list[str] = []
    quote, escaped = "", False
    for char in text:
        if escaped:
            word.append(char)
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif char == quote:
            quote = ""
        elif quote:
            word.append(char)
        elif char in "\"'":
            quote = char
        elif char.isspace() or char == ";":
            break
        else:
            word.append(char)
    return "".join(word)

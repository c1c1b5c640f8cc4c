"""sudoers(5), as far as its lines can be told sound from broken without the whole grammar.

Lossless: a line's offset and length are those of its bytes in the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_SIZE_BYTES = 1024 * 1024
MAX_LINES = 20_000
"""Rules of one file; far more than anybody keeps."""

_ALIAS = re.compile(r"(User|Runas|Host|Cmnd|Cmd)_Alias\s+[A-Z][A-Z0-9_]*\s*=\s*\S")
_TAGS = re.compile(r"(?:[A-Z_]++(?:=\S*+\s++|\s*+:\s*+))*")
"""Options and tags before a command. No repeat gives back what it took: a long word is tried once."""
_DEFAULTS = re.compile(r"Defaults(\s|[@:!>])")


@dataclass(frozen=True, slots=True)
class SudoersLine:
    """One logical line, continuations joined: 1-based number, place in bytes, text, what is wrong."""

    number: int
    offset: int
    length: int
    text: str
    problem: str = ""


def parse(data: bytes) -> tuple[SudoersLine, ...]:
    """The lines that are neither blank nor comment, each with its problem where it has one.

    Raises:
        FormatError: larger than any real one, or more lines.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a sudoers file")
    found: list[SudoersLine] = []
    for number, offset, raw in _logical(data):
        text = raw.decode("utf-8", "surrogateescape")
        stripped = text.strip(" \t\n")
        comment = stripped.startswith("#") and not _include(stripped) and not re.match(r"#\d", stripped)
        if stripped and not comment:
            if len(found) == MAX_LINES:
                raise FormatError(f"more than {MAX_LINES} rules, not all of them were looked at")
            body = raw.rstrip(b"\n")
            found.append(SudoersLine(number, offset, len(body), stripped, _problem(stripped)))
    return tuple(found)


def includes(lines: tuple[SudoersLine, ...]) -> Iterator[tuple[bool, str]]:
    """The files and directories that the lines read: (is a directory, path)."""
    for line in lines:
        found = _include(line.text)
        if found:
            yield found


def _include(text: str) -> tuple[bool, str] | None:
    """(is a directory, path) of an ``@include`` or ``#include`` line; None for any other."""
    if not text.startswith(("@include", "#include")):
        return None
    rest = text[len("@include") :]
    is_directory = rest.startswith("dir")
    rest = rest.removeprefix("dir")
    name = rest.strip()
    if not name or not rest[0].isspace() or "\n" in name:
        return None
    return is_directory, name.strip('"')


def _logical(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(number of the first line, its offset, the bytes) of each line with those that continue it."""
    offset = start = first = 0
    pending: list[bytes] = []
    for number, raw in enumerate(io.BytesIO(data), 1):
        if not pending:
            start, first = offset, number
        offset += len(raw)
        pending.append(raw)
        if raw.rstrip(b"\n").endswith(b"\\"):
            continue
        yield first, start, b"".join(pending)
        pending = []
    if pending:
        yield first, start, b"".join(pending)


def _problem(text: str) -> str:
    joined = text.replace("\\\n", " ")
    if "\r" in joined:
        return "it ends in a carriage return"
    if "\0" in joined:
        return "it holds a NUL byte"
    if _include(joined) or _ALIAS.match(joined):
        return ""
    if _DEFAULTS.match(joined):
        return "an open quote" if joined.replace('\\"', "").count('"') % 2 else ""
    if joined.rstrip().endswith("\\"):
        return "a continuation with nothing after it"
    who, equals, what = joined.partition("=")
    if not equals:
        return "neither a rule (it has no '='), nor an alias, nor Defaults"
    if len(who.split()) < 2:
        return "a rule without a host before '='"
    return _command_problem(what.strip())


def _command_problem(what: str) -> str:
    """What is wrong behind the first '=' of a rule: (user list), options, tags, then a command."""
    if what.startswith("("):
        _, closed, what = what.partition(")")
        if not closed:
            return "a list of users to run as that is not closed"
    return "a rule without a command after '='" if _TAGS.fullmatch(what.strip()) else ""

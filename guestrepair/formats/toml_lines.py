"""TOML with the line at which each key stands, so that a message can name it.

``tomllib`` reads the values, and tells no lines; the scan for keys goes over a text that it has accepted, so
it needs to know no more of the grammar than where strings, brackets and comments end (toml.io, version
1.0.0).
"""

from __future__ import annotations

import bisect
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from guestrepair.errors import FormatError

MAX_SIZE_BYTES = 128 * 1024
"""Of a text; nobody writes a longer one by hand."""
MAX_LINE = 1024
"""Characters of a line: a key of thousands of parts costs tomllib the square of their number."""

KeyPath = tuple[str | int, ...]
"""Names of tables and keys from the top, an index after the name of an array of tables."""

_AT = re.compile(r"\(at line ([0-9]{1,9}), column [0-9]{1,9}\)$")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class TomlText:
    """The values of a text, and the line (1-based) of each key and each table's header."""

    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)

    def line(self, *path: str | int) -> int:
        """The line of a key, or of the nearest key around it (inside an inline table nothing has a line)."""
        known = (path[:length] for length in range(len(path), 0, -1) if path[:length] in self.lines)
        return self.lines[found] if (found := next(known, None)) else 1


def parse_toml(data: bytes, name: str = "") -> TomlText:
    """Read a text; ``name`` is the file's, for messages.

    Raises:
        FormatError: it is no TOML, or larger than anybody writes; the message begins with name and line.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{name}:1: larger than {MAX_SIZE_BYTES} bytes", hint="split it")
    try:
        text = data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise FormatError(f"{name}:{number}: not UTF-8", hint="save it as UTF-8") from error
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            raise FormatError(f"{name}:{number}: longer than {MAX_LINE} characters", hint="break the line")
    try:
        return TomlText(tomllib.loads(text), dict(_Scan(text).keys()))
    except tomllib.TOMLDecodeError as error:
        words, at = str(error), _AT.search(str(error))
        number = int(at[1]) if at else text.rstrip("\n").count("\n") + 1
        words = (words[: at.start()] if at else words.removesuffix("(at end of document)")).strip()
        raise FormatError(f"{name}:{number}: {words}", hint="that is no TOML (toml.io)") from error
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise FormatError(f"{name}:1: nested too deeply, or a number too long") from error


class _Scan:
    """One pass over a text that tomllib has accepted."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._newlines = [at for at, character in enumerate(text) if character == "\n"]
        self._arrays: dict[KeyPath, int] = {}

    def keys(self) -> Iterator[tuple[KeyPath, int]]:
        """Every key and header with its line, the first of the same path."""
        text, at = self._text, 0
        table: KeyPath = ()
        seen: set[KeyPath] = set()
        while at < len(text):
            if text[at] in " \t\n":
                at += 1
                continue
            if text[at] == "#":
                at = self._line_end(at)
                continue
            line = bisect.bisect_left(self._newlines, at) + 1
            if text[at] == "[":
                table, at = self._header(at)
                path = table
            else:
                end = self._key_end(at, "=")
                path = self._inside(table, _names(text[at:end]))
                at = self._value_end(end + 1)
            if path not in seen:
                seen.add(path)
                yield path, line

    def _header(self, at: int) -> tuple[KeyPath, int]:
        brackets = 2 if self._text.startswith("[[", at) else 1
        end = self._key_end(at + brackets, "]")
        names = _names(self._text[at + brackets : end])
        path = (*self._inside((), names[:-1]), names[-1])
        if brackets == 2:
            self._arrays[path] = self._arrays.get(path, -1) + 1
        return self._inside((), names), self._line_end(end)

    def _inside(self, table: KeyPath, names: tuple[str, ...]) -> KeyPath:
        """The path of names in a table: of an array of tables the last one is meant."""
        path = table
        for name in names:
            path = (*path, name)
            if path in self._arrays:
                path = (*path, self._arrays[path])
        return path

    def _line_end(self, at: int) -> int:
        found = self._text.find("\n", at)
        return len(self._text) if found < 0 else found

    def _key_end(self, at: int, end: str) -> int:
        """Where the key ends that begins there: at that character, outside of quotes."""
        while at < len(self._text) and self._text[at] != end:
            at = self._string_end(at) if self._text[at] in "\"'" else at + 1
        return at

    def _value_end(self, at: int) -> int:
        """Where the value ends that begins there: at the end of its line, outside of strings and brackets."""
        depth = 0
        while at < len(self._text):
            character = self._text[at]
            if character == "\n" and depth == 0:
                return at
            if character in "\"'":
                at = self._string_end(at)
                continue
            if character == "#":
                at = self._line_end(at)
                continue
            depth += (character in "[{") - (character in "]}")
            at += 1
        return at

    def _string_end(self, at: int) -> int:
        """Behind the string that begins there."""
        text, quote = self._text, self._text[at]
        mark = quote * 3 if text.startswith(quote * 3, at) else quote
        at += len(mark)
        while at < len(text) and not text.startswith(mark, at):
            at += 2 if quote == '"' and text[at] == "\\" else 1
        at += len(mark)
        while len(mark) == 3 and text.startswith(quote, at):  # up to two quotes before the end are content
            at += 1
        return at


def _names(raw: str) -> tuple[str, ...]:
    """The parts of a key as it is written: ``a."b.c"`` is a and b.c."""
    if _BARE.fullmatch(raw.strip()):
        return (raw.strip(),)
    names: list[str] = []
    inner: Any = tomllib.loads(f"{raw.strip()} = 0")
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        names.append(name)
    return tuple(names)

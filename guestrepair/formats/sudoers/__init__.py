"""sudoers(5): its entries, and what sudo's own grammar finds wrong with each.

Lossless: an entry's offset and length are those of its bytes in the file. Versions differ in the words that
they know; an entry is judged by the guest's. Sources: sudoers(5); sudo ``plugins/sudoers``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.sudoers.grammar import Entry, Spec, SudoersSyntaxError, parse_entry
from guestrepair.formats.sudoers.lexer import NEWEST, Lexer, Release, Token

__all__ = [
    "MAX_LINES",
    "MAX_SIZE_BYTES",
    "NEWEST",
    "Entry",
    "Release",
    "Spec",
    "SudoersLine",
    "includes",
    "parse",
]

MAX_SIZE_BYTES = 1024 * 1024
MAX_LINES = 20_000
"""Rules of one file; far more than anybody keeps."""


@dataclass(frozen=True, slots=True)
class SudoersLine:
    """One entry, continuations joined: 1-based number, place in bytes, text, what is wrong, what it says."""

    number: int
    offset: int
    length: int
    text: str
    problem: str = ""
    entry: Entry | None = None


def parse(data: bytes, release: Release = NEWEST) -> tuple[SudoersLine, ...]:
    """The entries of one file, each with its problem where it has one; comments are none.

    Raises:
        FormatError: larger than any real one, or more entries.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a sudoers file")
    found: list[SudoersLine] = []
    defined: set[tuple[str, str]] = set()
    for number, start, end, tokens in _entries(data, release):
        if len(found) == MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} rules, not all of them were looked at")
        found.append(_line(data, number, start, end, tokens, release, defined))
    return tuple(found)


def _line(
    data: bytes,
    number: int,
    start: int,
    end: int,
    tokens: list[Token],
    release: Release,
    defined: set[tuple[str, str]],
) -> SudoersLine:
    raw = data[start:end]
    text = raw.decode("utf-8", "surrogateescape").strip(" \t\r\n")
    entry = None
    try:
        entry = parse_entry(tokens, release)
        problem = _problem(raw) or _twice(entry, defined)
    except SudoersSyntaxError as error:
        problem = _problem(raw) or _carriage_return(tokens) or str(error)
    return SudoersLine(number, start, end - start, text, problem, None if problem else entry)


def _problem(raw: bytes) -> str:
    return "it holds a NUL byte" if b"\0" in raw else ""


def _carriage_return(tokens: list[Token]) -> str:
    return (
        "it ends in a carriage return" if any(t.kind == "NOMATCH" and t.text == "\r" for t in tokens) else ""
    )


def _twice(entry: Entry, defined: set[tuple[str, str]]) -> str:
    for kind, name, _ in entry.aliases:
        if (kind, name) in defined:
            return f"the alias {name} is defined already"
        defined.add((kind, name))
    return ""


def includes(lines: Iterable[SudoersLine]) -> Iterator[tuple[bool, str]]:
    """The files and directories that the lines read: (is a directory, path)."""
    for line in lines:
        if line.entry is not None and line.entry.include is not None:
            is_directory, name = line.entry.include
            yield is_directory, name.replace("\\ ", " ")


def _entries(data: bytes, release: Release) -> Iterator[tuple[int, int, int, list[Token]]]:
    """(number of the first line, offset, end, words) of each entry that has words."""
    number, counted, start = 1, 0, 0
    words: list[Token] = []
    for token in Lexer(data.decode("latin-1"), release).tokens():
        if token.kind != "NEWLINE":
            words.append(token)
            continue
        if words:
            number += data.count(b"\n", counted, start)
            counted = start
            yield number, start, min(_end_of(data, token), len(data)), words
            words = []
        start = min(token.end, len(data))
    if words:
        words.append(Token("ERROR", "a continuation with nothing after it", len(data)))
        yield number + data.count(b"\n", counted, start), start, len(data), words


def _end_of(data: bytes, newline: Token) -> int:
    """Where an entry ends: before its newline, and behind a comment that stands before it."""
    end = newline.end - data[newline.offset : newline.end].endswith(b"\n")
    return end - data[newline.offset : end].endswith(b"\r")

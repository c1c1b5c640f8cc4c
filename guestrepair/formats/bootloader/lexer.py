"""Words of shell-like configuration (GRUB scripts, /etc/default/grub), with their places.

Quoting is that of the GRUB manual, "Writing full configuration files / Quoting", which for what is read
here is the shell's: single quotes keep all, double quotes keep all but ``\\``, a backslash keeps one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.bootloader.model import MAX_SIZE_BYTES, Word

MAX_WORDS = 400_000
"""Words of one file: ten times those of the longest menus."""

_BETWEEN = re.compile(rb"[ \t\r]+|\\\n|#[^\n]*")
"""What stands between words: blanks, a line that goes on, a comment."""
_PLAIN = re.compile(rb"[^ \t\r\n;'\"\\]+")
_QUOTING = re.compile(rb"['\"\\]")


@dataclass(frozen=True, slots=True)
class Statement:
    """One command with its words; ``line`` counts from 1."""

    words: tuple[Word, ...]
    line: int

    @property
    def name(self) -> str:
        """The first word."""
        return self.words[0].text

    @property
    def arguments(self) -> tuple[Word, ...]:
        """All further words."""
        return self.words[1:]


def statements(data: bytes) -> Iterator[Statement]:
    """Commands in order, at newlines and semicolons; braces are words of their own. Comments are left out.

    Raises:
        FormatError: larger than any real configuration, more words, or a quote that is never closed.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a boot loader's configuration")
    words: list[Word] = []
    line = first_line = 1
    position = count = 0
    while position < len(data):
        char = data[position]
        if char in b"\n;":
            if words:
                yield Statement(tuple(words), first_line)
                words = []
            line += char == 0x0A
            position += 1
        elif between := _BETWEEN.match(data, position):
            line += data.count(b"\n", position, between.end())
            position = between.end()
        else:
            if not words:
                first_line = line
            count += 1
            if count > MAX_WORDS:
                raise FormatError(f"more than {MAX_WORDS} words in a boot loader's configuration")
            end = _word_end(data, position, line)
            words.append(Word(unquote(data[position:end]), position, end - position))
            line += data.count(b"\n", position, end)
            position = end
    if words:
        yield Statement(tuple(words), first_line)


def _word_end(data: bytes, position: int, line: int) -> int:
    # GRUB takes a brace as a word of its own only when it stands alone (grub-core/script/yylex.l).
    start = position
    while position < len(data):
        char = data[position]
        if plain := _PLAIN.match(data, position):
            position = plain.end()
        elif char in b"'\"":
            position = _quote_end(data, position, line)
        elif char == 0x5C:
            position += 2
        else:
            break
    return max(min(position, len(data)), start + 1)


def _quote_end(data: bytes, position: int, line: int) -> int:
    quote = data[position]
    position += 1
    while position < len(data):
        if data[position] == quote:
            return position + 1
        position += 2 if data[position] == 0x5C and quote == 0x22 else 1
    raise FormatError(f"line {line}: a quote is opened and never closed")


def unquote(raw: bytes) -> str:
    """The word without its quotes and backslashes."""
    if not _QUOTING.search(raw):
        return raw.decode("utf-8", "surrogateescape")
    return bytes(byte for byte, _ in unquoted_bytes(raw)).decode("utf-8", "surrogateescape")


def unquoted_bytes(raw: bytes) -> Iterator[tuple[int, int]]:
    """(byte, its offset in ``raw``) of every byte that is left after quotes are taken off."""
    quote = 0
    position = 0
    while position < len(raw):
        char = raw[position]
        if quote == 0 and char in b"'\"":
            quote = char
        elif char == quote:
            quote = 0
        elif char == 0x5C and quote != 0x27 and position + 1 < len(raw):
            position += 1
            if raw[position] != 0x0A:
                yield raw[position], position
        else:
            yield char, position
        position += 1

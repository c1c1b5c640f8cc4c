"""Histories of shells: bash (and other shells that keep one command a line), zsh, fish.

Sources: bash(1), "HISTTIMEFORMAT"; bash's ``lib/readline/histfile.c``; zshoptions(1), EXTENDED_HISTORY, and
zsh's ``Src/hist.c`` and ``Src/utils.c`` (metafy); fish's ``src/history_file.cpp``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_LINES = 10_000
"""Of one command."""
_BASH_TIME = re.compile(r"#(\d{9,11})\s*")
_ZSH = re.compile(r": {1,8}(\d{9,11}):(\d{1,10});(.*)", re.DOTALL)
_META = 0x83


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One command: its line in the file, its text, and its time in seconds (None: not on record)."""

    line: int
    command: str
    seconds: int | None = None


Numbered = Iterable[tuple[int, str]]


def parse_bash_history(lines: Numbered) -> Iterator[HistoryEntry]:
    """One command a line; once times are kept, all lines up to the next time are one command."""
    number, seconds, words = 0, None, list[str]()
    for at, line in lines:
        found = _BASH_TIME.fullmatch(line) if line.startswith("#") else None
        if found is not None:
            if words:
                yield HistoryEntry(number, "\n".join(words), seconds)
            number, seconds, words = 0, int(found[1]), []
        elif seconds is None:
            yield HistoryEntry(at, line)
        elif len(words) < MAX_LINES:
            number = number or at
            words.append(line)
    if words:
        yield HistoryEntry(number, "\n".join(words), seconds)


def parse_zsh_history(lines: Numbered) -> Iterator[HistoryEntry]:
    """``: TIME:DURATION;COMMAND``, or commands alone; a backslash before a newline continues a command."""
    number, words = 0, list[str]()
    for at, line in lines:
        number = number or at
        if line.endswith("\\") and len(words) < MAX_LINES:
            words.append(line[:-1])
            continue
        yield _zsh_entry(number, "\n".join([*words, line]))
        number, words = 0, []
    if words:
        yield _zsh_entry(number, "\n".join(words))


def _zsh_entry(number: int, text: str) -> HistoryEntry:
    text = _unmetafied(text)
    found = _ZSH.fullmatch(text)
    return HistoryEntry(number, text) if found is None else HistoryEntry(number, found[3], int(found[1]))


def _unmetafied(text: str) -> str:
    """zsh puts 0x83 before bytes that mean something to it, and flips their sixth bit."""
    if text.isascii():
        return text
    raw = text.encode("utf-8", "surrogateescape")
    if _META not in raw:
        return text
    first, *rest = raw.split(bytes([_META]))
    plain = first + b"".join(bytes([part[0] ^ 32]) + part[1:] if part else b"" for part in rest)
    return plain.decode("utf-8", "surrogateescape")


def parse_fish_history(lines: Numbered) -> Iterator[HistoryEntry]:
    """``- cmd: COMMAND`` and ``  when: TIME`` below it, in fish's own kind of YAML."""
    entry: HistoryEntry | None = None
    for at, line in lines:
        if line.startswith("- cmd: "):
            if entry is not None:
                yield entry
            entry = HistoryEntry(at, _unescaped(line[7:]))
        elif entry is not None and line.startswith("  when: "):
            digits = line[8:].strip()
            if digits.isascii() and digits.isdigit() and len(digits) <= 11:
                entry = HistoryEntry(entry.line, entry.command, int(digits))
    if entry is not None:
        yield entry


def _unescaped(text: str) -> str:
    return re.sub(r"\\([\\n])", lambda found: "\n" if found[1] == "n" else "\\", text)

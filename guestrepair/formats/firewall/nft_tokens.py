"""nft's words: strings, addresses, numbers, names and signs, each with its place.

Source: nft(8), *Lexical conventions*, and nftables' ``src/scanner.l``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_TOKENS = 400_000

_TOKEN = re.compile(
    r"""
    (?P<skip>[ \t\r]+|\\\n|\#[^\n]*)
  | (?P<newline>\n)
  | (?P<string>"[^"\n]*")
  | (?P<address>(?=[0-9a-fA-F]*:[0-9a-fA-F]*:)[0-9a-fA-F:]+(?:\.\d+\.\d+\.\d+)?|\d+\.\d+\.\d+\.\d+)
  | (?P<number>0x[0-9a-fA-F]+|\d+(?![\w]))
  | (?P<word>\$?[A-Za-z_.][\w/.\-]*(?:\\?\*)?|\d\w*|\\?\*)
  | (?P<sign>==|!=|<=|>=|<<|>>|[{}()\[\];,:=<>!&|^@/+~.$-])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word; ``kind`` is newline, string, address, number, word or sign; offsets are bytes."""

    text: str
    kind: str
    file: str
    line: int
    start: int
    end: int

    @property
    def value(self) -> str:
        """The text without quotes."""
        return self.text[1:-1] if self.kind == "string" else self.text


def tokenize(data: bytes, file: str) -> list[Token]:
    """All words of one file.

    Raises:
        FormatError: something that no word begins with, or more words than any real file has.
    """
    text = data.decode("latin-1")  # one character a byte, so that offsets are the file's
    tokens: list[Token] = []
    position, line = 0, 1
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise FormatError(f"line {line}: {text[position]!r} is no word of nft")
        kind = found.lastgroup or ""
        if kind != "skip":
            tokens.append(Token(found[0], kind, file, line, position, found.end()))
            if len(tokens) > MAX_TOKENS:
                raise FormatError(f"more than {MAX_TOKENS} words, not all of them were looked at")
        line += found[0].count("\n")
        position = found.end()
    return tokens

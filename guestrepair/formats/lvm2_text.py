"""The text that LVM2 keeps its metadata in: sections, and keys with numbers, strings and lists of these.

Source: lvm2's ``libdm/libdm-config.c``; lvm.conf(5), "SYNTAX". Only what lvm writes into metadata is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias, Union

from guestrepair.errors import FormatError

Value: TypeAlias = int | str | tuple[int | str, ...]
Section: TypeAlias = Mapping[str, Union[Value, "Section"]]

_MAX_DEPTH = 6
_MAX_TOKENS = 400_000
_TOKEN = re.compile(
    r"[ \t\r\n]+|#[^\n]*|(?P<mark>[{}\[\]=,])"
    r'|"(?P<text>(?:[^"\\]|\\["\\])*)"'
    r"|(?P<number>-?\d{1,20})(?![\w.+-])|(?P<word>[A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,255})"
)


def parse_text(data: bytes) -> Section:
    """The whole text as nested sections. It ends at a NUL, if there is one.

    Raises:
        FormatError: anything else than lvm's metadata; a key that is there twice.
    """
    text, _, rest = data.partition(b"\0")
    if rest.strip(b"\0"):
        raise FormatError("metadata goes on after its end")
    try:
        return _Parser(text.decode("utf-8")).section(0)
    except UnicodeDecodeError as error:
        raise FormatError("metadata that is no text") from error


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None or len(self._tokens) > _MAX_TOKENS:
                raise FormatError("metadata that cannot be understood")
            if found.lastgroup is not None:
                self._tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self._tokens.append(("end", ""))
        self._at = 0

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def section(self, depth: int) -> Section:
        found: dict[str, Value | Section] = {}
        end = ("mark", "}") if depth else ("end", "")
        if depth > _MAX_DEPTH:
            raise FormatError("sections too deep in each other")
        while (token := self._next()) != end:
            kind, key = token
            if kind not in ("word", "number") or key in found:
                raise FormatError("metadata with something else than a key, or with a key twice")
            match self._next():
                case ("mark", "{"):
                    found[key] = self.section(depth + 1)
                case ("mark", "="):
                    found[key] = self._value()
                case _:
                    raise FormatError("a key in metadata without a value")
        return found

    def _value(self) -> Value:
        token = self._next()
        return self._list() if token == ("mark", "[") else _scalar(token)

    def _list(self) -> tuple[int | str, ...]:
        items: list[int | str] = []
        token = self._next()
        while token != ("mark", "]"):
            items.append(_scalar(token))
            token = self._next()
            if token == ("mark", ","):
                token = self._next()
                if token == ("mark", "]"):
                    raise FormatError("a list in metadata that ends with a comma")
            elif token != ("mark", "]"):
                raise FormatError("a list in metadata without commas")
        return tuple(items)


def _scalar(token: tuple[str, str]) -> int | str:
    kind, text = token
    if kind == "number":
        return int(text)
    if kind == "text":
        return re.sub(r'\\(["\\])', r"\1", text)
    raise FormatError("a value in metadata that is neither a number nor a string")

"""One table of a policy file, read strictly: each wrong or unknown word is refused with file and line."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable
from typing import Any, NoReturn

from guestrepair.errors import FormatError
from guestrepair.formats.toml_lines import TomlText

_QUOTED = 60
MAX_TEXT = 1024
"""Characters of a value."""


class Table:
    """A table of ``text`` at ``path``, of which only the keys ``known`` are taken.

    Raises:
        FormatError: (each method, too) a key or value is wrong; the message begins with file and line.
    """

    def __init__(self, text: TomlText, name: str, path: tuple[str | int, ...], known: Iterable[str]) -> None:
        self._text, self._name, self._path = text, name, path
        found: Any = text.values
        for step in path:
            found = found.get(step, {}) if isinstance(found, dict) else found[step]
        if not isinstance(found, dict):
            self.refuse("", f"{_title(path)} must be a table", "write its keys below that header")
        self.values: dict[str, Any] = found
        for key in found:
            if key not in (names := tuple(known)) and names:
                self.refuse(key, f"{_title(path)} has no key {_shown(key)}", advice(key, names))

    def place(self, key: str = "") -> str:
        """File and line of a key, or of the table."""
        return f"{self._name}:{self._text.line(*self._path, *((key,) if key else ()))}"

    def refuse(self, key: str, what: str, hint: str = "") -> NoReturn:
        """End the reading: what is wrong with a key (or the table), and what to do."""
        raise FormatError(f"{self.place(key)}: {what}", hint=hint)

    def text(self, key: str) -> str:
        """A text of one or more printable lines; "" where the key is not there."""
        value = self.values.get(key, "")
        if not isinstance(value, str):
            self.refuse(key, f"{key} must be a text, not {kind(value)}", f'write {key} = "…"')
        if key in self.values and not value.strip():
            self.refuse(key, f"{key} is empty", "say what is meant, or take the line out")
        if len(value) > MAX_TEXT or "\0" in value:
            self.refuse(key, f"{key} is longer than {MAX_TEXT} characters, or holds a NUL", "shorten it")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A text, or an array of texts, as a tuple without doubles."""
        value = self.values.get(key, [])
        if isinstance(value, str):
            return (self.text(key),)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self.refuse(key, f"{key} must be a text or an array of texts", f'write {key} = ["…", "…"]')
        if any(not each.strip() or len(each) > MAX_TEXT or "\0" in each for each in value):
            self.refuse(key, f"{key} holds a text that is empty or too long", "take it out")
        return tuple(dict.fromkeys(value))

    def flag(self, key: str, *, usual: bool) -> bool:
        """True or false."""
        value = self.values.get(key, usual)
        if not isinstance(value, bool):
            self.refuse(key, f"{key} must be true or false, not {kind(value)}", f"write {key} = true")
        return value

    def date(self, key: str) -> dt.date | None:
        """A day; None where the key is not there."""
        value = self.values.get(key)
        if value is not None and (not isinstance(value, dt.date) or isinstance(value, dt.datetime)):
            self.refuse(key, f"{key} must be a date, not {kind(value)}", f"write {key} = 2027-03-01")
        return value

    def choice(self, key: str, words: tuple[str, ...]) -> str:
        """One of some words; "" where the key is not there."""
        value = self.text(key)
        if value and value not in words:
            self.refuse(key, f"{key} is no {_shown(value)}", advice(value, words))
        return value


def advice(word: str, words: Iterable[str]) -> str:
    """What to write instead: the nearest word, or all of them where there are few."""
    known = sorted(words)
    near = difflib.get_close_matches(word[:100], known, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(known)}" if len(known) <= 25 else "guestrepair explain lists all rules"


def kind(value: object) -> str:
    """The type of a TOML value in words."""
    words = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "an array"}
    return words.get(type(value), "a table" if isinstance(value, dict) else "a date or time")


def _title(path: tuple[str | int, ...]) -> str:
    if not path:
        return "a policy"
    names = ".".join(step for step in path if isinstance(step, str))
    return f"[[{names}]]" if isinstance(path[-1], int) else f"[{names}]"


def _shown(word: str) -> str:
    return repr(word if len(word) <= _QUOTED else word[:_QUOTED] + "…")

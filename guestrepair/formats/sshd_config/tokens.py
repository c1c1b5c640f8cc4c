"""How sshd cuts a line of its configuration into keyword and arguments.

Up to 8.6 each argument is taken by strdelim(): blanks and one ``=`` separate,
double quotes hold together, ``#`` means nothing after the keyword. From 8.7 on
only the keyword is: the rest is split by argv_split(), with both kinds of
quotes, backslash escapes, and comments. Text is latin-1: a character a byte.

Source: sshd_config(5); the behaviour of OpenSSH misc.c strdelim(), argv_split().
"""

from __future__ import annotations

import re

BLANKS = " \t\r\n"
ESCAPABLE = "'\"\\"

ARGV_SINCE = (8, 7)
"""The release from which arguments are split by argv_split()."""


_DELIMITER = re.compile(r"[ \t\r\n\"=]")
_BLANK = re.compile(r"[ \t\r\n]*")


def strdelim(text: str | None) -> tuple[str | None, str | None]:
    """The next token and what remains; None for the token at the end or for a quote that does not close."""
    if text is None:
        return None, None
    token, following = strdelim_at(text, 0)
    return token, None if following is None else text[following:]


def strdelim_at(text: str, start: int) -> tuple[str | None, int | None]:
    """The token that begins at ``start``, and where what remains begins; None as :func:`strdelim` has it.

    Taking a line apart by places and not by its rests costs no more than the line is long.
    """
    found = _DELIMITER.search(text, start)
    if found is None:
        return text[start:], None
    index = found.start()
    if text[index] == '"':
        end = text.find('"', index + 1)
        if end < 0:
            return None, None
        return text[start:index] + text[index + 1 : end], _after_blanks(text, end + 1)
    following = _after_blanks(text, index + 1)
    if text[index] != "=" and text.startswith("=", following):
        following = _after_blanks(text, following + 1)
    return text[start:index], following


def _after_blanks(text: str, start: int) -> int:
    found = _BLANK.match(text, start)
    return found.end() if found is not None else start


def argv_split(text: str) -> list[str] | None:
    """The words of a line up to a comment; None when a quote does not close."""
    words: list[str] = []
    index = 0
    while index < len(text):
        if text[index] in " \t":
            index += 1
            continue
        if text[index] == "#":
            break
        taken = _take_word(text, index)
        if taken is None:
            return None
        word, index = taken
        words.append(word)
    return words


def _take_word(text: str, index: int) -> tuple[str, int] | None:
    word: list[str] = []
    quote = ""
    while index < len(text):
        char = text[index]
        following = text[index + 1 : index + 2]
        if char == "\\" and following and (following in ESCAPABLE or (not quote and following == " ")):
            word.append(following)
            index += 1
        elif not quote and char in " \t":
            break
        elif not quote and char in "\"'":
            quote = char
        elif quote and char == quote:
            quote = ""
        else:
            word.append(char)
        index += 1
    return None if quote else ("".join(word), index)


class Arguments:
    """The arguments of one line, handed out one after another as the release at hand would."""

    def __init__(self, rest: str | None, words: list[str] | None) -> None:
        """``words`` are those of argv_split(), or None for a release that uses strdelim() on ``rest``."""
        self.rest = rest
        self._words = words
        self._taken = 0
        self._text = rest or ""
        self._at: int | None = None if rest is None else 0

    @property
    def is_argv(self) -> bool:
        """True from 8.7 on."""
        return self._words is not None

    def next(self) -> str | None:
        """The next argument, None when there is none (or, before 8.7, a quote does not close)."""
        if self._words is None:
            token, self._at = (None, None) if self._at is None else strdelim_at(self._text, self._at)
            return token
        if self._taken == len(self._words):
            return None
        self._taken += 1
        return self._words[self._taken - 1]

    def peek(self) -> str | None:
        """What :meth:`next` would give."""
        if self._words is None:
            return None if self._at is None else strdelim_at(self._text, self._at)[0]
        return self._words[self._taken] if self._taken < len(self._words) else None

    def has_more(self) -> bool:
        """Whether something is left: from 8.7 on any word, before that any that is not empty."""
        if self._words is None:
            return bool(self.peek())
        return self._taken < len(self._words)

    def all_left(self) -> list[str]:
        """Everything that remains; before 8.7 up to the first empty token, as sshd's loops read."""
        found: list[str] = []
        while (word := self.next()) is not None:
            if self._words is None and not word:
                break
            found.append(word)
        return found

    def consume(self) -> None:
        """Drop whatever is left."""
        self._at = None
        self._taken = len(self._words or ())

    def following(self) -> str | None:
        """The text that strdelim() has not taken yet (before 8.7; afterwards the whole rest of the line)."""
        if self._words is not None:
            return self.rest
        return None if self._at is None else self._text[self._at :]

    def set_following(self, text: str | None) -> None:
        """Go on with this text (before 8.7), or take the words as read when nothing is left (from 8.7 on)."""
        if self._words is None:
            self._text = text or ""
            self._at = None if text is None else 0
        elif not text:
            self.consume()

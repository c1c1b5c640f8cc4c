"""How sshd cuts a line of its configuration into keyword and arguments.

Up to 8.6 each argument is taken by strdelim(): blanks and one ``=`` separate,
double quotes hold together, ``#`` means nothing after the keyword. From 8.7 on
only the keyword is: the rest is split by argv_split(), with both kinds of
quotes, backslash escapes, and comments. Text is latin-1: a character a byte.

Source: sshd_config(5); the behaviour of OpenSSH misc.c strdelim(), argv_split().
"""

from __future__ import annotations

BLANKS = " \t\r\n"
ESCAPABLE = "'\"\\"

ARGV_SINCE = (8, 7)
"""The release from which arguments are split by argv_split()."""


def strdelim(text: str | None) -> tuple[str | None, str | None]:
    """The next token and what remains; None for the token at the end or for a quote that does not close."""
    if text is None:
        return None, None
    index = next((i for i, char in enumerate(text) if char in BLANKS or char in '"='), None)
    if index is None:
        return text, None
    if text[index] == '"':
        text = text[:index] + text[index + 1 :]
        end = text.find('"', index)
        if end < 0:
            return None, None
        return text[:end], text[end + 1 :].lstrip(BLANKS)
    rest = text[index + 1 :].lstrip(BLANKS)
    if text[index] != "=" and rest.startswith("="):
        rest = rest[1:].lstrip(BLANKS)
    return text[:index], rest


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
        self._left = rest

    @property
    def is_argv(self) -> bool:
        """True from 8.7 on."""
        return self._words is not None

    def next(self) -> str | None:
        """The next argument, None when there is none (or, before 8.7, a quote does not close)."""
        if self._words is None:
            token, self._left = strdelim(self._left)
            return token
        if self._taken == len(self._words):
            return None
        self._taken += 1
        return self._words[self._taken - 1]

    def peek(self) -> str | None:
        """What :meth:`next` would give."""
        if self._words is None:
            return strdelim(self._left)[0]
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
        self._left = None
        self._taken = len(self._words or ())

    def following(self) -> str | None:
        """The text that strdelim() has not taken yet (before 8.7; afterwards the whole rest of the line)."""
        return self._left if self._words is None else self.rest

    def set_following(self, text: str | None) -> None:
        """Go on with this text (before 8.7), or take the words as read when nothing is left (from 8.7 on)."""
        if self._words is None:
            self._left = text
        elif not text:
            self.consume()

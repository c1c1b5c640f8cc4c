"""Words as systemd splits them in its line formats (tmpfiles.d, sysusers.d): blanks, quotes, backslashes.

Source: systemd.syntax(7), *Quoting*; ``extract_first_word()`` with
``EXTRACT_UNQUOTE | EXTRACT_CUNESCAPE``.
"""

from __future__ import annotations

SIMPLE_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "s": " ",
    "\\": "\\",
    '"': '"',
    "'": "'",
    "a": "\a",
    "b": "\b",
}


def split_words(text: str, *, maximum: int) -> list[str] | None:
    """At most ``maximum`` words of a line, the last one taking all that remains; None for a bad quote."""
    words: list[str] = []
    rest = text.strip()
    while rest and len(words) < maximum - 1:
        taken = _first_word(rest)
        if taken is None:
            return None
        word, rest = taken
        words.append(word)
    if rest:
        words.append(rest)
    return words


def _first_word(text: str) -> tuple[str, str] | None:
    word: list[str] = []
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            if position + 1 == len(text):
                return None
            escaped = text[position + 1]
            word.append(SIMPLE_ESCAPES.get(escaped, "\\" + escaped))
            position += 1
        elif quote:
            if char == quote:
                quote = ""
            else:
                word.append(char)
        elif char in "\"'":
            quote = char
        elif char in " \t":
            break
        else:
            word.append(char)
        position += 1
    return None if quote else ("".join(word), text[position:].lstrip(" \t"))


def word_set(text: str) -> frozenset[str]:
    """The words of a text, for tables that are easier to read so than as a list of strings."""
    return frozenset(text.split())

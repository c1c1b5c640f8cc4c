"""Making text from a guest safe to print: what a terminal acts on, or does not show, is written out.

One function for each kind of output: :func:`printable` for lines and cells, :func:`json_text` for JSON,
:func:`shell_words` for a command that is there to be copied.

Sources: Unicode's ``Default_Ignorable_Code_Point``; bash(1), "QUOTING" (``$'…'``).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from typing import Any

_UNSEEN = frozenset(
    {
        0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0x1D159,
        *range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0),
    }
)  # fmt: skip
"""Characters that count as printable and leave nothing on the screen, or a blank."""


def printable(text: str, *, keep_newlines: bool = False) -> str:
    """The text with every character that is not seen as itself written as ``\\xNN`` or ``\\uNNNN``.

    Bytes that were no UTF-8 (surrogates of ``surrogateescape``) become ``\\xNN``. With ``keep_newlines``,
    line feeds and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(c, keep_newlines) for c in text)


def _shown(character: str, keep_newlines: bool) -> str:
    if keep_newlines and character in "\n\t":
        return character
    if character.isprintable() and ord(character) not in _UNSEEN:
        return character
    return _escape(character)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def valid_unicode(text: str) -> str:
    """The text with every surrogate written out, a byte that was no UTF-8 as ``\\xNN``; else unchanged."""
    if text.isascii():
        return text
    return "".join(_escape(c) if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)


def json_text(document: dict[str, Any]) -> str:
    """The document as JSON with a final newline: ASCII, and no escape in it stands for half a character."""
    return json.dumps(_valid(document), indent=2, ensure_ascii=True) + "\n"


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return valid_unicode(value)
    if isinstance(value, dict):
        return {_valid(key): _valid(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_valid(item) for item in value]
    return value


def shell_words(words: Iterable[str]) -> str:
    """The words as a command line to be copied: each comes back from the shell as the same bytes."""
    return " ".join(map(_shell_word, words))


def _shell_word(word: str) -> str:
    if printable(word) == word:
        return shlex.quote(word)
    # A surrogate that stands for no byte is in no name of a file: it can only be shown.
    named = "".join(_escape(c) if "\ud800" <= c <= "\udc7f" or "\udd00" <= c <= "\udfff" else c for c in word)
    plain = "".join(_octet(byte) for byte in named.encode("utf-8", "surrogateescape"))
    return f"$'{plain}'"


def _octet(byte: int) -> str:
    """A byte within ``$'…'``."""
    character = chr(byte)
    if character in "'\\":
        return f"\\{character}"
    return character if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"

"""Making text from a guest safe to print: control characters, escapes and direction marks show."""

from __future__ import annotations


def printable(text: str, *, keep_newlines: bool = False) -> str:
    """The text with every character that a terminal might act on written as ``\\xNN`` or ``\\uNNNN``.

    Bytes that were no UTF-8 (surrogates of ``surrogateescape``) become ``\\xNN``. With ``keep_newlines``,
    line feeds and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(c, keep_newlines) for c in text)


def _shown(character: str, keep_newlines: bool) -> str:
    if keep_newlines and character in "\n\t":
        return character
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def valid_unicode(text: str) -> str:
    """The text with undecodable bytes written as ``\\xNN``, and nothing else changed: for JSON."""
    return "".join(f"\\x{ord(c) - 0xDC00:02x}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)

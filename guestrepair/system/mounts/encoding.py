"""A table that is no plain text: UTF-16, NUL bytes, blanks that are none; and the same as plain text."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WIDE_BLANK = re.compile(rb"\xc2\xa0|\xe2\x80[\x80-\x8a\xaf]|\xe3\x80\x80")
_NO_WIDTH = re.compile(rb"\xe2\x80[\x8b-\x8d]|(?<!^)\xef\xbb\xbf")


@dataclass(frozen=True, slots=True)
class PlainText:
    """What the file has that plain text has not, and the text as it should be."""

    problem: str
    text: bytes


def plain_text(data: bytes) -> PlainText | None:
    """The same text as it should be, of a file with NUL bytes or in UTF-16; else None."""
    wide = decoded_utf16(data)
    if wide is not None:
        return PlainText("UTF-16 text", _unix_lines(wide))
    if not data.strip(b"\0"):
        return None
    if b"\0" in data:
        return PlainText("NUL bytes", _unix_lines(_with_ascii_blanks(data.removeprefix(b"\xef\xbb\xbf"))))
    plain = _with_ascii_blanks(data)
    if plain == data:
        return None
    return PlainText("blanks that are no ASCII blanks", _unix_lines(plain))


def decoded_utf16(data: bytes) -> bytes | None:
    """The same text as UTF-8, when the file is UTF-16 with its byte-order mark."""
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    return data.decode("utf-16", "replace").encode()


def _with_ascii_blanks(data: bytes) -> bytes:
    """The lines that are no comments with plain blanks for no-break ones, and without those of no width.

    A web page or a word processor puts them in; libmount and systemd take them for letters of the field.
    """
    return b"".join(
        line if line.lstrip(b" \t").startswith(b"#") else _NO_WIDTH.sub(b"", _WIDE_BLANK.sub(b" ", line))
        for line in data.splitlines(keepends=True)
    )


def _unix_lines(text: bytes) -> bytes:
    text = text.replace(b"\0", b"").replace(b"\r\n", b"\n")
    return text.removesuffix(b"\r") + (b"" if text.endswith(b"\n") or not text else b"\n")

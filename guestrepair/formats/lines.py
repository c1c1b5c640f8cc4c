"""Lines of a guest's text, one after another: a list of all would take many times the text's memory."""

from __future__ import annotations

import io
from collections.abc import Iterator

from guestrepair.errors import FormatError


def byte_lines(data: bytes) -> Iterator[bytes]:
    """What ``data.split(b"\\n")`` gives, the last piece being what follows the last newline."""
    raw = b"\n"
    for raw in io.BytesIO(data):
        yield raw.removesuffix(b"\n")
    if raw.endswith(b"\n"):
        yield b""


def text_lines(data: bytes, errors: str = "surrogateescape") -> Iterator[str]:
    """The same lines as text; undecodable bytes come as surrogates unless ``errors`` says otherwise."""
    return (raw.decode("utf-8", errors) for raw in byte_lines(data))


def joined_lines(data: bytes, *, maximum: int) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(number of its first line, pieces) of each line, one that ends in a backslash going on in the next.

    Blank lines and comments (``#``) between them are left out; the pieces are stripped.

    Raises:
        FormatError: more lines than ``maximum``.
    """
    pending: list[str] = []
    start = 0
    for number, raw in enumerate(text_lines(data), 1):
        if number > maximum:
            raise FormatError(f"more than {maximum} lines, not all of them were looked at")
        line = raw.strip()
        if not pending:
            start = number
            if not line or line.startswith("#"):
                continue
        if line.endswith("\\"):
            pending.append(line[:-1])
            continue
        yield start, (*pending, line)
        pending = []
    if pending:
        yield start, tuple(pending)

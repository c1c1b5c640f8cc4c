"""Lines of a guest's text, one after another: a list of all would take many times the text's memory."""

from __future__ import annotations

import io
from collections.abc import Iterator


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

"""crypttab(5): encrypted devices that are opened at boot, with the place of every field."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from guestrepair.errors import FormatError

MAX_SIZE_BYTES = 1024 * 1024
"""A larger file is refused."""

MAX_LINES = 1_000
"""More devices than this are refused."""

_LINE = re.compile(rb"[^\n]*\n?")
_TOKEN = re.compile(rb"[^ \t\r\n\0]+")


@dataclass(frozen=True, slots=True)
class CryptEntry:
    """One line. ``source_offset`` and ``source_length`` are the bytes of the second field in the file."""

    number: int
    name: str
    source: str
    key: str
    options: tuple[str, ...]
    source_offset: int
    source_length: int

    @property
    def required(self) -> bool:
        """True when boot waits for it (crypttab(5), ``nofail`` and ``noauto``)."""
        return not {"nofail", "noauto"} & set(self.options)

    @property
    def makes_swap(self) -> bool:
        """True for a device that is formatted again as swap at each boot."""
        return any(o == "swap" or o.startswith("swap=") for o in self.options)

    @property
    def is_plain(self) -> bool:
        """True where no LUKS header is expected, or the device is made again at each boot."""
        keys = {o.partition("=")[0] for o in self.options}
        return bool(keys & {"plain", "swap", "tmp", "tcrypt", "bitlk", "loop"}) or "/dev/urandom" in self.key


def sources(entries: Iterable[CryptEntry]) -> dict[str, str]:
    """Name to source of the entries that open a LUKS container."""
    return {entry.name: entry.source for entry in entries if not entry.is_plain}


def unread_lines(data: bytes) -> tuple[tuple[int, str], ...]:
    """(number, text) of the lines that are neither blank nor comment and lack their second field."""
    found: list[tuple[int, str]] = []
    for number, match in enumerate(_LINE.finditer(data[:MAX_SIZE_BYTES]), start=1):
        tokens = list(itertools.islice(_TOKEN.finditer(match[0]), 2))
        if len(tokens) == 1 and not tokens[0][0].startswith(b"#") and len(found) < MAX_LINES:
            found.append((number, tokens[0][0].decode("utf-8", "surrogateescape")))
    return tuple(found)


def parse(data: bytes) -> tuple[CryptEntry, ...]:
    """Parse a crypttab; lines without a second field are left out, as systemd-cryptsetup-generator(8) does.

    Raises:
        FormatError: the file is larger than any real one, or has more lines.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a table of encrypted devices")
    found: list[CryptEntry] = []
    for number, match in enumerate(_LINE.finditer(data), start=1):
        tokens = list(itertools.islice(_TOKEN.finditer(match[0]), 4))
        if len(tokens) < 2 or tokens[0][0].startswith(b"#"):
            continue
        if len(found) == MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} encrypted devices")
        text = [t[0].decode("utf-8", "surrogateescape") for t in tokens]
        found.append(
            CryptEntry(
                number=number,
                name=text[0],
                source=text[1],
                key=text[2] if len(text) > 2 else "",
                options=tuple(o for o in text[3].split(",") if o) if len(text) > 3 else (),
                source_offset=match.start() + tokens[1].start(),
                source_length=len(tokens[1][0]),
            )
        )
    return tuple(found)

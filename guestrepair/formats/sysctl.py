"""Settings of the kernel at boot: sysctl.d(5) and sysctl.conf(5)."""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines

MAX_SIZE_BYTES = 1024 * 1024
"""A larger file is refused."""
_MAX_SETTINGS = 20_000


@dataclass(frozen=True, slots=True)
class Setting:
    """``key = value`` of one line: the key with slashes, where the line begins, and its number (from 1)."""

    key: str
    value: str
    offset: int
    line: int


def parse_sysctl(data: bytes) -> tuple[Setting, ...]:
    """The settings in order; a later one of the same key counts.

    Raises:
        FormatError: larger than any real file, or more settings.
    """
    if len(data) > MAX_SIZE_BYTES:
        raise FormatError(f"{len(data)} bytes are too many for a list of kernel settings")
    found: list[Setting] = []
    offset = 0
    for number, raw in enumerate(byte_lines(data), start=1):
        text = raw.strip()
        name, equals, value = text.partition(b"=")
        if equals and not text.startswith((b"#", b";")):
            key = _key(name.strip().removeprefix(b"-").decode("utf-8", "surrogateescape"))
            found.append(Setting(key, value.strip().decode("utf-8", "surrogateescape"), offset, number))
            if len(found) > _MAX_SETTINGS:
                raise FormatError(f"more than {_MAX_SETTINGS} kernel settings, not all were looked at")
        offset += len(raw) + 1
    return tuple(found)


def _key(name: str) -> str:
    """With slashes: where a dot comes first, dots separate and slashes are dots (sysctl.d(5))."""
    first = next((c for c in name if c in "./"), "/")
    return name.translate({ord("."): "/", ord("/"): "."}) if first == "." else name

"""Which of two versions of an rpm package is the newer one.

Sources: rpm's ``rpmio/rpmvercmp.c`` (segments, ``~``, ``^``), ``lib/rpmver.c`` (with epoch and release).
"""

from __future__ import annotations

import functools
import re

MAX_CHARACTERS = 4096
"""Of a version; a longer one is compared by its beginning."""

_SEGMENT = re.compile(r"([0-9]+)|([A-Za-z]+)|(~)|(\^)")
_Key = tuple[int, int, str]
_END = 1
"""Where a version ends: after ``~`` (0), before ``^`` (2), letters (3) and numbers (4)."""


@functools.total_ordering
class RpmVersion:
    """``[EPOCH:]VERSION[-RELEASE]``, ordered as rpm orders it."""

    def __init__(self, text: str) -> None:
        epoch, colon, rest = text[:MAX_CHARACTERS].partition(":")
        if not colon:
            epoch, rest = "0", epoch
        version, _, release = rest.rpartition("-") if "-" in rest else (rest, "", "")
        number = int(epoch) if epoch.isascii() and epoch.isdigit() and len(epoch) < 12 else 0
        self.key = (number, _segments(version), _segments(release))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RpmVersion) and self.key == other.key

    def __lt__(self, other: RpmVersion) -> bool:
        return self.key < other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _segments(text: str) -> tuple[_Key, ...]:
    """The parts that count: separators only divide, zeros in front are nothing, a longer number is more."""
    found: list[_Key] = []
    for match in _SEGMENT.finditer(text):
        digits, letters, tilde, _caret = match.groups()
        if digits:
            plain = digits.lstrip("0")
            found.append((4, len(plain), plain))
        elif letters:
            found.append((3, 0, letters))
        else:
            found.append((0 if tilde else 2, 0, ""))
    return (*found, (_END, 0, ""))

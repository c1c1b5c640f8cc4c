"""Which of two versions of a Debian package is the later one.

Sources: deb-version(7) *Sorting Algorithm*; Debian Policy 5.6.12; dpkg's ``lib/dpkg/version.c``.
"""

from __future__ import annotations

import functools
import re

MAX_CHARACTERS = 4096
"""Of a version; a longer one is compared by its beginning."""

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")
_END = 0
_Key = tuple[tuple[tuple[int, ...], int, str], ...]


@functools.total_ordering
class DebVersion:
    """``[EPOCH:]VERSION[-REVISION]``, ordered as dpkg orders it; no revision is the revision 0."""

    def __init__(self, text: str) -> None:
        epoch, colon, rest = text[:MAX_CHARACTERS].partition(":")
        if not colon:
            epoch, rest = "0", epoch
        version, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
        number = int(epoch) if epoch.isascii() and epoch.isdigit() and len(epoch) < 12 else 0
        self.key = (number, _parts(version), _parts(revision))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DebVersion) and self.key == other.key

    def __lt__(self, other: DebVersion) -> bool:
        if self.key[0] != other.key[0]:
            return self.key[0] < other.key[0]
        for mine, theirs in zip(self.key[1:], other.key[1:], strict=True):
            if mine != theirs:
                length = max(len(mine), len(theirs))
                return _filled(mine, length) < _filled(theirs, length)
        return False

    def __hash__(self) -> int:
        return hash(self.key)


def _parts(text: str) -> _Key:
    """What is no digit and the number after it, in turns; ended as if by an empty one of each."""
    found = [
        ((*map(_order, match[1]), _END), len(plain), plain)
        for match in _PARTS.finditer(text)
        if match[0]
        for plain in (match[2].lstrip("0"),)
    ]
    while found and found[-1] == _NOTHING:  # "0" is nothing, and so is "" ("1" and "1.0" differ)
        found.pop()
    return tuple(found)


def _filled(parts: _Key, length: int) -> _Key:
    """Where one version has ended, the other goes on against nothing, which is more than ``~``."""
    return parts + (_NOTHING,) * (length - len(parts))


_NOTHING = ((_END,), 0, "")


def _order(character: str) -> int:
    """``~`` before the end of the part, letters after it, then everything else."""
    if character == "~":
        return -1
    return ord(character) if character.isascii() and character.isalpha() else ord(character) + 0x200000

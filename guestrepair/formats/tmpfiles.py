"""tmpfiles.d(5): which files and directories systemd makes, changes or removes at boot.

Each line is ``type path mode user group age argument``; only type and path are
mandatory and ``-`` leaves a field open. A line that
systemd-tmpfiles would refuse is left out and listed by its number.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines
from guestrepair.formats.words import split_words

MAX_LINES = 50_000
"""Lines of one file that are neither blank nor comments."""

TYPES = frozenset("fFwdDevqQpLcbCxXrRzZtThHaA")
"""The line types of tmpfiles.d(5) (systemd 256); modifiers are ``+ ! - = ~ ^ $ ?``."""

MAKES_DIRECTORY = frozenset("dDevqQ")
"""Types that make a directory, or set the mode and owner of one that is there (``e`` only the latter)."""

REMOVES = frozenset("rRD")
"""Types that remove what is there; with ``!`` at boot only."""


@dataclass(frozen=True, slots=True)
class TmpfilesLine:
    """One line: its 1-based number, type letter, modifiers, path, and the fields that are not ``-``."""

    number: int
    type: str
    modifiers: str
    path: str
    mode: int | None = None
    user: str = ""
    group: str = ""
    age: str = ""
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Tmpfiles:
    """The lines of one file that parse, and the numbers of those that do not."""

    lines: tuple[TmpfilesLine, ...]
    malformed: tuple[int, ...]


def parse_tmpfiles(data: bytes) -> Tmpfiles:
    """Parse one file of tmpfiles.d.

    Raises:
        FormatError: more lines than any real one has.
    """
    lines: list[TmpfilesLine] = []
    malformed: list[int] = []
    for number, text in enumerate(text_lines(data), 1):
        if len(lines) + len(malformed) > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
        stripped = text.strip()
        if not stripped or stripped.startswith("#"):
            continue
        line = _parse_line(number, stripped)
        if line is None:
            malformed.append(number)
        else:
            lines.append(line)
    return Tmpfiles(tuple(lines), tuple(malformed))


def _parse_line(number: int, text: str) -> TmpfilesLine | None:
    words = split_words(text, maximum=7)
    if words is None or len(words) < 2:
        return None
    kind, path, *rest = words
    mode_text, user, group, age, argument = ["" if w == "-" else w for w in [*rest, *[""] * 5][:5]]
    if kind[0] not in TYPES or not path.startswith("/"):
        return None
    digits = mode_text.lstrip("~:")
    if digits and not all(c in "01234567" for c in digits):
        return None
    mode = int(digits, 8) if digits else None
    if mode is not None and mode > 0o7777:
        return None
    return TmpfilesLine(number, kind[0], kind[1:], path.replace("%%", "%"), mode, user, group, age, argument)

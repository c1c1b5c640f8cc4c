"""sysusers.d(5): the system users and groups that a package wants.

Lines are ``type name id gecos home shell``. A line that
systemd-sysusers would refuse is left out and listed by its number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines
from guestrepair.formats.words import split_words

MAX_LINES = 50_000
"""Lines of one file that are neither blank nor comments."""

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,30}\$?", re.ASCII)
"""A user name as systemd takes it (User/Group Name Syntax, strict mode)."""


@dataclass(frozen=True, slots=True)
class SystemUser:
    """One ``u`` or ``g`` line; ids None where systemd chooses one, ``group`` a named primary group."""

    number: int
    type: str
    name: str
    uid: int | None = None
    gid: int | None = None
    group: str = ""
    gecos: str = ""
    home: str = "/"
    shell: str = "/usr/sbin/nologin"


@dataclass(frozen=True, slots=True)
class SystemUsers:
    """Users and groups of one file, and the numbers of the lines that do not parse."""

    lines: tuple[SystemUser, ...]
    malformed: tuple[int, ...]

    def user(self, name: str) -> SystemUser | None:
        """The first ``u`` line of that name, or None."""
        return next((line for line in self.lines if line.type == "u" and line.name == name), None)


def parse_sysusers(data: bytes) -> SystemUsers:
    """Parse one file of sysusers.d; ``m`` and ``r`` lines are passed over.

    Raises:
        FormatError: more lines than any real one has.
    """
    lines: list[SystemUser] = []
    malformed: list[int] = []
    for number, text in enumerate(text_lines(data), 1):
        if len(lines) + len(malformed) > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
        stripped = text.strip()
        if not stripped or stripped.startswith("#") or stripped[0] in "mr":
            continue
        line = _parse_line(number, stripped)
        if line is None:
            malformed.append(number)
        else:
            lines.append(line)
    return SystemUsers(tuple(lines), tuple(malformed))


def _parse_line(number: int, text: str) -> SystemUser | None:
    words = split_words(text, maximum=7)
    if words is None or len(words) < 2 or words[0].rstrip("!") not in {"u", "g"}:
        return None
    kind, name, *rest = words
    identity, gecos, home, shell = ["" if w == "-" else w for w in [*rest, *[""] * 4][:4]]
    ids = _ids(identity, kind[0])
    if ids is None or not NAME.fullmatch(name) or ":" in gecos + home + shell or "\n" in gecos + home + shell:
        return None
    uid, gid, group = ids
    return SystemUser(
        number, kind[0], name, uid, gid, group, gecos, home or "/", shell or "/usr/sbin/nologin"
    )


def _ids(text: str, kind: str) -> tuple[int | None, int | None, str] | None:
    first, _, second = text.partition(":")
    if first.startswith("/"):
        return (None, None, "")
    uid = _number(first)
    if first not in ("", "-") and uid is None:
        return None
    if kind == "g":
        return (None, uid, "")
    gid = _number(second)
    return (uid, gid if second else uid, second if second and gid is None else "")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else None

"""passwd(5), shadow(5), group(5) and gshadow(5), read as glibc's nss_files reads them, without losing a byte.

Every line is kept with its number and offset, also those that are no entry:
comments, NIS compat lines (``+``, ``-``) and malformed ones. What glibc would
skip is listed as :class:`Malformed` with the reason; nothing fails but a file
with more lines than any system has.

Sources: passwd(5), shadow(5), group(5); glibc ``nss/nss_files/files-parse.c``
(leading blanks skipped, trailing string fields may lack, numbers may not).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from guestrepair.errors import FormatError

MAX_LINES = 200_000
"""Accounts of the largest systems that keep them in files, several times over."""

MAX_ID = 2**32 - 1
"""Largest uid or gid that glibc takes."""

LOCKS = ("!", "*")
"""A password field that begins with one of these matches no password (shadow(5))."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it stands: 1-based number, offset in bytes, and its bytes with the line end."""

    number: int
    offset_bytes: int
    raw: bytes

    @property
    def text(self) -> str:
        """The line without its line end, undecodable bytes as surrogates."""
        return self.raw.rstrip(b"\n").decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that glibc skips although it is neither comment nor blank, and why."""

    line: Line
    reason: str


@dataclass(frozen=True, slots=True)
class PasswdEntry:
    """One account of passwd(5)."""

    line: Line
    name: str
    password: str
    uid: int
    gid: int
    gecos: str
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class ShadowEntry:
    """One line of shadow(5). Days are counted from 1970-01-01, None where the field is empty."""

    line: Line
    name: str
    password: str
    last_change_days: int | None = None
    minimum_days: int | None = None
    maximum_days: int | None = None
    warning_days: int | None = None
    inactive_days: int | None = None
    expire_days: int | None = None

    @property
    def has_usable_password(self) -> bool:
        """True when some password can match: neither locked (``!``, ``*``) nor empty."""
        return bool(self.password) and not self.password.startswith(LOCKS)


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One group of group(5)."""

    line: Line
    name: str
    password: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupShadowEntry:
    """One line of gshadow(5)."""

    line: Line
    name: str
    password: str
    administrators: tuple[str, ...]
    members: tuple[str, ...]


Entry = TypeVar("Entry", PasswdEntry, ShadowEntry, GroupEntry, GroupShadowEntry)


@dataclass(frozen=True, slots=True)
class AccountFile(Generic[Entry]):
    """A parsed file: all its lines, the entries in order, and the malformed lines."""

    lines: tuple[Line, ...]
    entries: tuple[Entry, ...]
    malformed: tuple[Malformed, ...]
    _by_name: dict[str, Entry] = field(default_factory=dict, repr=False, compare=False)

    def get(self, name: str) -> Entry | None:
        """The first entry of that name, which is the one that counts, or None."""
        return self._by_name.get(name)

    def render(self) -> bytes:
        """The bytes that were parsed, exactly."""
        return b"".join(line.raw for line in self.lines)

    @property
    def insertion_offset_bytes(self) -> int:
        """Where a new line goes: at the end, but before the NIS compat lines, which must stay last."""
        compat = next((line for line in self.lines if line.raw[:1] in (b"+", b"-")), None)
        return compat.offset_bytes if compat else sum(len(line.raw) for line in self.lines)

    def insertion(self, text: str) -> bytes:
        """The bytes to put in at :attr:`insertion_offset_bytes` for one more line."""
        before = self.render()[: self.insertion_offset_bytes]
        newline = b"" if not before or before.endswith(b"\n") else b"\n"
        return newline + text.encode("utf-8", "surrogateescape") + b"\n"


def parse_passwd(data: bytes) -> AccountFile[PasswdEntry]:
    """Parse /etc/passwd.

    Raises:
        FormatError: more lines than any system has.
    """
    return _parse(data, _passwd_entry)


def parse_shadow(data: bytes) -> AccountFile[ShadowEntry]:
    """Parse /etc/shadow.

    Raises:
        FormatError: more lines than any system has.
    """
    return _parse(data, _shadow_entry)


def parse_group(data: bytes) -> AccountFile[GroupEntry]:
    """Parse /etc/group.

    Raises:
        FormatError: more lines than any system has.
    """
    return _parse(data, _group_entry)


def parse_gshadow(data: bytes) -> AccountFile[GroupShadowEntry]:
    """Parse /etc/gshadow.

    Raises:
        FormatError: more lines than any system has.
    """
    return _parse(data, _gshadow_entry)


def split_lines(data: bytes) -> tuple[Line, ...]:
    """Cut a file into its lines at LF alone; joining their ``raw`` gives the file back.

    Raises:
        FormatError: more lines than any system has.
    """
    if data.count(b"\n") > MAX_LINES:
        raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
    lines = []
    offset = 0
    for number, raw in enumerate(io.BytesIO(data), 1):
        lines.append(Line(number, offset, raw))
        offset += len(raw)
    return tuple(lines)


def _parse(data: bytes, make: Callable[[Line, list[str]], Entry | str]) -> AccountFile[Entry]:
    lines = split_lines(data)
    entries: list[Entry] = []
    malformed: list[Malformed] = []
    for line in lines:
        text = line.text.lstrip(" \t")
        if not text or text.startswith(("#", "+", "-")):
            continue
        made = "a NUL byte" if "\0" in text else make(line, text.split(":"))
        if isinstance(made, str):
            malformed.append(Malformed(line, made))
        else:
            entries.append(made)
    by_name = {entry.name: entry for entry in reversed(entries)}
    return AccountFile(lines, tuple(entries), tuple(malformed), by_name)


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(MAX_ID)):
        return None
    value = int(text)
    return value if value <= MAX_ID else None


def _passwd_entry(line: Line, fields: list[str]) -> PasswdEntry | str:
    if len(fields) < 4:
        return f"{len(fields)} fields where passwd(5) has 7"
    name, password, uid_text, gid_text, *rest = fields
    if not name:
        return "no account name"
    uid, gid = _number(uid_text), _number(gid_text)
    if uid is None or gid is None:
        return "the user or group id is not a number"
    gecos, home = [*rest[:2], "", ""][:2]
    return PasswdEntry(line, name, password, uid, gid, gecos, home, ":".join(rest[2:]))


def _shadow_entry(line: Line, fields: list[str]) -> ShadowEntry | str:
    if len(fields) < 2:
        return f"{len(fields)} field where shadow(5) has 9"
    if not fields[0]:
        return "no account name"
    numbers = [*fields[2:8], *[""] * 6][:6]
    values = [_number(text) for text in numbers]
    if any(value is None and text not in ("", "-1") for value, text in zip(values, numbers, strict=True)):
        return "a day count is not a number"
    return ShadowEntry(line, fields[0], fields[1], *values)


def _group_entry(line: Line, fields: list[str]) -> GroupEntry | str:
    if len(fields) < 3:
        return f"{len(fields)} fields where group(5) has 4"
    gid = _number(fields[2])
    if not fields[0]:
        return "no group name"
    if gid is None:
        return "the group id is not a number"
    return GroupEntry(line, fields[0], fields[1], gid, _names(":".join(fields[3:])))


def _gshadow_entry(line: Line, fields: list[str]) -> GroupShadowEntry | str:
    if len(fields) < 2:
        return f"{len(fields)} field where gshadow(5) has 4"
    if not fields[0]:
        return "no group name"
    administrators, members = [*fields[2:4], "", ""][:2]
    return GroupShadowEntry(line, fields[0], fields[1], _names(administrators), _names(members))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())

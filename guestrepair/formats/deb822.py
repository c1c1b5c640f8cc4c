"""Stanzas of ``Field: value`` lines: dpkg's status file and control files of packages (deb822(5)).

Read leniently, since the file of a broken guest is what is looked at: what does not parse is
listed as a :class:`Problem` with its line, and the stanzas around it are kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from guestrepair.formats.lines import byte_lines

MAX_LINE_BYTES = 1024 * 1024
"""A longer line is damage or an attack: no field of a real control file comes near."""
MAX_PROBLEMS = 100
MAX_STANZAS = 200_000
"""Three times the packages of a distribution: what comes after is not read, and that is a problem."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A line (1-based) that does not parse, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stanza:
    """One paragraph: the line it begins on, and its fields by lower-case name.

    Continuation lines are joined with newlines, their first blank kept away.
    """

    line: int
    fields: dict[str, str]

    def get(self, name: str) -> str:
        """The value of a field, whatever the case of its name; "" when it is not there."""
        return self.fields.get(name.lower(), "")


@dataclass(slots=True)
class Document:
    """All stanzas of a file and everything in it that did not parse."""

    stanzas: list[Stanza] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, line: int, reason: str) -> None:
        """Note a problem, as long as there are not too many."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(line, reason))


def parse_deb822(data: bytes, *, wanted: Collection[str] = ()) -> Document:
    """All stanzas; only the fields named in ``wanted`` (lower case) are kept, all when it is empty.

    Undecodable bytes come as surrogates. Never fails.
    """
    document = Document()
    if data and not data.endswith(b"\n"):
        document.problem(data.count(b"\n") + 1, "the last line is cut off")
    seen = _Seen()
    start = 0
    for number, raw in enumerate(byte_lines(data), start=1):
        if not raw.strip():
            if len(document.stanzas) == MAX_STANZAS:
                document.problem(number, f"more than {MAX_STANZAS} stanzas: what follows was not read")
                return document
            if seen.names:
                document.stanzas.append(Stanza(start, seen.fields()))
                seen = _Seen()
            continue
        if not seen.names:
            start = number
        reason = _line(raw, seen, wanted)
        if reason:
            document.problem(number, reason)
    if seen.names:
        document.stanzas.append(Stanza(start, seen.fields()))
    return document


@dataclass(slots=True)
class _Seen:
    """The fields of the stanza being read: all names, values, and the one that a continuation belongs to."""

    names: set[str] = field(default_factory=set)
    values: dict[str, bytearray] = field(default_factory=dict)
    last: str = ""

    def fields(self) -> dict[str, str]:
        """The values as text."""
        return {name: value.decode("utf-8", "surrogateescape") for name, value in self.values.items()}


def _line(raw: bytes, seen: _Seen, wanted: Collection[str]) -> str:
    """Take one line into the stanza; the answer is what is wrong with it, or ""."""
    if len(raw) > MAX_LINE_BYTES:
        return f"a line of {len(raw)} bytes"
    if b"\0" in raw:
        return "NUL bytes where text should be"
    if raw[:1] in b" \t":
        if not seen.last:
            return "a continuation line with no field before it"
        if seen.last in seen.values:
            seen.values[seen.last] += b"\n" + raw[1:]
        return ""
    head, colon, tail = raw.partition(b":")
    if not colon or not head or b" " in head:
        return "neither a field, a continuation nor an empty line"
    name = head.decode("utf-8", "surrogateescape").lower()
    if name in seen.names:
        return f"the field {name} stands twice in one stanza"
    seen.names.add(name)
    seen.last = name
    if not wanted or name in wanted:
        seen.values[name] = bytearray(tail.strip())
    return ""

"""hosts.allow and hosts.deny of TCP wrappers: which lines are about sshd, and whom they shut out.

Source: hosts_access(5), hosts_options(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import byte_lines

MAX_LINES = 200_000
"""Rules of one file: programs that shut out attackers write one for each address."""

_BRACKET = re.compile(r"[\[\]]")

EVERYONE = "ALL"


@dataclass(frozen=True, slots=True)
class AccessLine:
    """One rule: 1-based number and offset of its first line, daemons, clients, options after them."""

    number: int
    offset_bytes: int
    daemons: tuple[str, ...]
    clients: tuple[str, ...]
    options: str

    def is_about(self, daemon: str) -> bool:
        """True when the daemon list names it, or everything, and does not except it."""
        listed: tuple[str, ...] = self.daemons
        excepted: tuple[str, ...] = ()
        if "EXCEPT" in listed:
            index = listed.index("EXCEPT")
            listed, excepted = self.daemons[:index], self.daemons[index + 1 :]
        names = {word.partition("@")[0] for word in listed}
        return bool(names & {daemon, EVERYONE}) and daemon not in {w.partition("@")[0] for w in excepted}

    @property
    def is_about_everyone(self) -> bool:
        """True when every client matches, none excepted."""
        return bool(self.clients) and self.clients[0] == EVERYONE and "EXCEPT" not in self.clients

    @property
    def allows(self) -> bool:
        """True for an ``allow`` option (hosts_options(5)), which decides wherever it stands."""
        return bool(re.search(r"(?:^|:)\s*allow\s*(?:$|:)", self.options, re.IGNORECASE))

    @property
    def denies(self) -> bool:
        """True for a ``deny`` option."""
        return bool(re.search(r"(?:^|:)\s*(?:deny|twist\b.*)\s*(?:$|:)", self.options, re.IGNORECASE))


def parse_hosts_access(data: bytes) -> tuple[AccessLine, ...]:
    """The rules of a file, in order; lines without a colon are passed over.

    Raises:
        FormatError: more rules than any real one has.
    """
    lines: list[AccessLine] = []
    pending: list[str] = []
    start = start_offset = offset = 0
    for number, raw in enumerate(byte_lines(data), 1):
        text = raw.decode("latin-1")
        if not pending:
            start, start_offset = number, offset
        offset += len(raw) + 1
        if text.endswith("\\"):
            pending.append(text[:-1])
            continue
        made = _parse(start, start_offset, "".join((*pending, text)))
        pending = []
        if made is not None:
            lines.append(made)
        if len(lines) > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} rules, not all of them were looked at")
    return tuple(lines)


def _parse(number: int, offset: int, text: str) -> AccessLine | None:
    if not text.strip() or text.startswith("#"):
        return None
    fields = _fields(text)
    if len(fields) < 2:
        return None
    daemons, clients = (tuple(field.replace(",", " ").split()) for field in fields[:2])
    return AccessLine(number, offset, daemons, clients, fields[2].strip() if len(fields) == 3 else "")


def _fields(text: str) -> list[str]:
    """Daemons, clients and the rest: cut at the first two colons outside of brackets (``[::1]``)."""
    fields: list[str] = []
    start = 0
    colon = text.find(":")
    bracket = _BRACKET.search(text)
    while colon >= 0 and len(fields) < 2:
        while bracket is not None and bracket.start() < colon:
            bracket = _BRACKET.search(text, bracket.end())
        if bracket is None or bracket[0] == "[":
            fields.append(text[start:colon])
            start = colon + 1
        colon = text.find(":", colon + 1)
    return [*fields, text[start:]]

"""hosts.allow and hosts.deny of TCP wrappers: which lines are about sshd, and whom they shut out.

Source: hosts_access(5), hosts_options(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    """The rules of a file, in order; lines without a colon are passed over; never raises."""
    lines: list[AccessLine] = []
    pending, start, start_offset, offset = "", 0, 0, 0
    for number, raw in enumerate(data.split(b"\n"), 1):
        text = raw.decode("latin-1")
        if not pending:
            start, start_offset = number, offset
        offset += len(raw) + 1
        if text.endswith("\\"):
            pending += text[:-1]
            continue
        made = _parse(start, start_offset, pending + text)
        pending = ""
        if made is not None:
            lines.append(made)
    return tuple(lines)


def _parse(number: int, offset: int, text: str) -> AccessLine | None:
    if not text.strip() or text.startswith("#"):
        return None
    fields = re.split(r":(?![^\[]*\])", text, maxsplit=2)
    if len(fields) < 2:
        return None
    daemons, clients = (tuple(field.replace(",", " ").split()) for field in fields[:2])
    return AccessLine(number, offset, daemons, clients, fields[2].strip() if len(fields) == 3 else "")

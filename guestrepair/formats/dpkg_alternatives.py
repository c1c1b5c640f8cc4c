"""Files of /var/lib/dpkg/alternatives: one name, its links, and the candidates by priority.

Source: update-alternatives(1); dpkg's ``utils/update-alternatives.c`` (alternative_load).
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice: its path and priority, and what each slave leads to with it ("": nothing)."""

    path: str
    priority: int
    slaves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slave:
    """A link that follows the master's choice, as the manual page follows its program."""

    name: str
    link: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """A name, its master link and slaves, whether it is chosen automatically, and candidates, best first."""

    name: str
    link: str
    is_automatic: bool
    candidates: tuple[Candidate, ...]
    slaves: tuple[Slave, ...] = ()


def parse_alternative(name: str, data: bytes) -> Alternative:
    """Parse one file.

    Raises:
        FormatError: cut off, not in this format, or longer than any real one.
    """
    if data.count(b"\n") > MAX_LINES:
        raise FormatError(f"alternatives {name}: more than {MAX_LINES} lines")
    lines = text_lines(data)
    try:
        status, link = next(lines), next(lines)
        if status not in {"auto", "manual"} or not link.startswith("/"):
            raise FormatError(f"alternatives {name}: neither auto nor manual with a link")
        slaves = []
        while slave := next(lines):
            slaves.append(Slave(slave, next(lines)))
        found = []
        while path := next(lines, ""):
            found.append(Candidate(path, int(next(lines)), tuple(next(lines) for _ in slaves)))
    except (StopIteration, RuntimeError, ValueError) as error:
        raise FormatError(f"alternatives {name}: cut off or damaged") from error
    found.sort(key=lambda c: -c.priority)
    return Alternative(name, link, status == "auto", tuple(found), tuple(slaves))

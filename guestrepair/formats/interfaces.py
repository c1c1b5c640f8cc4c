"""/etc/network/interfaces of ifupdown: stanzas, and the lines on which they stand.

Source: interfaces(5) of ifupdown 0.8 (Debian), and of ifupdown-ng (Alpine), whose bare options and
``use`` lines are kept as options. A line that ends in a backslash goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from guestrepair.formats.lines import joined_lines

MAX_LINES = 20_000

_INCLUDING = frozenset({"source", "source-directory"})
_STARTING = frozenset({"auto", "iface", "mapping", "template", "rename", "no-auto-down", "no-scripts"})


@dataclass(slots=True)
class Stanza:
    """``words`` of its first line, the 1-based line, and its options: (name, value, line)."""

    words: tuple[str, ...]
    line: int
    options: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def keyword(self) -> str:
        """What kind of stanza it is; ``auto`` also for allow-auto."""
        return "auto" if self.words[0] == "allow-auto" else self.words[0]

    def values(self, name: str) -> tuple[str, ...]:
        """The values of an option; a dash and an underscore in its name are the same (bridge_ports)."""
        wanted = name.replace("_", "-")
        return tuple(value for key, value, _ in self.options if key.replace("_", "-") == wanted)

    def line_of(self, name: str) -> int:
        """The line of an option, else of the stanza."""
        wanted = name.replace("_", "-")
        return next((at for key, _, at in self.options if key.replace("_", "-") == wanted), self.line)


@dataclass(frozen=True, slots=True)
class Interfaces:
    """Stanzas in order; ``problems`` are (line, what ifup refuses the whole configuration for)."""

    stanzas: tuple[Stanza, ...] = ()
    problems: tuple[tuple[int, str], ...] = ()

    def of(self, keyword: str) -> Iterator[Stanza]:
        """The stanzas of one kind."""
        return (stanza for stanza in self.stanzas if stanza.keyword == keyword)


def parse_interfaces(data: bytes) -> Interfaces:
    """Parse one file; includes stand as stanzas.

    Raises:
        FormatError: more lines than any real one has.
    """
    stanzas: list[Stanza] = []
    problems: list[tuple[int, str]] = []
    inside: Stanza | None = None
    for number, line in _logical_lines(data):
        words = line.split()
        first = words[0]
        if first in _INCLUDING | _STARTING or first.startswith("allow-"):
            stanza = Stanza(tuple(words), number)
            stanzas.append(stanza)
            inside = stanza if first in {"iface", "mapping", "template"} else None
            problem = _problem(words)
            if problem:
                problems.append((number, problem))
        elif inside is not None:
            inside.options.append((first, line[len(first) :].strip(), number))
        else:
            problems.append((number, f"option {first!r} stands outside of any stanza"))
    return Interfaces(tuple(stanzas), tuple(problems))


def _problem(words: list[str]) -> str:
    """Why ifup refuses the line (its parser: "too few parameters for iface line", "unknown …")."""
    return "iface without a name" if words[0] == "iface" and len(words) < 2 else ""


def _logical_lines(data: bytes) -> Iterator[tuple[int, str]]:
    for number, pieces in joined_lines(data, maximum=MAX_LINES):
        whole = " ".join(pieces).strip()
        if whole:
            yield number, whole

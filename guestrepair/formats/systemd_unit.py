"""systemd unit files: sections, assignments, continuation lines, as systemd.syntax(7) has them.

A unit is its fragment and its drop-ins, read in order: :func:`merge_units`
puts them together, and an empty assignment resets what was said before, which
:meth:`Unit.values` honours. What systemd would ignore is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_ASSIGNMENTS = 20_000

_PLAIN = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:_.")

TRUE = frozenset({"1", "yes", "y", "true", "t", "on"})
"""What systemd takes for true (parse_boolean)."""

FALSE = frozenset({"0", "no", "n", "false", "f", "off"})
"""What it takes for false."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One ``key=value`` of a section, and the 1-based line that it starts on."""

    section: str
    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Unit:
    """All assignments of a unit, in order."""

    assignments: tuple[Assignment, ...] = ()

    def values(self, section: str, key: str) -> tuple[str, ...]:
        """Every value since the last empty assignment of that key, in order."""
        values: list[str] = []
        for assignment in self.assignments:
            if (assignment.section, assignment.key) == (section, key):
                if assignment.value:
                    values.append(assignment.value)
                else:
                    values.clear()
        return tuple(values)

    def words(self, section: str, key: str) -> tuple[str, ...]:
        """The values of a list setting, cut at blanks."""
        return tuple(word for value in self.values(section, key) for word in value.split())

    def last(self, section: str, key: str) -> str:
        """The value that counts for a setting that holds one, empty where there is none."""
        values = self.values(section, key)
        return values[-1] if values else ""


def unit_name_of_path(path: str) -> str:
    """A path as the name of its unit, without suffix (systemd.unit(5), *String Escaping*; systemd-escape(1)).

    The path must be absolute and without ``..``.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return "-".join(_escaped(part, first=number == 0) for number, part in enumerate(parts)) or "-"


def _escaped(part: str, *, first: bool) -> str:
    raw = part.encode("utf-8", "surrogateescape")
    letters = [chr(b) if chr(b) in _PLAIN else f"\\x{b:02x}" for b in raw]
    if first and letters[0] == ".":
        letters[0] = "\\x2e"
    return "".join(letters)


def parse_unit(data: bytes) -> Unit:
    """Parse one unit file or drop-in.

    Raises:
        FormatError: more settings than any real one has.
    """
    assignments: list[Assignment] = []
    section = ""
    for number, text in _logical_lines(data):
        if len(assignments) > MAX_ASSIGNMENTS:
            raise FormatError(f"more than {MAX_ASSIGNMENTS} settings, not all of them were looked at")
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1]
            continue
        key, equals, value = text.partition("=")
        if equals and section:
            assignments.append(Assignment(section, key.strip(), value.strip(), number))
    return Unit(tuple(assignments))


def merge_units(units: Iterable[Unit]) -> Unit:
    """A fragment and its drop-ins as one unit; the order given is the order read."""
    return Unit(tuple(assignment for unit in units for assignment in unit.assignments))


def _logical_lines(data: bytes) -> Iterator[tuple[int, str]]:
    pending: list[str] = []
    start = 0
    for number, raw in enumerate(text_lines(data), 1):
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not pending):
            continue  # comments may stand between continuation lines
        start = start if pending else number
        if line.endswith("\\"):
            pending.append(line[:-1])
            continue
        yield start, " ".join((*pending, line)).strip()
        pending = []
    if whole := " ".join(pending).strip():
        yield start, whole

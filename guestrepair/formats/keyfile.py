"""Key files of GLib, as NetworkManager keeps connections and its own configuration in them.

Source: the Desktop Entry Specification's grammar as GLib's GKeyFile reads it, and
nm-settings-keyfile(5): groups in brackets, ``key=value``, comments start with ``#``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guestrepair.errors import FormatError
from guestrepair.formats.lines import text_lines

MAX_LINES = 20_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``key=value`` of a group, and its 1-based line."""

    group: str
    key: str
    value: str
    line: int

    @property
    def items(self) -> tuple[str, ...]:
        """The value as a list: items end with ``;`` (GLib), and NetworkManager takes ``,`` as well."""
        return tuple(item for item in (w.strip() for w in self.value.replace(",", ";").split(";")) if item)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """All settings in order; ``problems`` are (line, what GKeyFile refuses the whole file for)."""

    settings: tuple[Setting, ...] = ()
    groups: tuple[str, ...] = ()
    problems: tuple[tuple[int, str], ...] = field(default=())

    def find(self, group: str, key: str) -> Setting | None:
        """The setting that counts: the last one."""
        return next((s for s in reversed(self.settings) if (s.group, s.key) == (group, key)), None)

    def get(self, group: str, key: str, default: str = "") -> str:
        """Its value."""
        found = self.find(group, key)
        return default if found is None else found.value

    def truth(self, group: str, key: str, *, default: bool) -> bool:
        """Its value as true or false."""
        found = self.get(group, key).lower()
        return found in {"true", "yes", "1", "on"} if found else default


def parse_keyfile(data: bytes) -> KeyFile:
    """Parse one key file.

    Raises:
        FormatError: more lines than any real one has.
    """
    settings: list[Setting] = []
    groups: dict[str, None] = {}
    problems: list[tuple[int, str]] = []
    group = ""
    for number, raw in enumerate(text_lines(data), 1):
        if number > MAX_LINES:
            raise FormatError(f"more than {MAX_LINES} lines, not all of them were looked at")
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1]
            groups[group] = None
            continue
        key, equals, value = line.partition("=")
        if not group:
            problems.append((number, "stands before the first [group]"))
        elif not equals or not key.strip():
            problems.append((number, "is neither a [group], a key=value nor a comment"))
        else:
            settings.append(Setting(group, key.strip(), value.strip(), number))
    return KeyFile(tuple(settings), tuple(groups), tuple(problems))

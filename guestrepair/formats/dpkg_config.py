"""dpkg.cfg: which paths dpkg leaves out when it unpacks (``path-exclude``, ``path-include``).

Source: dpkg(1), "path-exclude"; dpkg's ``src/main/filters.c``: patterns are shell globs in which
``*`` also matches slashes, and the last one that matches decides.
"""

from __future__ import annotations

import fnmatch
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from guestrepair.formats.lines import text_lines

MAX_PATTERNS = 500
"""Each file of the guest is held against each pattern; of more than anybody writes, the last ones count."""

_MAX_GLOB = 4096
_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True, slots=True)
class PathFilter:
    """The patterns in force, in their order; ``True`` stands for an exclusion."""

    patterns: tuple[tuple[bool, re.Pattern[str]], ...] = ()

    def excludes(self, path: str) -> bool:
        """True when dpkg would not have unpacked this path."""
        for excluded, pattern in reversed(self.patterns):
            if pattern.match(path):
                return excluded
        return False


def is_config_name(name: str) -> bool:
    """True for a name in dpkg.cfg.d that dpkg reads (letters, digits, ``_`` and ``-``)."""
    return bool(_NAME.match(name))


def parse_path_filter(files: Iterable[bytes]) -> PathFilter:
    """The filter that these configuration files make, given in the order in which dpkg reads them."""
    lines = (line for data in files for line in text_lines(data))
    globs = deque((found for line in lines if (found := _option(line)) is not None), maxlen=MAX_PATTERNS)
    return PathFilter(tuple((excluded, re.compile(fnmatch.translate(glob))) for excluded, glob in globs))


def _option(line: str) -> tuple[bool, str] | None:
    """(is an exclusion, pattern) of ``path-exclude=GLOB`` or ``path-exclude GLOB``; None for other lines."""
    text = line.strip()
    if not text.startswith(("path-exclude", "path-include")):
        return None
    rest = text[len("path-exclude") :]
    value = rest.lstrip()
    if not value or len(value) > _MAX_GLOB or (value == rest and rest[0] != "="):
        return None
    return text.startswith("path-exclude"), value.removeprefix("=").strip().strip("\"'")

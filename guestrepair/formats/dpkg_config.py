"""dpkg.cfg: which paths dpkg leaves out when it unpacks (``path-exclude``, ``path-include``).

Source: dpkg(1), "path-exclude"; dpkg's ``src/main/filters.c``: patterns are shell globs in which
``*`` also matches slashes, and the last one that matches decides.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass

_OPTION = re.compile(r"\s*path-(exclude|include)(?:\s*=\s*|\s+)(.*?)\s*\Z")
MAX_PATTERNS = 500
"""Each file of the guest is held against each pattern; of more than anybody writes, the last ones count."""

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
    patterns: list[tuple[bool, re.Pattern[str]]] = []
    for data in files:
        for line in data.decode("utf-8", "surrogateescape").split("\n"):
            found = _OPTION.match(line)
            if found is None or len(found[2]) > 4096:
                continue
            glob = found[2].strip("\"'")
            patterns.append((found[1] == "exclude", re.compile(fnmatch.translate(glob))))
    return PathFilter(tuple(patterns[-MAX_PATTERNS:]))

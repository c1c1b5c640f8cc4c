"""os-release(5): who a system says it is."""

from __future__ import annotations

import re
import shlex

_LINE = re.compile(r"^([A-Za-z0-9_]+)=(.*)$")
MAX_LINES = 500
MAX_LINE_LENGTH = 1024


def parse_os_release(content: bytes) -> dict[str, str]:
    """Variables of an os-release file; lines that are no assignment, or badly quoted, are left out.

    Never raises: an unreadable line loses that variable only (os-release(5) asks readers to be lenient).
    """
    found: dict[str, str] = {}
    for line in content.decode(errors="replace").splitlines()[:MAX_LINES]:
        match = _LINE.match(line.strip()) if len(line) <= MAX_LINE_LENGTH else None
        if match is None:
            continue
        try:
            words = shlex.split(match[2], comments=False)
        except ValueError:
            continue
        found[match[1]] = words[0] if words else ""
    return found

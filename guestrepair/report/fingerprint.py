"""What tells one finding from another, run after run: its rule and where it is, and no line number.

Neither the wording of a message nor a line's number is in it: lines move when others come and go above them.
Of several findings of one rule in one file the numbers say how many there are, and not which line is which:
when a new one comes above two that are known, the last of the three is the one that is new.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from guestrepair.model import Finding
from guestrepair.report.escape import valid_unicode

_LINE = re.compile(r":([0-9]{1,9})\Z")


def fingerprints(findings: Sequence[Finding]) -> tuple[str, ...]:
    """A SHA-256 in hex for each finding, all different, that stays when lines above it come or go.

    It is over rule and path (or device). Of several findings of one rule in one file, the later ones count
    on, in the order of their lines.
    """
    alike: dict[tuple[str, str], list[tuple[int, str, int]]] = {}
    for index, finding in enumerate(findings):
        path, line = path_and_line(finding.subject)
        alike.setdefault((finding.rule, path), []).append((line or 0, finding.subject, index))
    made = [""] * len(findings)
    for (rule, path), group in alike.items():
        for ordinal, (_line, _subject, index) in enumerate(sorted(group)):
            made[index] = _digest(f"{rule}|{path}" + (f"|{ordinal}" if ordinal else ""))
    return tuple(made)


def fingerprint_of(rule: str, subject: str) -> str:
    """The same of one rule and subject, as if no other finding of that rule were in that file."""
    return _digest(f"{rule}|{path_and_line(subject)[0]}")


def path_and_line(subject: str) -> tuple[str, int | None]:
    """The path (or device) that a subject is about, and the line; from the text alone where that is all."""
    known, line = getattr(subject, "path", None), getattr(subject, "line", None)
    if known is not None:
        return str(known), line
    match = None if getattr(subject, "device", None) is not None else _LINE.search(subject)
    return (subject[: match.start()], int(match[1])) if match else (str(subject), None)


def _digest(text: str) -> str:
    return hashlib.sha256(valid_unicode(text).encode()).hexdigest()

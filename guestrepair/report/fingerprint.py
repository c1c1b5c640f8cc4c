"""What makes a finding the same one in the next run: one digest, for baselines and for other people's tools.

It is made of the rule and of the path (or device) alone. Neither the wording of a message nor a line's
number is in it: lines move when others come and go above them. Of several findings of one rule in one file
the first has the number 0, the second 1, in the order of their lines. So the numbers say how many there are,
and not which line is which: when a new one comes above two that are known, the last of the three is the one
that is new.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence

from guestrepair.model import Finding

FINGERPRINT = "guestrepair/v1"
"""The name of this way of making them (SARIF's partialFingerprints)."""

_LINE = re.compile(r"(?s)(/.*):([0-9]{1,9})")


def place_of(subject: str) -> tuple[str, int]:
    """A subject without its line, and that (0 where it has none); by its text alone, as reports have it."""
    found = _LINE.fullmatch(subject)
    return (found[1], int(found[2])) if found else (subject, 0)


def fingerprint(finding: Finding, ordinal: int = 0) -> str:
    """The digest (SHA-256, hexadecimal) of one finding, which is the ``ordinal``-th of its rule and path."""
    return of_parts(finding.rule, finding.subject, ordinal)


def of_parts(rule: str, subject: str, ordinal: int = 0) -> str:
    """The same of a rule's name and a subject."""
    number = f"|{ordinal}" if ordinal else ""
    text = f"{rule}|{place_of(subject)[0]}{number}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def fingerprints(findings: Sequence[Finding]) -> list[str]:
    """The digest of each finding of one image, in their order; no two alike."""
    alike: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, finding in enumerate(findings):
        alike[finding.rule, place_of(finding.subject)[0]].append(index)
    made = [""] * len(findings)
    for indexes in alike.values():
        indexes.sort(key=lambda index: place_of(findings[index].subject)[1])
        for ordinal, index in enumerate(indexes):
            made[index] = fingerprint(findings[index], ordinal)
    return made

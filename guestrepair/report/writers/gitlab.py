"""GitLab's code quality report: a JSON array of what is wrong, each at a file and line.

Source: GitLab's "Code Quality", "Code Quality report format".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from guestrepair.model import Severity
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.escape import valid_unicode
from guestrepair.report.fingerprint import fingerprints
from guestrepair.report.writers.places import could_not_look, file_name, place_of, shown

_SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "major", Severity.NOTE: "minor"}
_MAX_TEXT = 2_000


def render(report: Report) -> str:
    """All images in one array; what is repaired or known is not in it."""
    several = len(report.images) > 1
    taken: set[str] = set()
    entries = []
    for image in report.images:
        prefix = f"{file_name(image)}: " if several else ""
        for entry in _entries(image, prefix):
            entry["fingerprint"] = _unique(entry["fingerprint"], image.path if several else "", taken)
            entries.append(entry)
    return "[" + ",".join(f"\n{json.dumps(entry, ensure_ascii=True)}" for entry in entries) + "\n]\n"


def _entries(image: ImageReport, prefix: str) -> Iterator[dict[str, Any]]:
    name = shown(file_name(image), _MAX_TEXT)
    for area, why in could_not_look(image):
        words = f"{area} could not be examined: {why}"
        yield _entry(f"{area}/not-examined", prefix + words, _hash(words), "major", name, 1)
    for finding, fingerprint in zip(image.findings, fingerprints(image.findings), strict=True):
        if not finding.is_open:
            continue
        place = place_of(finding.subject)
        where = shown(place.path, _MAX_TEXT) or name
        message = prefix + finding.message
        severity = _SEVERITIES[finding.severity]
        yield _entry(finding.rule, message, fingerprint, severity, where, place.line or 1)


def _entry(check: str, text: str, fingerprint: str, severity: str, path: str, line: int) -> dict[str, Any]:
    return {
        "description": shown(text, _MAX_TEXT),
        "check_name": shown(check, _MAX_TEXT),
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": path, "lines": {"begin": line}},
    }


def _unique(fingerprint: str, image: str, taken: set[str]) -> str:
    """A fingerprint that nothing else in the file has; for one image it is the finding's own."""
    made = _hash(f"{image}|{fingerprint}") if image else fingerprint
    while made in taken:  # the same image given twice
        made = _hash(f"{made}|again")
    taken.add(made)
    return made


def _hash(text: str) -> str:
    return hashlib.sha256(valid_unicode(text).encode()).hexdigest()

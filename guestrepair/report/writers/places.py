"""Where a finding is, in the terms of reports that only know files and lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from guestrepair.model import Finding
from guestrepair.report.data import ImageReport
from guestrepair.report.escape import printable, valid_unicode
from guestrepair.report.fingerprint import path_and_line
from guestrepair.report.headline import headline


@dataclass(frozen=True, slots=True)
class Place:
    """A file of the guest (``path`` without the first slash) and a line of it; or else (``path`` is "") the
    image itself, and what in it: a device, or whatever else a finding is about.
    """

    path: str
    line: int | None = None
    thing: str = ""


def place_of(subject: str) -> Place:
    """The place that a subject names."""
    path, line = path_and_line(subject)
    inside = path.strip("/")
    known = getattr(subject, "path", None) is not None  # a file of /dev is one where it is said to be
    device = getattr(subject, "device", None) is not None or (path.startswith("/dev/") and not known)
    if path.startswith("/") and inside and not device:
        return Place(inside, line if line is None or line > 0 else None)
    return Place("", None, str(subject))


def file_name(image: ImageReport) -> str:
    """The image's own name, never empty."""
    return PurePosixPath(image.path).name or "image"


def open_findings(image: ImageReport) -> list[Finding]:
    """What is still wrong, the worst first: neither repaired nor known before."""
    return worst_first(finding for finding in image.findings if finding.is_open)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sorted by severity; else in the order given."""
    return sorted(findings, key=lambda finding: finding.severity.rank)


def could_not_look(image: ImageReport) -> Iterator[tuple[str, str]]:
    """What was not examined, and why: (area, words); never the same as healthy."""
    for error in image.errors:
        yield error.stage, f"{error.message}; {error.hint}" if error.hint else error.message
    for item in image.inconclusive:
        yield item.analyzer, item.reason


def verdict(image: ImageReport) -> str:
    """The sentence at the top, which is never empty: where nothing is known it says that."""
    return headline(image) or "Not examined: whether it boots is not known."


def octets(text: str) -> bytes:
    """The bytes of a guest's path; what stands for no byte is written out."""
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return valid_unicode(text).encode()


def shown(text: str, most: int) -> str:
    """The text in one line, safe to print, and cut where it is too long to be read."""
    seen = printable(text[:most])
    return seen if len(seen) <= most and len(text) <= most else seen[: most - 1] + "…"

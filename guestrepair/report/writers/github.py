"""Annotations of GitHub's workflows: one command a line, the worst first, and a count of the rest.

GitHub shows ten of each kind for a step. No line holds anything of the guest but behind one of our commands:
a text of the guest cannot begin one of its own.

Source: GitHub's "Workflow commands for GitHub Actions"; its toolkit's command.ts (escapes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guestrepair.model import Severity
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.writers.places import (
    could_not_look,
    file_name,
    open_findings,
    place_of,
    shown,
    verdict,
)

MAX_OF_A_KIND = 10
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_MAX_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class _Annotation:
    command: str
    title: str
    message: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        named = [("file", self.file), ("line", str(self.line or "")), ("title", self.title)]
        properties = ",".join(f"{name}={_property(value)}" for name, value in named if value)
        return f"::{self.command} {properties}::{_data(self.message)}\n"


def render(report: Report) -> str:
    """The annotations of all images."""
    made = sorted(_all(report.images), key=lambda each: list(_COMMANDS.values()).index(each.command))
    lines: list[str] = []
    left: dict[str, int] = {}
    counts = dict.fromkeys(_COMMANDS.values(), 0)
    # One of a kind is kept for the count of the rest.
    most = {
        "error": MAX_OF_A_KIND,
        "warning": MAX_OF_A_KIND,
        "notice": MAX_OF_A_KIND - 1 - len(report.images),
    }
    for annotation in made:
        counts[annotation.command] += 1
        if counts[annotation.command] <= most[annotation.command]:
            lines.append(str(annotation))
        else:
            left[annotation.command] = left.get(annotation.command, 0) + 1
    lines += [
        str(_Annotation("notice", file_name(image), verdict(image), file_name(image)))
        for image in report.images[: MAX_OF_A_KIND - 1]
    ]
    if left:
        words = ", ".join(f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in left.items())
        lines.append(str(_Annotation("notice", "guestrepair", f"not shown here: {words}")))
    return "".join(lines)


def _all(images: Iterable[ImageReport]) -> Iterator[_Annotation]:
    images = list(images)
    for image in images:
        name = file_name(image)
        for area, why in could_not_look(image):
            yield _Annotation("error", f"{area}: not examined", f"{name}: {why}", name)
    for image in images:
        name = file_name(image)
        for finding in open_findings(image):
            place = place_of(finding.subject)
            message = f"{name}: {finding.message}"
            command = _COMMANDS[finding.severity]
            yield _Annotation(command, finding.rule, message, place.path or name, place.line)


def _data(text: str) -> str:
    return shown(text, _MAX_TEXT).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
